"""The tables of an evaluation, for the terminal and the page."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from jaxtherapy.client.octants import OCTANT_NAMES, OCTANTS
from jaxtherapy.config import as_given
from jaxtherapy.evaluation.results import (
    CLIENT_GROUPS,
    PHASES,
    Condition,
    Course,
    DifferenceRow,
    Evaluation,
    ForWhom,
    MetricInfo,
    Shape,
)
from jaxtherapy.reporting.figures.outcomes import SEEDS_NOTE
from jaxtherapy.reporting.formats import count, interval, level, number, p_value, text

MYOPIC_NOTE = "myopic and best_cell know the client's utilities and memory, which no therapist sees"
MOST_CELLS_TOLD = 150
TWIN_NOTE = (
    "Therapies stop at success, so their ends are selected; a twin that answers the same way "
    "throughout, stopped alike, shows how much of a shape that makes. High–low–high needs both "
    "p-values."
)
NO_TWIN_NOTE = (
    "What ends a therapy selects its end: if therapies stop at success, a therapist who answers "
    "the same way throughout can seem high–low–high. Simulated therapies have a twin that shows "
    "how much of a shape that makes; coded ones have none."
)


@dataclass(frozen=True)
class Table:
    """Values under their headings; the first ``names`` columns name a row."""

    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[Any]]
    note: str = ""
    names: int = 1

    @property
    def texts(self) -> list[list[str]]:
        """The rows as they are shown."""
        return [list(map(text, row)) for row in self.rows]


# --- outcomes -------------------------------------------------------------------------------


def _starred(row: DifferenceRow, metric: MetricInfo) -> str:
    return interval(row.difference, metric, True) + "*" * row.significant


def overall(evaluation: Evaluation, shown: Sequence[MetricInfo] | None = None) -> Table:
    """Therapists by metrics, averaged over cells."""
    metrics = evaluation.metrics if shown is None else shown
    return Table(
        "Averages over cells, with intervals",
        ["therapist", *(metric.label for metric in metrics)],
        [
            [evaluation.labels[name], *(interval(row[metric.id], metric) for metric in metrics)]
            for name, row in evaluation.overall.items()
        ],
    )


def differences(evaluation: Evaluation) -> Table:
    """Therapists minus the reference, with p-values."""
    metrics = evaluation.metrics
    gaps = {metric.id: evaluation.overall_differences(metric.id) for metric in metrics}
    reference = evaluation.labels.get(evaluation.settings["reference"], "")

    def told(name: str, metric: MetricInfo) -> str | None:
        row = gaps[metric.id].get(name)
        return None if row is None else f"{_starred(row, metric)} ({p_value(row.p_holm)})"

    return Table(
        f"Minus {reference}, paired, with Holm-corrected p in parentheses; *: significant",
        ["therapist", *(metric.label for metric in metrics)],
        [
            [evaluation.labels[name], *(told(name, metric) for metric in metrics)]
            for name in dict.fromkeys(name for rows in gaps.values() for name in rows)
        ],
    )


def overall_with_differences(
    evaluation: Evaluation, shown: Iterable[str], compared: Iterable[str]
) -> Table:
    """Both in one, of some metrics: for the terminal."""
    settings, metrics = evaluation.settings, evaluation.metrics_by_id
    confidence, n = settings["confidence"], len(evaluation.cells)
    own = overall(evaluation, [metrics[name] for name in shown if name in metrics])
    rows = dict(zip(evaluation.overall, map(list, own.rows), strict=True))
    headings = list(own.headings)
    for metric in (metrics[name] for name in compared if name in metrics):
        gaps = evaluation.overall_differences(metric.id)
        headings.append(f"Δ {metric.label}")
        for name, row in rows.items():
            row.append(_starred(gaps[name], metric) if name in gaps else "")
    return Table(
        f"{settings['episodes']:,} clients in {'one cell' if n == 1 else f'each of {n} cells'}, "
        f"the same for every therapist; {level(confidence)} intervals",
        headings,
        list(rows.values()),
        f"Δ: minus {settings['reference']}, paired; *: p < {1 - confidence:.2g} after Holm's "
        "correction over all therapists, per metric. Sessions to success: of successes only."
        + (f" {MYOPIC_NOTE}." if "myopic" in evaluation.labels else ""),
    )


def by_cell(evaluation: Evaluation, ends: bool = True) -> Table:
    """Success by cell and therapist; ``ends``: with intervals."""
    success, estimates = evaluation.metrics_by_id["success"], evaluation.estimates
    gaps = (row for row in evaluation.differences if row.metric == "success")
    different = {(row.therapist, row.cell) for row in gaps if row.significant}

    def told(pair: tuple[str, str]) -> str:
        return interval(estimates[pair]["success"], success, ends=ends) + "*" * (pair in different)

    return Table(
        "Success by cell, with intervals; *: differs from the reference after Holm’s correction",
        ["cell", *(each.label for each in evaluation.therapists)],
        [
            [cell.label, *(told((each.id, cell.id)) for each in evaluation.therapists)]
            for cell in evaluation.cells[:MOST_CELLS_TOLD]
        ],
    )


def across_seeds(evaluation: Evaluation) -> Table:
    """Interquartile means and means."""
    groups, metrics = evaluation.groups_by_id, evaluation.metrics_by_id
    return Table(
        "Interquartile mean and mean over seeds and cells",
        ["group", "seeds", "metric", "interquartile mean over seeds and cells", "mean"],
        [
            [
                *(groups[row.group].label, row.n_seeds, metrics[row.metric].label),
                *(interval(each, metrics[row.metric]) for each in (row.iqm, row.mean)),
            ]
            for row in evaluation.seeds
        ],
    )


def improvement(evaluation: Evaluation) -> Table:
    """Probabilities of improvement."""
    groups, metrics = evaluation.groups_by_id, evaluation.metrics_by_id
    return Table(
        "Probability that a seed of the group scores above one of the other",
        ["group", "over", "metric", "probability"],
        [
            [groups[r.group].label, groups[r.over].label, metrics[r.metric].label, r.probability]
            for r in evaluation.improvement
        ],
    )


def seeds_against_reference(evaluation: Evaluation) -> Table:
    """Interquartile means and probabilities of improvement, of groups of several seeds."""
    reference = evaluation.settings["reference"]
    groups, metrics = evaluation.groups_by_id, evaluation.metrics_by_id
    better = {
        (row.group, row.metric): row.probability
        for row in evaluation.improvement
        if row.over == reference
    }
    return Table(
        "over seeds (resampled)",
        ["group", "seeds", "metric", "IQM over seeds and cells", f"P(above {reference})"],
        [
            [
                *(groups[row.group].label, row.n_seeds, row.metric),
                interval(row.iqm, metrics[row.metric]),
                better.get((row.group, row.metric)),
            ]
            for row in evaluation.seeds
            if row.n_seeds > 1
        ],
        SEEDS_NOTE,
    )


# --- for whom -------------------------------------------------------------------------------


def client_groups(evaluation: Evaluation, shown: Sequence[ForWhom]) -> Table:
    """Which clients succeed with whom, and again with other luck."""
    share, rows = evaluation.metrics_by_id["success"], []
    for whom in shown:
        for each in whom.groups:
            told = [count(each.clients), interval(each.share, share), interval(each.again, share)]
            name = f"{evaluation.labels[whom.therapist]}: {_group(evaluation, whom, each.group)}"
            rows.append([name, *told, interval(whom.kappa) if each is whom.groups[0] else ""])
    repeated = f"{shown[0].repeated:,} clients of each cell" if shown else ""
    return Table(
        "Clients by who succeeds with them, and whether other luck leaves them in their group "
        f"({repeated} again: the same person, history and first act)",
        ["group", "clients", "share", "again with other luck", "agreement (Cohen’s κ)"],
        rows,
    )


def _group(evaluation: Evaluation, whom: ForWhom, group: str) -> str:
    who = {"only_therapist": whom.therapist, "only_reference": whom.reference}.get(group)
    return group if who is None else f"only {evaluation.labels.get(who, who)}"


def client_effects(evaluation: Evaluation, whom: ForWhom) -> Table:
    """What tells the groups of one comparison apart."""
    return Table(
        f"{evaluation.labels[whom.therapist]}: what tells the groups apart (Cohen’s d of each "
        "against all other clients)",
        ["property", *(_group(evaluation, whom, group) for group in CLIENT_GROUPS)],
        [
            [each.label, *(interval(each.by_group[group], None, True) for group in CLIENT_GROUPS)]
            for each in whom.effects
        ],
    )


def client_tree(evaluation: Evaluation, whom: ForWhom) -> Table:
    """The leaves of its tree."""
    share = evaluation.metrics_by_id["success"]
    labels = {each.property: each.label for each in whom.effects}

    def condition(each: Condition) -> str:
        name = labels.get(each.property, each.property)
        return f"{name} {'>' if each.above else '≤'} {number(each.value)}"

    return Table(
        f"{evaluation.labels[whom.therapist]}: a tree by what is there at intake, grown on half of "
        "the clients and told by the others",
        ["clients with", "clients", *(_group(evaluation, whom, group) for group in CLIENT_GROUPS)],
        [
            [
                " and ".join(map(condition, leaf.conditions)) or "all",
                count(leaf.clients),
                *(f"{number(leaf.shares[group], share)} %" for group in CLIENT_GROUPS),
            ]
            for leaf in whom.tree
        ],
    )


# --- the course of therapy ------------------------------------------------------------------

CONTRASTS = {
    "first_minus_middle": "first − middle",
    "last_minus_middle": "last − middle",
    "curvature": "curvature",
}
THIRDS = ("first", "middle", "last")
_ENDS = ("first_minus_middle", "last_minus_middle")
_SHAPE_HEADINGS = {
    **{"therapist": "therapist", "outcome": "therapies", "acts": "acts", "measure": "measure"},
    **{"episodes": "n", **dict(zip(THIRDS, THIRDS, strict=True))},
    **CONTRASTS,
    **{"p_curvature": "p (curvature)", "p_high_low_high": "p (all positive)"},
    "pairs_with_twin": "pairs with twin",
    **{f"beyond_twin_{name}": f"{heading}, beyond twin" for name, heading in CONTRASTS.items()},
    **{"p_beyond_twin": "p (all beyond twin)", "high_low_high": "high–low–high"},
}


def shape_values(course: Course, shape: Shape) -> dict[str, Any]:
    """All that a test of the shape found, by the names of evaluation_shapes.csv."""
    control = shape.beyond_twin
    return {
        "therapist": course.therapist,
        "outcome": shape.outcome,
        "acts": shape.acts,
        "measure": shape.measure,
        "episodes": shape.episodes,
        "pairs_with_twin": getattr(control, "pairs", None),
        **dict(zip(THIRDS, shape.thirds, strict=True)),
        **{name: getattr(shape, name) for name in CONTRASTS},
        **{f"beyond_twin_{name}": getattr(control, name, None) for name in CONTRASTS},
        "p_curvature": shape.p_curvature,
        "p_high_low_high": shape.p_high_low_high,
        "p_beyond_twin": getattr(control, "p", None),
        "high_low_high": shape.high_low_high and shape.p_high_low_high is not None,
    }


def _told_of_shape(evaluation: Evaluation, course: Course, shape: Shape) -> dict[str, Any]:
    told = shape_values(course, shape)
    told |= {name: number(told[name].estimate) for name in THIRDS}
    told |= {name: p_value(value) for name, value in told.items() if name.startswith("p_")}
    return told | {
        "therapist": evaluation.labels[course.therapist],
        "outcome": "all" if shape.outcome == "all" else f"{shape.outcome} only",
        "episodes": count(shape.episodes),
        "pairs_with_twin": count(told["pairs_with_twin"] or 0),
        "high_low_high": None if shape.p_high_low_high is None else shape.high_low_high,
    }


def shape_tests(evaluation: Evaluation) -> Table:
    """Every test of the shape of therapy, what is beyond the twin last."""
    told = [_told_of_shape(evaluation, *each) for each in _shapes(evaluation)]
    return Table(
        "Thirds of therapy and the test of high–low–high; p not corrected for the number of tests",
        list(_SHAPE_HEADINGS.values()),
        [[each[name] for name in _SHAPE_HEADINGS] for each in told],
    )


def _shapes(evaluation: Evaluation) -> Iterator[tuple[Course, Shape]]:
    return ((course, shape) for course in evaluation.courses for shape in course.shapes)


def thirds_of_therapy(evaluation: Evaluation) -> Table:
    """Complementarity in the thirds of therapy, and its test, in short: for the terminal."""
    success = evaluation.metrics_by_id["success"]  # a share, as the thirds are
    names = "therapist", "acts", *THIRDS, "curvature", "p_high_low_high", "p_beyond_twin"
    headings = [_SHAPE_HEADINGS[name] for name in (*names, "high_low_high")]
    headings[-2] = "p (beyond twin)"
    rows = []
    for course, shape in _shapes(evaluation):
        if (shape.outcome, shape.measure) != ("all", "complementarity"):
            continue
        told = _told_of_shape(evaluation, course, shape)
        for name, third in zip(THIRDS, shape.thirds, strict=True):
            told[name] = interval(third, success, ends=False)
        tested = told["high_low_high"] is not None
        row = [told[name] if tested or name in ("therapist", "acts") else None for name in names]
        rows.append([*row, told["high_low_high"]])
    return Table(
        "complementarity in the thirds of therapy "
        f"({evaluation.settings['course_episodes']:,} therapies each)",
        headings,
        rows,
        TWIN_NOTE if evaluation.outcomes else NO_TWIN_NOTE,
        names=2,
    )


def positive_and_negative(evaluation: Evaluation) -> Table:
    """Both kinds of complementarity, as enacted, in the thirds of therapy and beyond the twin."""
    rows = []
    for course, shape in _shapes(evaluation):
        if shape.measure in ("positive", "negative") and shape.acts == "enacted":
            told = _told_of_shape(evaluation, course, shape)
            ends = [getattr(shape.beyond_twin, name, None) for name in _ENDS]
            name = f"{told['therapist']}: {shape.measure}, {told['outcome']}"
            rows.append([name, told["episodes"], *map(interval, [*shape.thirds, *ends])])
    return Table(
        "Positive and negative complementarity, enacted: shares of all sessions in which a warm, "
        "or a cold, act of the client got its complement",
        ["therapist", "n", *THIRDS, *(f"{CONTRASTS[name]}, beyond twin" for name in _ENDS)],
        rows,
    )


def complementarity_over_time(evaluation: Evaluation, shown: Sequence[str]) -> Table:
    """Of the therapists that are shown."""
    courses = [evaluation.courses_by_therapist[name] for name in shown]
    return Table(
        "Share of complementary acts by share of the therapy’s length",
        ["therapist", *(f"{time:.0%}" for time in courses[0].times)],
        [
            [f"{evaluation.labels[course.therapist]}, {acts}", *map(number, curves["any"].value)]
            for course in courses
            for acts, curves in course.by_time["all"].complementarity.items()
        ],
    )


def responses(evaluation: Evaluation, course: Course) -> list[Table]:
    """A therapist's answers to each act of the client, by third of therapy."""
    return [
        Table(
            f"{evaluation.labels[course.therapist]}, {phase} third: "
            "P(therapist’s act | client’s act)",
            ["client", "times", *OCTANTS],
            [
                [name, count(times), *map(number, answers)]
                for name, times, answers in zip(
                    OCTANT_NAMES, shown.count, shown.probability, strict=True
                )
            ],
        )
        for phase in PHASES
        for shown in [course.response_maps[phase]]
    ]


