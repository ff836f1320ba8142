"""An evaluation on the terminal."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import rich.table
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from jaxtherapy.evaluation.results import Evaluation
from jaxtherapy.reporting import tables
from jaxtherapy.reporting.formats import printable, short
from jaxtherapy.reporting.headroom import headroom
from jaxtherapy.reporting.tables import Table

MOST_CELLS = 40
_SHOWN = ("success", "dropout", "sessions_to_success", "reward", "final_rs", "bond", "relapse")
_COMPARED = ("success", "dropout", "reward")
_FRAME = 3
"""Columns that rich's frame and padding take beside every column; and one more at the end."""


def print_evaluation(evaluation: Evaluation, console: Console) -> None:
    """All tables that have something to say, none wider than the terminal."""
    evaluation, width = printable(evaluation), console.width
    shown = [tables.overall_with_differences(evaluation, _SHOWN, _COMPARED)]
    if 1 < len(evaluation.cells) <= MOST_CELLS:
        shown.append(_cells(evaluation, max(12, width // 4)))
    if any(len(group.therapists) > 1 for group in evaluation.groups):
        shown.append(tables.seeds_against_reference(evaluation))
    if evaluation.courses:
        shown.append(tables.thirds_of_therapy(evaluation))
    there_is = headroom(evaluation)
    if there_is is not None:
        shown.append(there_is)
    _print(shown, console)


def print_course(evaluation: Evaluation, console: Console) -> None:
    """The thirds of therapy and their test."""
    _print([tables.thirds_of_therapy(printable(evaluation))], console)


def _print(shown: Sequence[Table], console: Console) -> None:
    for table in shown:
        for part in fitted(table, console.width):
            console.print(part)


def _cells(evaluation: Evaluation, most: int) -> Table:
    table = tables.by_cell(evaluation, ends=False)
    return replace(
        table,
        caption="success by cell",
        headings=[short(heading, most) for heading in table.headings],
        note="*: differs from the reference, after Holm's correction over all therapists and cells",
    )


def fitted(table: Table, width: int) -> list[rich.table.Table]:
    """One table, or as many as it takes for nothing to be cut.

    Each repeats the columns that name a row; what is too long there loses its middle.
    """
    most, names, head = max(12, width // 3), table.names, table.headings
    rows = [[cell.replace("\N{NO-BREAK SPACE}", "") for cell in row] for row in table.texts]
    rows = [[*(short(name, most) for name in row[:names]), *row[names:]] for row in rows]
    needed = [
        max(map(cell_len, [*heading.split(), *cells]), default=1)
        for heading, *cells in zip(head, *rows, strict=True)
    ]
    parts: list[list[int]] = []
    for column in range(names, len(head)):
        wanted = [*(parts[-1] if parts else range(names)), column]
        too_wide = sum(needed[each] + _FRAME for each in wanted) + 1 > width
        if not parts or (too_wide and len(wanted) > names + 1):
            parts.append([*range(names), column])
        else:
            parts[-1].append(column)
    made = []
    for part in parts:
        made.append(rich.table.Table(title_justify="left", caption_justify="left"))
        for column in part:  # Text: names are no markup
            side: Literal["left", "right"] = "left" if column < names else "right"
            made[-1].add_column(Text(head[column]), justify=side, width=needed[column])
        for row in rows:
            made[-1].add_row(*(Text(row[column]) for column in part))
    made[0].title, made[-1].caption = table.caption, table.note
    return made
