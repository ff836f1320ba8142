"""From candidates and cells to an :class:`~jaxtherapy.evaluation.results.Evaluation`."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from typing import Any

import jax
import numpy as np

from jaxtherapy.client.params import ClientParams
from jaxtherapy.config.settings import ClientSettings
from jaxtherapy.devices.pinned import pinned
from jaxtherapy.errors import RunError
from jaxtherapy.evaluation import statistics
from jaxtherapy.evaluation.candidates import Panel, panel_of
from jaxtherapy.evaluation.cells import given_cells
from jaxtherapy.evaluation.control import control_of
from jaxtherapy.evaluation.course import course_of, therapies_of
from jaxtherapy.evaluation.episodes import chosen_episodes
from jaxtherapy.evaluation.for_whom import for_whom
from jaxtherapy.evaluation.grid import Design, Grid, Programs, play_grid
from jaxtherapy.evaluation.map_search import FittedMap
from jaxtherapy.evaluation.planned import Planned
from jaxtherapy.evaluation.policies import unused
from jaxtherapy.evaluation.results import (
    ALL_CELLS,
    SCHEMA,
    CellInfo,
    Course,
    DifferenceRow,
    Episode,
    Evaluation,
    ImprovementRow,
    MetricInfo,
    OutcomeRow,
    PlannerResult,
    SeedsRow,
)
from jaxtherapy.evaluation.statistics import Intervals

SEED_METRICS = ("success", "reward", "final_rs")
"""Scores that are compared across seeds; higher is better."""

_EVALUATION_STREAM = 0x45564C
"""Sets the keys of evaluations apart from those of trainings with the same seed."""


@dataclass(frozen=True)
class Request:
    """What to evaluate.

    Attributes:
        cells, clients: kinds of clients, and the clients of each.
        weights: of each cell in averages and in the course of therapy.
        shared: client settings that all cells have in common, to be recorded.
        reference: id of the therapist that the others are compared with.
        episodes: clients per cell.
        course_episodes: therapies per therapist, over all cells, for the course of therapy.
        intervals: how they are made; their seed decides the clients too, and all that happens to
            them.
        fitted_map: how a map among the therapists was searched for, to be recorded.
    """

    name: str
    cells: tuple[CellInfo, ...]
    clients: tuple[ClientParams, ...]
    weights: tuple[int, ...]
    shared: Mapping[str, Any] = field(default_factory=dict)
    reference: str = "complementary"
    episodes: int = 10_000
    course_episodes: int = 2_000
    intervals: Intervals = Intervals()
    fitted_map: FittedMap | None = None

    @property
    def n_therapies(self) -> int:
        """Of each therapist."""
        return len(self.cells) * self.episodes

    @property
    def metrics(self) -> list[MetricInfo]:
        """What is told: relapse only where therapies go on after success."""
        stops = all(each.stop_at_success for each in self.clients)
        return [each for each in statistics.METRICS if not (stops and each.id == "relapse")]

    @property
    def design(self) -> Design:
        """Which therapies are held; no client is recorded in two cells, if possible."""
        total = sum(self.weights)
        each = min(-(-self.course_episodes // total), max(1, self.episodes // total))
        key = evaluation_key(self.intervals.seed)
        recorded = [each * weight for weight in self.weights]
        return Design(self.clients, self.episodes, key, recorded)


def evaluation_key(seed: int | jax.Array) -> jax.Array:
    """The key of an evaluation: its clients were never met in any training."""
    return jax.random.fold_in(jax.random.key(seed), _EVALUATION_STREAM)


def evaluate_panel(
    request: Request,
    panel: Panel,
    run: Mapping[str, Any],
    advance: Callable[[int], None] = lambda therapies: None,
    stage: Callable[[str], None] = lambda what: None,
    planned: Planned | None = None,
) -> Evaluation:
    """Plays everything, then computes everything. ``run`` is recorded, with timings added;
    ``planned`` is what the planner reached with the first clients, to be compared."""
    started = time.perf_counter()
    stage("therapies")
    design = request.design
    with Programs(design, panel.everyone) as programs:
        grid = play_grid(programs, panel.candidates, design, advance)
        played = time.perf_counter()
        stage("intervals and tests")
        outcomes, differences, scores = compare(request, panel, grid)
        planner = _planner_result(request, panel, grid, planned) if planned else None
        seeds, improvement = across_seeds(request, panel, scores)
        stage("for whom")
        whom = for_whom(request, panel, grid, programs)
        stage("course of therapy")
        courses, episodes = follow(request, panel, grid, programs)
    return Evaluation(
        schema=SCHEMA,
        name=request.name,
        settings=_settings(request),
        run={
            **run,
            "compile_seconds": programs.compile_seconds,
            "therapy_seconds": played - started,
            "analysis_seconds": time.perf_counter() - played,
        },
        therapists=panel.therapists,
        groups=panel.groups,
        cells=list(request.cells),
        metrics=request.metrics,
        outcomes=outcomes,
        differences=differences,
        seeds=seeds,
        improvement=improvement,
        courses=courses,
        episodes=episodes,
        planner=planner,
        for_whom=whom,
    )


def _settings(request: Request) -> dict[str, Any]:
    settings = {
        "episodes": request.episodes,
        "course_episodes": sum(request.design.n_recorded),
        "bootstrap_samples": request.intervals.n_samples,
        "confidence": request.intervals.confidence,
        "seed": request.intervals.seed,
        "reference": request.reference,
        "max_sessions": request.design.n_sessions,
        "clients": dict(request.shared),
    }
    if request.fitted_map is not None:
        settings["fitted_map"] = asdict(request.fitted_map)
    if set(request.weights) != {1}:
        settings["cell_weights"] = list(request.weights)
    return settings


@pinned()
def compare_therapists(
    therapists: Sequence[Any] | Mapping[str, Any],
    clients: ClientParams | ClientSettings | Mapping[str, ClientParams | ClientSettings],
    n_episodes: int = 1_000,
    seed: int = 0,
    *,
    reference: str | None = None,
    course_episodes: int = 0,
    confidence: float = 0.95,
) -> Evaluation:
    """Therapists with the same clients: outcomes, intervals and paired tests; touches no files.

    >>> told = compare_therapists(["complementary", "random"], ClientParams(threshold=0.7))

    Args:
        therapists: baselines by name, functions, :class:`~jaxtherapy.client.Therapist` objects and
            loaded policies; a mapping names them.
        clients: of one kind, or of several kinds by name.
        n_episodes: clients of each kind.
        seed: decides the clients and everything that happens to them.
        reference: whom the others are compared with; complementary if it is there, else the first.
        course_episodes: therapies per therapist for the course of therapy.
        confidence: of intervals and tests.

    Raises:
        ValueError: what is no therapist or no client, or acts outside 0..7.
    """
    named = therapists if isinstance(therapists, Mapping) else _named(therapists)
    panel = panel_of(named)
    if reference is None:
        reference = "complementary" if "complementary" in named else next(iter(named), "")
    kinds = clients if isinstance(clients, Mapping) else {"clients": clients}
    cells, params = given_cells(kinds)
    for text, valid in (
        ("at least one kind of clients is needed", cells),
        (f"reference is {reference!r}, must be of {', '.join(named)}", reference in named),
        (f"n_episodes is {n_episodes}, must be at least 2", n_episodes >= 2),
        (f"seed is {seed}, must be from 0 to {2**31 - 1}", 0 <= seed < 2**31),
        (f"confidence is {confidence}, must be from 0.5 to below 1", 0.5 <= confidence < 1),
    ):
        if not valid:
            raise ValueError(text)
    request = Request(
        name="comparison",
        cells=cells,
        clients=params,
        weights=(1,) * len(cells),
        reference=reference,
        episodes=n_episodes,
        course_episodes=course_episodes,
        intervals=Intervals(confidence, seed=seed),
    )
    try:
        return evaluate_panel(request, panel, {})
    except RunError as error:
        raise ValueError(str(error)) from None


def _named(therapists: Sequence[Any]) -> dict[str, Any]:
    """Each by the name it has; a name that is taken gets a number."""
    named: dict[str, Any] = {}
    for each in therapists:
        name = each if isinstance(each, str) else getattr(each, "__name__", type(each).__name__)
        named[unused(name, named)] = each
    return named


# --- outcomes -------------------------------------------------------------------------------

Scores = dict[str, dict[str, np.ndarray]]
"""Metric → therapist → estimate per cell."""

Metrics = dict[str, statistics.Metric]
"""Of a therapist."""


def compare(
    request: Request, panel: Panel, grid: Grid
) -> tuple[list[OutcomeRow], list[DifferenceRow], Scores]:
    """Outcomes of every therapist and their paired differences to the reference."""
    weights = np.array(request.weights, float)
    intervals = request.intervals

    def metrics_of(number: int) -> Metrics:
        every = statistics.metric_sums(grid.outcomes.at(number), weights)
        sums = {metric.id: every[metric.id] for metric in request.metrics}
        return statistics.bootstrap_metrics(sums, intervals.n_samples, intervals.seed, weights)

    reference = panel.position(request.reference)
    theirs = metrics_of(reference)
    outcomes: list[OutcomeRow] = []
    differences: list[DifferenceRow] = []
    scores: Scores = {metric.id: {} for metric in request.metrics}
    for number, therapist in enumerate(panel.therapists):
        ours = theirs if number == reference else metrics_of(number)
        outcomes += _outcome_rows(request, therapist.id, grid.outcomes.success[number], ours)
        for metric in ours:
            scores[metric][therapist.id] = ours[metric].sums.estimate[:-1]
            if number != reference:
                differences += _difference_rows(request, therapist.id, metric, ours, theirs)
    _correct(differences, intervals.confidence)
    return outcomes, differences, scores


def _planner_result(request: Request, panel: Panel, grid: Grid, planned: Planned) -> PlannerResult:
    """Everyone with the planner's clients, compared with the planner."""
    candidate = planned.candidate
    name = unused(candidate.info.id, {each.id for each in panel.therapists})
    candidate = replace(candidate, info=replace(candidate.info, id=name))
    n_clients = planned.outcomes.success.shape[-1]
    outcomes, differences, _ = compare(
        replace(request, reference=name, episodes=n_clients),
        replace(panel, candidates=[*panel.candidates, candidate]),
        planned.beside(grid),
    )
    planner = planned.planner
    how = planner.interval, planner.simulations, planner.seed
    return PlannerResult(name, n_clients, *how, planned.seconds, outcomes, differences)


