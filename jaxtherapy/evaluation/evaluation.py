"""From a line-up and cells to an :class:`~jaxtherapy.evaluation.results.Evaluation`."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from jaxtherapy.client.params import ClientParams, client_params
from jaxtherapy.config import TrainingConfig
from jaxtherapy.evaluation import statistics
from jaxtherapy.evaluation.course import course_of, decode
from jaxtherapy.evaluation.episodes import chosen_episodes
from jaxtherapy.evaluation.grid import Grid, Outcomes, play_grid, recorded_clients
from jaxtherapy.evaluation.results import (
    ALL_CELLS,
    SCHEMA,
    CellInfo,
    Course,
    DifferenceRow,
    Episode,
    Evaluation,
    GroupInfo,
    ImprovementRow,
    OutcomeRow,
    SeedsRow,
)
from jaxtherapy.evaluation.therapists import Lineup
from jaxtherapy.evaluation.twin import Twins, response_tables

SEED_METRICS = ("success", "reward", "final_rs")
"""Scores that are compared over seeds; higher is better."""

_EVALUATION_STREAM = 0x45564C
"""Sets the keys of evaluations apart from those of trainings with the same seed."""


@dataclass(frozen=True)
class Request:
    """What to evaluate.

    Attributes:
        name: of the evaluation.
        config: client parameters that all cells share.
        cells: what differs.
        reference: id of the therapist that the others are compared with.
        episodes: clients per cell.
        course_episodes: therapies per therapist, over all cells, for the course of therapy.
        bootstrap_samples, confidence: of every interval.
        seed: decides the clients and everything that happens to them.
    """

    name: str
    config: TrainingConfig
    cells: tuple[CellInfo, ...]
    reference: str = "complementary"
    episodes: int = 10_000
    course_episodes: int = 2_000
    bootstrap_samples: int = 2_000
    confidence: float = 0.95
    seed: int = 0

    @property
    def recorded(self) -> int:
        """Clients per cell whose sessions are recorded: no client in two cells, if possible."""
        wanted = -(-self.course_episodes // len(self.cells))
        return min(wanted, max(1, self.episodes // len(self.cells)))

    @property
    def bond(self) -> tuple[float, float]:
        """Slope and offset of the bond."""
        alpha = self.config.bond_alpha
        return 5.0 if alpha is None else alpha, self.config.bond_offset


def cell_params(config: TrainingConfig, cell: CellInfo) -> ClientParams:
    """The clients of a cell."""
    matrix: Any = cell.matrix
    if cell.matrix_values is not None:
        matrix = tuple(map(tuple, cell.matrix_values))
    return client_params(
        replace(
            config,
            patterns=(cell.pattern,),
            mechanism=cell.mechanism,
            threshold=cell.threshold,
            entropy=cell.entropy,
            utility_matrix=matrix,
        )
    )


def evaluation_key(seed: int) -> jax.Array:
    """The key of an evaluation: its clients were never met in any training."""
    return jax.random.fold_in(jax.random.key(seed), _EVALUATION_STREAM)


def evaluate(
    request: Request,
    lineup: Lineup,
    run: dict[str, Any],
    advance: Callable[[int], None] = lambda therapies: None,
    stage: Callable[[str], None] = lambda what: None,
) -> Evaluation:
    """Plays everything, then computes everything. ``run`` is recorded, with timings added."""
    started = time.perf_counter()
    stage("therapies")
    grid = play_grid(
        lineup.branches,
        lineup.players,
        [cell_params(request.config, cell) for cell in request.cells],
        request.episodes,
        request.recorded,
        evaluation_key(request.seed),
        request.config.max_sessions,
        advance,
    )
    played = time.perf_counter()
    stage("intervals and tests")
    outcomes, differences, scores = compare(request, lineup, grid)
    seeds, improvement = over_seeds(request, lineup, scores)
    stage("course of therapy")
    courses, episodes = follow(request, lineup, grid)
    run = run | {
        "compile_seconds": sum(grid.compile_seconds.values()),
        "therapy_seconds": played - started,
        "analysis_seconds": time.perf_counter() - played,
    }
    return Evaluation(
        schema=SCHEMA,
        name=request.name,
        settings=_settings(request),
        run=run,
        therapists=lineup.therapists,
        groups=lineup.groups,
        cells=list(request.cells),
        metrics=list(statistics.METRICS),
        outcomes=outcomes,
        differences=differences,
        seeds=seeds,
        improvement=improvement,
        courses=courses,
        episodes=episodes,
    )


def _settings(request: Request) -> dict[str, Any]:
    config = request.config
    shared = (
        *("max_sessions", "bond_offset", "history_weight", "bond_power", "smoothing"),
        *("recency_ratio", "enable_parataxic", "baseline_accuracy", "anticomplement"),
    )
    return {
        "episodes": request.episodes,
        "course_episodes": request.recorded * len(request.cells),
        "bootstrap_samples": request.bootstrap_samples,
        "confidence": request.confidence,
        "seed": request.seed,
        "reference": request.reference,
        "max_sessions": config.max_sessions,
        "clients": {"bond_alpha": request.bond[0]}
        | {name: getattr(config, name) for name in shared},
    }


# --- outcomes -------------------------------------------------------------------------------

Scores = dict[str, dict[str, np.ndarray]]
"""Metric → therapist → estimate per cell."""


def compare(
    request: Request, lineup: Lineup, grid: Grid
) -> tuple[list[OutcomeRow], list[DifferenceRow], Scores]:
    """Outcomes of every therapist and their paired differences to the reference."""
    reference = lineup.position(request.reference)
    resample = request.bootstrap_samples, request.seed
    places = [*[cell.id for cell in request.cells], ALL_CELLS]
    theirs = statistics.metric_sums(_of(grid.outcomes, reference))
    their_samples = statistics.bootstrap_metrics(theirs, *resample)
    outcomes: list[OutcomeRow] = []
    differences: list[DifferenceRow] = []
    scores: Scores = {metric.id: {} for metric in statistics.METRICS}
    for number, therapist in enumerate(lineup.therapists):
        ends = _of(grid.outcomes, number)
        ours, samples = theirs, their_samples
        if number != reference:
            ours = statistics.metric_sums(ends)
            samples = statistics.bootstrap_metrics(ours, *resample)
        successes = [*ends.success.sum(1).tolist(), int(ends.success.sum())]
        rows = [
            OutcomeRow(therapist.id, place, request.episodes, successes[i], {})
            for i, place in enumerate(places)
        ]
        rows[-1].episodes *= len(request.cells)
        for metric, sums in ours.items():
            scores[metric][therapist.id] = sums.estimate[:-1]
            estimates = statistics.describe(metric, sums, samples[metric], request.confidence)
            for row, estimate in zip(rows, estimates, strict=True):
                row.metrics[metric] = estimate
            if number != reference:
                both = statistics.on_shared_cells(
                    sums, theirs[metric], samples[metric], their_samples[metric]
                )
                gaps = statistics.paired_differences(metric, *both, request.confidence)
                p_values = statistics.paired_p_values(metric, both[0], both[1])
                differences += [
                    DifferenceRow(
                        therapist.id, request.reference, place, metric, gap, float(p), None, False
                    )
                    for place, gap, p in zip(places, gaps, p_values, strict=True)
                ]
        outcomes += rows
    _correct(differences, request.confidence)
    return outcomes, differences, scores


def _of(outcomes: Outcomes, number: int) -> Outcomes:
    return Outcomes(*(part[number] for part in outcomes))


def _correct(differences: list[DifferenceRow], confidence: float) -> None:
    """Holm's correction within each metric: once over cells, once for their average."""
    families: dict[tuple[str, bool], list[DifferenceRow]] = {}
    for row in differences:
        families.setdefault((row.metric, row.cell == ALL_CELLS), []).append(row)
    for family in families.values():
        raw = np.array([np.nan if row.p is None else row.p for row in family])
        for row, p in zip(family, statistics.holm(raw), strict=True):
            row.p_holm, row.significant = float(p), bool(p < 1 - confidence)