# --- how it was done ------------------------------------------------------------------------


def therapists(evaluation: Evaluation) -> Table:
    """Who was evaluated."""
    acts = {True: "the most likely", False: "sampled", None: None}
    return Table(
        "Therapists",
        ["therapist", "kind", "seed", "acts", "from"],
        [
            [each.label, each.kind, each.seed, acts[each.deterministic], each.file or None]
            for each in evaluation.therapists
        ],
    )


def cells(evaluation: Evaluation) -> Table:
    """The kinds of clients."""
    return Table(
        "Cells",
        ["cell", "pattern", "mechanism", "threshold", "entropy", "utilities"],
        [
            [each.label, each.pattern, each.mechanism, each.threshold, each.entropy, each.matrix]
            for each in evaluation.cells[:MOST_CELLS_TOLD]
        ],
    )


def settings(evaluation: Evaluation) -> Table:
    """All settings, those of clients last."""
    own = {name: value for name, value in evaluation.settings.items() if name != "clients"}
    every = own | evaluation.settings.get("clients", {})
    rows = [[name.replace("_", " "), _setting(each)] for name, each in every.items()]
    return Table("Settings", ["setting", "value"], rows)


def _setting(value: Any) -> Any:
    if isinstance(value, dict):  # what clients draw
        return as_given(value)
    return "None" if value is None else value
