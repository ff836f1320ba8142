"""Who is told of evaluations: one file for each logger.

``make(run)`` builds a :class:`Logger` for a :class:`Run`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from jaxtherapy.config import TrainingConfig
from jaxtherapy.discovery import Choices
from jaxtherapy.storage.run_files import RunFiles

if TYPE_CHECKING:
    from rich.console import Console

LOGGERS = Choices("training/loggers", "make", first=("csv", "terminal"))


class Row(dict[str, float]):
    """An evaluation: the columns of the log, averaged over the seeds that are trained together.

    Attributes:
        by_seed: the same of each seed that this host writes; of all of them where it is alone.
        is_best: whether a seed has never earned more.
        time_left: seconds, at the rate so far.
    """

    by_seed: dict[int, dict[str, float]]
    is_best: bool
    time_left: float


@dataclass(frozen=True)
class Run:
    """What a logger may know of its run.

    Attributes:
        config: of the run.
        files: where it is written, if it is.
        console: what a user reads.
        defer: has a job done in the background, after those before it.
    """

    config: TrainingConfig
    files: RunFiles | None
    console: "Console"
    defer: Callable[[Callable[[], None]], None]


class Logger(Protocol):
    """Told of every evaluation. With ``advance(step, rate, reward, success)`` it is told of
    every chunk of training too."""

    def log(self, step: int, row: Row) -> None:
        """An evaluation after so many environment steps."""

    def close(self) -> None:
        """Nothing more will come; also called when a run breaks off."""
