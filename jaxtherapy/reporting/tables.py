"""An evaluation on the terminal."""

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jaxtherapy.evaluation.results import (
    ALL_CELLS,
    DifferenceRow,
    Estimate,
    Evaluation,
    OutcomeRow,
    Shape,
)
from jaxtherapy.reporting.wording import MYOPIC_NOTE, SEEDS_NOTE, p_value, short

MOST_CELLS = 40
_RATES = ("success", "dropout")
_SHOWN = ("success", "dropout", "sessions_to_success", "reward", "final_rs", "bond")
_COMPARED = ("success", "dropout", "reward")
_FRAME = 3
"""Columns that rich's frame and padding take beside every column; and one more at the end."""


def print_evaluation(evaluation: Evaluation, console: Console) -> None:
    """All tables that have something to say, none wider than the terminal."""
    width = console.width
    tables = overall_tables(evaluation, width)
    if 1 < len(evaluation.cells) <= MOST_CELLS:
        tables += cells_tables(evaluation, width)
    if any(len(group.therapists) > 1 for group in evaluation.groups):
        tables += seeds_tables(evaluation, width)
    if evaluation.courses:
        tables += shape_tables(evaluation, width)
    for table in tables:
        console.print(table)


def _tables(
    title: str,
    caption: str,
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int,
    names: int = 1,
) -> list[Table]:
    """One table, or as many as it takes for nothing to be cut.

    Args:
        names: leading columns that every table repeats; what is too long loses its middle.
    """
    most = max(12, width // 3)
    rows = [[*(short(name, most) for name in row[:names]), *row[names:]] for row in rows]
    needed = [
        max(*(cell_len(word) for word in column[0].split()), *(cell_len(c) for c in column[1:]))
        for column in zip(head, *rows, strict=True)
    ]
    fixed = list(range(names))
    parts: list[list[int]] = [[]]
    for column in range(names, len(head)):
        wanted = [*fixed, *parts[-1], column]
        if parts[-1] and sum(needed[each] + _FRAME for each in wanted) + 1 > width:
            parts.append([])
        parts[-1].append(column)
    tables = []
    for part in parts:
        table = Table(title_justify="left", caption_justify="left")
        for column in [*fixed, *part]:
            justify = "left" if column < names else "right"
            table.add_column(head[column], justify=justify, width=needed[column])  # type: ignore[arg-type]
        for row in rows:
            table.add_row(*(Text(row[column]) for column in [*fixed, *part]))  # no markup
        tables.append(table)
    tables[0].title, tables[-1].caption = title, caption
    return tables


def _text(
    metric: str, estimate: Estimate | None, spread: bool = True, difference: bool = False
) -> str:
    if estimate is None or estimate.estimate is None or estimate.estimate != estimate.estimate:
        return "–"
    if metric in _RATES:
        value, unit, digits = 100.0, "pp" if difference else "%", 1
    else:
        value, unit, digits = 1.0, "", 1 if "session" in metric or metric == "reward" else 3
    sign = "+" if difference else ""
    text = f"{estimate.estimate * value:{sign}.{digits}f}{unit}"
    ends = estimate.low, estimate.high
    if spread and all(end is not None and end == end for end in ends):
        low, high = (f"{end * value:.{digits}f}" for end in ends if end is not None)
        text += f" [{low}, {high}]"
    return text.replace("-", "−")


def _difference(row: DifferenceRow | None) -> str:
    if row is None:
        return ""
    return _text(row.metric, row.difference, difference=True) + ("*" if row.significant else "")


def overall_tables(evaluation: Evaluation, width: int) -> list[Table]:
    """Therapists by metrics, averaged over cells."""
    settings = evaluation.settings
    reference, level = settings["reference"], settings["confidence"]
    labels = {metric.id: metric.label for metric in evaluation.metrics}
    shown = [metric for metric in _SHOWN if metric in labels]
    compared = [metric for metric in _COMPARED if metric in labels]
    rows = {row.therapist: row for row in evaluation.outcomes if row.cell == ALL_CELLS}
    gaps = {(d.therapist, d.metric): d for d in evaluation.differences if d.cell == ALL_CELLS}
    n = len(evaluation.cells)
    return _tables(
        f"{settings['episodes']:,} clients in {'one cell' if n == 1 else f'each of {n} cells'}, "
        f"the same for every therapist; {level:.0%} intervals",
        f"Δ: minus {reference}, paired; *: p < {1 - level:.2g} after Holm's correction over all "
        "therapists, per metric. Sessions to success: of successes only."
        + (f" {MYOPIC_NOTE}." if "myopic" in rows else ""),
        ["therapist", *(labels[m] for m in shown), *(f"Δ {labels[m]}" for m in compared)],
        [
            [
                therapist.label,
                *(_text(metric, rows[therapist.id].metrics[metric]) for metric in shown),
                *(_difference(gaps.get((therapist.id, metric))) for metric in compared),
            ]
            for therapist in evaluation.therapists
        ],
        width,
    )


def cells_tables(evaluation: Evaluation, width: int) -> list[Table]:
    """Success by cell and therapist."""
    rows: dict[tuple[str, str], OutcomeRow] = {
        (row.therapist, row.cell): row for row in evaluation.outcomes
    }
    stars = {
        (d.therapist, d.cell)
        for d in evaluation.differences
        if d.metric == "success" and d.significant
    }
    return _tables(
        "success by cell",
        "*: differs from the reference, after Holm's correction over all therapists and cells",
        ["cell", *(short(each.label, max(12, width // 4)) for each in evaluation.therapists)],
        [
            [
                cell.label,
                *(
                    _text("success", rows[each.id, cell.id].metrics["success"], spread=False)
                    + ("*" if (each.id, cell.id) in stars else "")
                    for each in evaluation.therapists
                ),
            ]
            for cell in evaluation.cells
        ],
        width,
    )


def seeds_tables(evaluation: Evaluation, width: int) -> list[Table]:
    """Interquartile means and probabilities of improvement."""
    reference = evaluation.settings["reference"]
    better = {(r.group, r.metric): r for r in evaluation.improvement if r.over == reference}
    labels = {group.id: group.label for group in evaluation.groups}
    rows = []
    for row in evaluation.seeds:
        if row.n_seeds > 1:
            chance = better.get((row.group, row.metric))
            rows.append(
                [
                    labels[row.group],
                    str(row.n_seeds),
                    row.metric,
                    _text(row.metric, row.iqm),
                    _text("", chance.probability if chance else None),
                ]
            )
    head = ["group", "seeds", "metric", "IQM over seeds and cells", f"P(above {reference})"]
    return _tables("over seeds (resampled)", SEEDS_NOTE, head, rows, width)


def shape_tables(evaluation: Evaluation, width: int) -> list[Table]:
    """Complementarity in the thirds of therapy, and its test."""
    n = evaluation.settings["course_episodes"]
    labels = {each.id: each.label for each in evaluation.therapists}
    head = ["therapist", "acts", "first", "middle", "last", "curvature"]
    head += ["p (all positive)", "p (beyond twin)", "high–low–high"]
    return _tables(
        f"complementarity in the thirds of therapy ({n:,} therapies each)",
        "Therapies stop at success, so their ends are selected; a twin that answers the same way "
        "throughout, stopped alike, shows how much of a shape that makes. High–low–high needs both "
        "p-values.",
        head,
        [
            [labels[course.therapist], shape.acts, *_shape_cells(shape)]
            for course in evaluation.courses
            for shape in course.shapes
            if shape.outcome == "all" and shape.measure == "complementarity"
        ],
        width,
        names=2,
    )


def _shape_cells(shape: Shape) -> list[str]:
    if shape.p_high_low_high is None:
        return ["–"] * 7
    twin = shape.beyond_twin
    return [
        *(_text("success", third, spread=False) for third in shape.thirds),
        _text("curvature", shape.curvature),
        p_value(shape.p_high_low_high),
        p_value(None if twin is None else twin.p),
        "yes" if shape.high_low_high else "no",
    ]
