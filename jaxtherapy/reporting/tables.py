"""The tables of an evaluation: one model, shown on the terminal, on the page and as CSV."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jaxtherapy.client.octants import OCTANT_NAMES, OCTANTS
from jaxtherapy.evaluation.results import (
    PHASES,
    Course,
    DifferenceRow,
    Evaluation,
    MetricInfo,
    Shape,
)
from jaxtherapy.reporting.figures.outcomes import SEEDS_NOTE
from jaxtherapy.reporting.formats import UNKNOWN, count, interval, level, number, p_value, text

MYOPIC_NOTE = "myopic and best_cell know the client's utilities and memory, which no therapist sees"
MOST_CELLS_TOLD = 150


@dataclass(frozen=True)
class Column:
    """A column: its heading, how its values are written, and its name in CSV files."""

    heading: str
    show: Callable[[Any], str] = text
    name: str = ""


@dataclass(frozen=True)
class Table:
    """Values in columns; the first ``names`` columns name a row."""

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]
    note: str = ""
    names: int = 1

    @property
    def headings(self) -> list[str]:
        """Of all columns."""
        return [column.heading for column in self.columns]

    @property
    def texts(self) -> list[list[str]]:
        """The rows as they are shown."""
        return [
            [column.show(value) for column, value in zip(self.columns, row, strict=True)]
            for row in self.rows
        ]

    def pick(self, **headings: str) -> "Table":
        """Columns by name, in this order, with other headings where they are not empty."""
        place = {column.name: at for at, column in enumerate(self.columns)}
        columns = [
            replace(self.columns[place[name]], heading=heading or self.columns[place[name]].heading)
            for name, heading in headings.items()
        ]
        rows = [[row[place[name]] for name in headings] for row in self.rows]
        return replace(self, columns=columns, rows=rows)


def _outcome(metric: MetricInfo, ends: bool = True) -> Callable[[Any], str]:
    return lambda estimate: interval(estimate, metric, ends=ends)


def _starred(metric: MetricInfo) -> Callable[[Any], str]:
    """Of a difference on the terminal: nothing where there is none."""

    def show(row: DifferenceRow | None) -> str:
        if row is None:
            return ""
        return interval(row.difference, metric, True) + ("*" if row.significant else "")

    return show


def _tested(metric: MetricInfo) -> Callable[[Any], str]:
    """Of a difference on the page: with its p-value."""
    starred = _starred(metric)
    return lambda row: f"{starred(row)} ({p_value(row.p_holm)})" if row else UNKNOWN


# --- outcomes -------------------------------------------------------------------------------


def overall(evaluation: Evaluation) -> Table:
    """Therapists by metrics, averaged over cells."""
    return Table(
        "Averages over cells, with intervals",
        [Column("therapist"), *(Column(m.label, _outcome(m), m.id) for m in evaluation.metrics)],
        [
            [evaluation.labels[name], *(row[metric.id] for metric in evaluation.metrics)]
            for name, row in evaluation.overall.items()
        ],
    )


def differences(evaluation: Evaluation) -> Table:
    """Therapists minus the reference."""
    gaps = {metric.id: evaluation.overall_differences(metric.id) for metric in evaluation.metrics}
    therapists = dict.fromkeys(name for rows in gaps.values() for name in rows)
    reference = evaluation.labels.get(evaluation.settings["reference"], "")
    return Table(
        f"Minus {reference}, paired, with Holm-corrected p in parentheses; *: significant",
        [
            Column("therapist"),
            *(Column(metric.label, _tested(metric)) for metric in evaluation.metrics),
        ],
        [
            [evaluation.labels[name], *(gaps[metric.id].get(name) for metric in evaluation.metrics)]
            for name in therapists
        ],
    )


def overall_with_differences(
    evaluation: Evaluation, shown: Iterable[str], compared: Iterable[str]
) -> Table:
    """Both in one, of some metrics: for the terminal."""
    settings, metrics = evaluation.settings, evaluation.metrics_by_id
    level_of, n = settings["confidence"], len(evaluation.cells)
    own = [metrics[name] for name in shown if name in metrics]
    against = [metrics[name] for name in compared if name in metrics]
    gaps = [evaluation.overall_differences(metric.id) for metric in against]
    myopic = any(each.id == "myopic" for each in evaluation.therapists)
    return Table(
        f"{settings['episodes']:,} clients in {'one cell' if n == 1 else f'each of {n} cells'}, "
        f"the same for every therapist; {level(level_of)} intervals",
        [
            Column("therapist"),
            *(Column(metric.label, _outcome(metric)) for metric in own),
            *(Column(f"Δ {metric.label}", _starred(metric)) for metric in against),
        ],
        [
            [
                each.label,
                *(evaluation.overall[each.id][metric.id] for metric in own),
                *(rows.get(each.id) for rows in gaps),
            ]
            for each in evaluation.therapists
        ],
        f"Δ: minus {settings['reference']}, paired; *: p < {1 - level_of:.2g} after Holm's "
        "correction over all therapists, per metric. Sessions to success: of successes only."
        + (f" {MYOPIC_NOTE}." if myopic else ""),
    )


def by_cell(evaluation: Evaluation, ends: bool = True) -> Table:
    """Success by cell and therapist."""
    success, different = evaluation.metrics_by_id["success"], evaluation.different_success()
    show, estimates = _outcome(success, ends), evaluation.estimates

    def cell_text(therapist: str, cell: str) -> str:
        star = "*" if (therapist, cell) in different else ""
        return show(estimates[therapist, cell]["success"]) + star

    return Table(
        "Success by cell, with intervals; *: differs from the reference after Holm’s correction",
        [Column("cell"), *(Column(each.label) for each in evaluation.therapists)],
        [
            [cell.label, *(cell_text(each.id, cell.id) for each in evaluation.therapists)]
            for cell in evaluation.cells[:MOST_CELLS_TOLD]
        ],
    )


def across_seeds(evaluation: Evaluation) -> Table:
    """Interquartile means and means."""
    metrics = evaluation.metrics_by_id
    return Table(
        "Interquartile mean and mean over seeds and cells",
        [
            *(Column("group"), Column("seeds"), Column("metric")),
            *(Column("interquartile mean over seeds and cells"), Column("mean")),
        ],
        [
            [
                *(evaluation.groups_by_id[row.group].label, row.n_seeds, metrics[row.metric].label),
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
        [Column("group"), Column("over"), Column("metric"), Column("probability", interval)],
        [
            [groups[r.group].label, groups[r.over].label, metrics[r.metric].label, r.probability]
            for r in evaluation.improvement
        ],
    )


def seeds_against_reference(evaluation: Evaluation) -> Table:
    """Interquartile means and probabilities of improvement, of groups of several seeds."""
    reference = evaluation.settings["reference"]
    better = {
        (row.group, row.metric): row.probability
        for row in evaluation.improvement
        if row.over == reference
    }
    return Table(
        "over seeds (resampled)",
        [
            *(Column("group"), Column("seeds"), Column("metric")),
            Column("IQM over seeds and cells"),
            Column(f"P(above {reference})", interval),
        ],
        [
            [
                *(evaluation.groups_by_id[row.group].label, row.n_seeds, row.metric),
                interval(row.iqm, evaluation.metrics_by_id[row.metric]),
                better.get((row.group, row.metric)),
            ]
            for row in evaluation.seeds
            if row.n_seeds > 1
        ],
        SEEDS_NOTE,
    )


# --- the course of therapy ------------------------------------------------------------------

_CONTRASTS = {
    "first_minus_middle": "first − middle",
    "last_minus_middle": "last − middle",
    "curvature": "curvature",
}


_THIRDS = ("first", "middle", "last")
ESTIMATES = (*_THIRDS, *_CONTRASTS, *(f"beyond_twin_{name}" for name in _CONTRASTS))


def _shape_columns(labels: Mapping[str, str], third: Callable[[Any], str]) -> list[Column]:
    """What is told of a test of the shape, in the order of the CSV file."""
    return [
        Column("therapist", lambda name: labels[name], "therapist"),
        Column("therapies", lambda kind: kind if kind == "all" else f"{kind} only", "outcome"),
        Column("acts", name="acts"),
        Column("measure", name="measure"),
        Column("n", count, "episodes"),
        Column("pairs with twin", lambda pairs: count(pairs or 0), "pairs_with_twin"),
        *(Column(name, third, name) for name in _THIRDS),
        *(Column(heading, interval, name) for name, heading in _CONTRASTS.items()),
        *(
            Column(f"{heading}, beyond twin", interval, f"beyond_twin_{name}")
            for name, heading in _CONTRASTS.items()
        ),
        Column("p (curvature)", p_value, "p_curvature"),
        Column("p (all positive)", p_value, "p_high_low_high"),
        Column("p (all beyond twin)", p_value, "p_beyond_twin"),
        Column("high–low–high", name="high_low_high"),
    ]


def _shape_row(course: Course, shape: Shape, untested: bool | None) -> list[Any]:
    control, tested = shape.beyond_twin, shape.p_high_low_high is not None
    return [
        *(course.therapist, shape.outcome, shape.acts, shape.measure, shape.episodes),
        None if control is None else control.pairs,
        *shape.thirds,
        *(getattr(shape, name) for name in _CONTRASTS),
        *(None if control is None else getattr(control, name) for name in _CONTRASTS),
        *(shape.p_curvature, shape.p_high_low_high, None if control is None else control.p),
        shape.high_low_high if tested else untested,
    ]


def shape_tests(
    evaluation: Evaluation,
    untested: bool | None = None,
    chosen: Callable[[Shape], bool] = lambda shape: True,
    third: Callable[[Any], str] = lambda third: number(third.estimate),
) -> Table:
    """Tests of the shape of therapy.

    Args:
        evaluation: whose.
        untested: what is said of high–low–high where there was no test.
        chosen: which of them.
        third: how the mean of a third is written.
    """
    return Table(
        "Thirds of therapy and the test of high–low–high; p not corrected for the number of tests",
        _shape_columns(evaluation.labels, third),
        [
            _shape_row(course, shape, untested)
            for course in evaluation.courses
            for shape in filter(chosen, course.shapes)
        ],
    )


def shapes_for_page(evaluation: Evaluation) -> Table:
    """All of it, what is beyond the stationary control last."""
    names = [
        *("therapist", "outcome", "acts", "measure", "episodes", "first", "middle", "last"),
        *(*_CONTRASTS, "p_curvature", "p_high_low_high", "pairs_with_twin"),
        *(*(f"beyond_twin_{name}" for name in _CONTRASTS), "p_beyond_twin", "high_low_high"),
    ]
    return shape_tests(evaluation).pick(**dict.fromkeys(names, ""))


def complementarity_over_time(evaluation: Evaluation, shown: Sequence[str]) -> Table:
    """Of the therapists that are shown."""
    courses = [evaluation.courses_by_therapist[name] for name in shown]
    rows: list[list[Any]] = []
    for course in courses:
        for acts, curves in course.by_time["all"].complementarity.items():
            label = f"{evaluation.labels[course.therapist]}, {acts}"
            rows.append([label, *curves["any"].value])
    return Table(
        "Share of complementary acts by share of the therapy’s length",
        [Column("therapist"), *(Column(f"{time:.0%}", number) for time in courses[0].times)],
        rows,
    )


def responses(evaluation: Evaluation, course: Course) -> list[Table]:
    """A therapist's answers to each act of the client, by third of therapy."""
    return [
        Table(
            f"{evaluation.labels[course.therapist]}, {phase} third: "
            "P(therapist’s act | client’s act)",
            [Column("client"), Column("times", count), *(Column(o, number) for o in OCTANTS)],
            [
                [name, times, *answers]
                for name, times, answers in zip(
                    OCTANT_NAMES,
                    course.response_maps[phase].count,
                    course.response_maps[phase].probability,
                    strict=True,
                )
            ],
        )
        for phase in PHASES
    ]