def _places(request: Request) -> list[str]:
    return [*(cell.id for cell in request.cells), ALL_CELLS]


def _outcome_rows(
    request: Request, therapist: str, success: np.ndarray, ours: Metrics
) -> list[OutcomeRow]:
    successes = [*success.sum(1).tolist(), int(success.sum())]
    episodes = [request.episodes] * len(request.cells) + [success.size]
    columns = zip(_places(request), episodes, successes, strict=True)
    rows = [OutcomeRow(therapist, *column, {}) for column in columns]
    for metric, measured in ours.items():
        estimates = statistics.describe(metric, measured, request.intervals.confidence)
        for row, estimate in zip(rows, estimates, strict=True):
            row.metrics[metric] = estimate
    return rows


def _difference_rows(
    request: Request, therapist: str, metric: str, ours: Metrics, theirs: Metrics
) -> list[DifferenceRow]:
    weights = np.array(request.weights, float)
    mine, other = statistics.on_shared_cells(ours[metric], theirs[metric], weights)
    gaps = statistics.paired_differences(metric, mine, other, request.intervals.confidence)
    p_values = map(float, statistics.paired_p_values(metric, mine.sums, other.sums))
    return [
        DifferenceRow(therapist, request.reference, place, metric, gap, p, None, False)
        for place, gap, p in zip(_places(request), gaps, p_values, strict=True)
    ]


