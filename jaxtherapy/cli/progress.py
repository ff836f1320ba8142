"""How far an evaluation is: a bar on a terminal, lines elsewhere."""

import time
from collections.abc import Callable

from rich import progress
from rich.console import Console

CELLS = "cells (once per therapist)"


class Progress:
    """A bar over a total of therapies, or lines; a context. ``episodes`` therapies are one of
    ``what``."""

    def __init__(self, total: int, episodes: int, out: Console, what: str = CELLS) -> None:
        columns = (
            progress.TextColumn("{task.description}"),
            progress.BarColumn(bar_width=24),
            progress.TimeRemainingColumn(),
        )
        hidden = not out.is_terminal
        self._bar = progress.Progress(*columns, console=out, disable=hidden, transient=True)
        self._task = self._bar.add_task("compiling", total=total)
        tell = out.print if hidden else lambda line: None
        self._lines = ProgressLines(total, episodes, tell, what)

    def __enter__(self) -> "Progress":
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def advance(self, therapies: float, note: str = "") -> None:
        """So many more are done; ``note`` is shown beside, with how many it were in all."""
        self._lines.advance(therapies, note)
        told = f"{self._lines.count}  {note}" if note else "therapies"
        self._bar.update(self._task, advance=therapies, description=told)

    def stage(self, what: str) -> None:
        """What comes next; therapies are preceded by compiling."""
        if what != "therapies":
            self._bar.update(self._task, description=what)


class ProgressLines:
    """A line whenever another tenth is done, or ten seconds have passed: for logs and pipes.
    Arguments as for :class:`Progress`."""

    TENTHS = 10
    SECONDS = 10.0

    def __init__(
        self, total: int, episodes: int, tell: Callable[[str], None], what: str = CELLS
    ) -> None:
        self._total, self._episodes, self._tell, self._what = total, episodes, tell, what
        self._done, self._done_at_first, self._told = 0.0, 0.0, 0
        self._first = self._last = 0.0

    @property
    def count(self) -> str:
        """How many of how many are done."""
        whole = int(self._done / self._episodes + 1e-6)  # parts of runs add up to nearly one
        return f"{whole:,} of {self._total // self._episodes:,} {self._what}"

    def advance(self, therapies: float, note: str = "") -> None:
        """Counts, and tells if it is time to."""
        now = time.monotonic()
        self._done += therapies
        if not self._first:  # what came before was compiling, which is no measure of what is left
            self._first = self._last = now
            self._done_at_first = self._done
        tenth = int(self._done * self.TENTHS // self._total)
        if tenth > self._told or now - self._last >= self.SECONDS:
            self._told, self._last = tenth, now
            self._tell(self._line(now - self._first) + (note and f"  {note}"))

    def _line(self, seconds: float) -> str:
        line = f"{self._done / self._total:4.0%}  {self.count}"
        since = self._done - self._done_at_first
        if since:
            left = round(seconds * (self._total - self._done) / since)
            line += f"  {left // 60}:{left % 60:02} left"
        return line
