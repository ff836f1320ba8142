"""A sweep from its first run to its last: what is measured differs, the way there does not."""

from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from jaxtherapy.config import as_given
from jaxtherapy.studies.settings import Run, Sweep
from jaxtherapy.studies.table import KEYS, Key, Row, Table


@dataclass(frozen=True)
class Forecast:
    """What a short trial says of runs that share a program: seconds to compile it, seconds of
    each run, bytes where they are known."""

    compile_seconds: float
    seconds_per_run: float
    n_bytes: int | None


UnderWay = Callable[[float], None]
"""Is told how many runs, in parts of them too, are done beside those whose rows are known."""


def nobody_asks(runs: float) -> None:
    """An ``UnderWay`` that does nothing."""


class Kind(Protocol):
    """A way to measure runs: of therapists that need no training, or of trainings."""

    @property
    def therapists(self) -> Sequence[str]:
        """Each has a row in every run."""
        ...

    @property
    def columns(self) -> Sequence[str]:
        """What is measured, beside ``KEYS`` and what varies."""
        ...

    def program_of(self, run: Run) -> Hashable:
        """Runs for which this is the same are measured by the same compiled program."""
        ...

    def measure(
        self, runs: Sequence[Run], done: Collection[Key], under_way: UnderWay = nobody_asks
    ) -> Iterator[Sequence[Row]]:
        """Runs of one program but those that are done: now and then all rows of some, in any order.

        A row has ``KEYS`` and ``columns``. A run that diverges has its rows too. ``under_way`` is
        told of what has no rows yet.
        """
        ...

    def forecast(self, runs: Sequence[Run]) -> Forecast:
        """From a trial with some of these runs, which share a program."""
        ...


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