# --- over seeds -----------------------------------------------------------------------------


def over_seeds(
    request: Request, lineup: Lineup, scores: Scores
) -> tuple[list[SeedsRow], list[ImprovementRow]]:
    """Interquartile means of every group, and how probably each trained group beats the others."""
    seeds: list[SeedsRow] = []
    improvement: list[ImprovementRow] = []
    groups = lineup.groups
    for metric in SEED_METRICS:
        generator = np.random.default_rng(request.seed)
        by_group = {
            group.id: np.stack([scores[metric][each] for each in group.therapists])
            for group in groups
        }
        samples = {
            name: statistics.resample_seeds(values, request.bootstrap_samples, generator)
            for name, values in by_group.items()
        }
        for group in groups:
            seeds.append(_seeds_row(request, group, metric, by_group[group.id], samples[group.id]))
        for ours in (group for group in groups if group.kind == "policy"):
            for theirs in (group for group in groups if group.id != ours.id):
                a, b = by_group[ours.id], by_group[theirs.id]
                probability = statistics.probability_over_seeds(
                    a, b, samples[ours.id], samples[theirs.id], request.confidence
                )
                improvement.append(ImprovementRow(ours.id, theirs.id, metric, probability))
    return seeds, improvement


def _seeds_row(
    request: Request, group: GroupInfo, metric: str, scores: np.ndarray, samples: np.ndarray
) -> SeedsRow:
    iqm = float(statistics.interquartile_mean(scores))
    iqm_samples = statistics.interquartile_mean(samples)
    return SeedsRow(
        group=group.id,
        metric=metric,
        n_seeds=len(scores),
        iqm=statistics.interval_over_seeds(iqm, iqm_samples, len(scores), request.confidence),
        mean=statistics.mean_over_seeds(scores, request.confidence),
        by_seed=scores.mean(1).tolist(),
        iqm_by_seed=statistics.interquartile_mean(scores[:, None]).tolist(),
    )


# --- course ---------------------------------------------------------------------------------


def follow(request: Request, lineup: Lineup, grid: Grid) -> tuple[list[Course], list[Episode]]:
    """The course of therapy and the chosen episodes of every therapist."""
    if not request.recorded:
        return [], []
    alpha, offset = request.bond
    courses: list[Course] = []
    episodes: list[Episode] = []
    ids = [cell.id for cell in request.cells]
    thresholds = [cell.threshold for cell in request.cells]
    clients = recorded_clients(len(ids), request.episodes, request.recorded)
    cells = [cell_params(request.config, cell) for cell in request.cells]
    twins = Twins(cells, clients, evaluation_key(request.seed), request.config.max_sessions)
    for number, therapist in enumerate(lineup.therapists):
        ends = _of(grid.outcomes, number)
        ends = Outcomes(*(np.take_along_axis(part, clients, axis=1) for part in ends))
        records = type(grid.records)(*(part[number] for part in grid.records))
        therapies = decode(records.acts, records.rs, ends.initial_rs, ends.success)
        courses.append(
            course_of(
                therapist.id,
                therapies,
                alpha=alpha,
                offset=offset,
                confidence=request.confidence,
                n_samples=request.bootstrap_samples,
                seed=request.seed,
                twin=twins.play(response_tables(therapies, len(ids))),
            )
        )
        episodes += chosen_episodes(
            therapist.id, ids, thresholds, clients, ends, records, alpha, offset
        )
    return courses, episodes