# --- how it was done ------------------------------------------------------------------------


def therapists(evaluation: Evaluation) -> Table:
    """Who was evaluated."""
    acts = {True: "the most likely", False: "sampled", None: None}
    return Table(
        "Therapists",
        [Column(name) for name in ("therapist", "kind", "seed", "acts", "from")],
        [
            [each.label, each.kind, each.seed, acts[each.deterministic], each.file or None]
            for each in evaluation.therapists
        ],
    )


def cells(evaluation: Evaluation) -> Table:
    """The kinds of clients."""
    names = ("pattern", "mechanism", "threshold", "entropy", "matrix")
    headings = ("cell", *names[:-1], "utilities")
    return Table(
        "Cells",
        [Column(heading) for heading in headings],
        [
            [cell.label, *(getattr(cell, name) for name in names)]
            for cell in evaluation.cells[:MOST_CELLS_TOLD]
        ],
    )


def settings(evaluation: Evaluation) -> Table:
    """All settings, those of clients last."""
    own = {name: value for name, value in evaluation.settings.items() if name != "clients"}
    every = own | evaluation.settings.get("clients", {})
    rows = [[name.replace("_", " "), value] for name, value in every.items()]
    return Table("Settings", [Column("setting"), Column("value", _setting)], rows)


def _setting(value: Any) -> str:
    return "None" if value is None else text(value)
