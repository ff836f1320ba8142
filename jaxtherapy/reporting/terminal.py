"""An evaluation on the terminal."""

from collections.abc import Sequence

import rich.table
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from jaxtherapy.evaluation.results import Evaluation
from jaxtherapy.reporting import tables
from jaxtherapy.reporting.formats import interval, short
from jaxtherapy.reporting.headroom import headroom
from jaxtherapy.reporting.tables import Column, Table

MOST_CELLS = 40
_SHOWN = ("success", "dropout", "sessions_to_success", "reward", "final_rs", "bond")
_COMPARED = ("success", "dropout", "reward")
_FRAME = 3
"""Columns that rich's frame and padding take beside every column; and one more at the end."""


def print_evaluation(evaluation: Evaluation, console: Console) -> None:
    """All tables that have something to say, none wider than the terminal."""
    width = console.width
    shown = [tables.overall_with_differences(evaluation, _SHOWN, _COMPARED)]
    if 1 < len(evaluation.cells) <= MOST_CELLS:
        shown.append(_cells(evaluation, max(12, width // 4)))
    if any(len(group.therapists) > 1 for group in evaluation.groups):
        shown.append(tables.seeds_against_reference(evaluation))
    if evaluation.courses:
        shown.append(_shapes(evaluation))
    there_is = headroom(evaluation)
    if there_is is not None:
        shown.append(there_is)
    for table in shown:
        for part in fitted(table, width):
            console.print(part)


def _cells(evaluation: Evaluation, most: int) -> Table:
    table = tables.by_cell(evaluation, ends=False)
    return Table(
        "success by cell",
        [Column(short(column.heading, most)) for column in table.columns],
        table.rows,
        "*: differs from the reference, after Holm's correction over all therapists and cells",
    )


def _shapes(evaluation: Evaluation) -> Table:
    """Complementarity in the thirds of therapy, and its test."""
    success = evaluation.metrics_by_id["success"]  # a share, as the thirds are
    names = ("therapist", "acts", "first", "middle", "last", "curvature", "p_high_low_high")
    headings = dict.fromkeys(names, "") | {"p_beyond_twin": "p (beyond twin)", "high_low_high": ""}
    table = tables.shape_tests(
        evaluation,
        chosen=lambda shape: (shape.outcome, shape.measure) == ("all", "complementarity"),
        third=lambda third: interval(third, success, ends=False),
    ).pick(**headings)
    n = evaluation.settings["course_episodes"]
    return Table(
        f"complementarity in the thirds of therapy ({n:,} therapies each)",
        table.columns,
        [row if row[-1] is not None else [*row[:2], *[None] * 7] for row in table.rows],
        "Therapies stop at success, so their ends are selected; a twin that answers the same way "
        "throughout, stopped alike, shows how much of a shape that makes. High–low–high needs both "
        "p-values.",
        names=2,
    )


def fitted(table: Table, width: int) -> list[rich.table.Table]:
    """One table, or as many as it takes for nothing to be cut.

    Each repeats the columns that name a row; what is too long there loses its middle.
    """
    most, names, head = max(12, width // 3), table.names, table.headings
    rows = [[cell.replace("\N{NO-BREAK SPACE}", "") for cell in row] for row in table.texts]
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
    made = [_as_rich(head, rows, [*fixed, *part], needed, names) for part in parts]
    made[0].title, made[-1].caption = table.caption, table.note
    return made


def _as_rich(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    columns: Sequence[int],
    widths: Sequence[int],
    names: int,
) -> rich.table.Table:
    made = rich.table.Table(title_justify="left", caption_justify="left")
    for column in columns:
        heading = Text(head[column])  # a heading may be a name: no markup
        made.add_column(
            heading, justify="left" if column < names else "right", width=widths[column]
        )
    for row in rows:
        made.add_row(*(Text(row[column]) for column in columns))
    return made
