"""A sweep from its first run to its last: what is measured differs, the way there does not."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from pathlib import Path

from jaxtherapy.config import as_given
from jaxtherapy.devices.layout import choose_device
from jaxtherapy.studies.settings import Run, Sweep
from jaxtherapy.studies.table import KEYS, Row, Table
from jaxtherapy.studies.trained import Trainings
from jaxtherapy.studies.untrained import UnderWay, Untrained, nobody_asks

Kind = Untrained | Trainings
"""A way to measure runs: of therapists that need no training, or of trainings.

Both say which ``therapists`` have a row in every run, which ``columns`` are measured beside
``KEYS`` and what varies, and for which runs one compiled program will do (``program_of``). Both
``measure`` runs of one program but those that are done: now and then all rows of some, in any
order; a run that diverges has its rows too.
"""


def kind_of(sweep: Sweep, device: str, policies: Path) -> tuple[Kind, str]:
    """How this sweep is measured, and what the user should know of the device.

    Args:
        sweep: to be run.
        device: ``auto``, ``cpu`` or ``gpu``.
        policies: folder for weights.

    Raises:
        ConfigError: what only a training of its own can do.
        RunError: a policy that can't be read, a function that is no therapist, or no such device.
    """
    if not sweep.train:
        note = choose_device(device)
        return Untrained(sweep), note
    # A core of a CPU trains runs of its own.
    runs = replace(sweep.runs[0].config, seed=0, n_seeds=min(len(sweep.runs), 1_000))
    note = choose_device(device, runs)
    return Trainings(sweep, policies), note


def columns_of(sweep: Sweep, kind: Kind) -> tuple[str, ...]:
    """Of the table."""
    return (*KEYS, *(axis.name for axis in sweep.axes), *kind.columns)


def by_program(runs: Sequence[Run], kind: Kind) -> list[list[Run]]:
    """Runs in groups that share a program: an outer loop, so that each is compiled once."""
    groups: dict[Hashable, list[Run]] = {}
    for run in runs:
        groups.setdefault(kind.program_of(run), []).append(run)
    return list(groups.values())


def run_sweep(
    sweep: Sweep,
    kind: Kind,
    table: Table,
    advance: Callable[[Sequence[Row]], None] = lambda rows: None,
    under_way: UnderWay = nobody_asks,
) -> None:
    """Measures what the table lacks; rows are on the disk when ``advance`` is told of them.

    Whatever ends it early loses no more than the runs in progress.
    """
    values = {
        point.number: {name: as_given(value) for name, value in point.values.items()}
        for point in sweep.run_points
    }
    done = frozenset(table.done)
    for group in by_program(sweep.runs, kind):
        if all(run.key in done for run in group):
            continue
        for rows in kind.measure(group, done, under_way):
            complete = [row | values[row["point"]] for row in rows]
            table.append(complete)
            advance(complete)