def _correct(differences: list[DifferenceRow], confidence: float) -> None:
    """Holm's correction within each metric: once over cells, once for their average."""
    families: dict[tuple[str, bool], list[DifferenceRow]] = {}
    for row in differences:
        families.setdefault((row.metric, row.cell == ALL_CELLS), []).append(row)
    for family in families.values():
        raw = np.array([np.nan if row.p is None else row.p for row in family])
        for row, p in zip(family, statistics.holm(raw), strict=True):
            row.p_holm, row.significant = float(p), bool(p < 1 - confidence)


# --- across seeds ---------------------------------------------------------------------------


def across_seeds(
    request: Request, panel: Panel, scores: Scores
) -> tuple[list[SeedsRow], list[ImprovementRow]]:
    """Interquartile means of every group, and how probably each trained group beats the others."""
    seeds: list[SeedsRow] = []
    improvement: list[ImprovementRow] = []
    intervals, groups = request.intervals, panel.groups
    for metric in SEED_METRICS:
        generator = np.random.default_rng(intervals.seed)
        of_group = {}
        for group in groups:
            by_seed = [scores[metric][each] for each in group.therapists]
            weighted = np.repeat(by_seed, request.weights, axis=1)
            of_group[group.id] = statistics.resample_seeds(weighted, intervals.n_samples, generator)
            row = _seeds_row(group.id, metric, of_group[group.id], intervals.confidence)
            seeds.append(row)
        for ours, theirs in product((group for group in groups if group.kind == "policy"), groups):
            if theirs.id != ours.id:
                probability = statistics.probability_across_seeds(
                    of_group[ours.id], of_group[theirs.id], intervals.confidence
                )
                improvement.append(ImprovementRow(ours.id, theirs.id, metric, probability))
    return seeds, improvement


def _seeds_row(group: str, metric: str, scores: statistics.Scores, confidence: float) -> SeedsRow:
    of_seeds, samples = scores
    n_seeds, iqm = len(of_seeds), float(statistics.interquartile_mean(of_seeds))
    iqm_samples = statistics.interquartile_mean(samples)
    return SeedsRow(
        group=group,
        metric=metric,
        n_seeds=n_seeds,
        iqm=statistics.interval_across_seeds(iqm, iqm_samples, n_seeds, confidence),
        mean=statistics.mean_across_seeds(of_seeds, confidence),
        by_seed=of_seeds.mean(1).tolist(),
        iqm_by_seed=statistics.interquartile_mean(of_seeds[:, None]).tolist(),
    )


# --- course ---------------------------------------------------------------------------------


def follow(
    request: Request, panel: Panel, grid: Grid, programs: Programs
) -> tuple[list[Course], list[Episode]]:
    """The course of therapy and the chosen episodes of every therapist."""
    courses: list[Course] = []
    episodes: list[Episode] = []
    design = request.design
    if not sum(design.n_recorded):
        return courses, episodes
    for number, therapist in enumerate(panel.therapists):
        ends = grid.outcomes.at((number, *design.recorded))
        therapies = therapies_of(design, ends, grid.records.at(number))
        control = control_of(therapies, programs, panel.untrained, design)
        courses.append(course_of(therapist.id, therapies, request.intervals, control))
        clients = design.recorded[1]
        episodes += chosen_episodes(
            therapist.id, request.cells, clients, ends, therapies, design.threshold_of
        )
    return courses, episodes
