"""Who is told of evaluations: one file for each logger.

``make(run)`` builds a :class:`Logger` for a :class:`Run`.
"""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console

from jaxtherapy.config import TrainingConfig
from jaxtherapy.discovery import Choices
from jaxtherapy.storage.run_files import RunFiles

LOGGERS = Choices("training/loggers", "make", first=("csv", "terminal"))


class Row(dict[str, float]):
    """An evaluation: the columns of the log, averaged over the seeds that are trained together,
    and the learning rate.

    Attributes:
        by_seed: the columns of each seed that this host writes; of all where it is alone.
        is_best: whether a seed has never earned more.
        time_left: seconds, at the rate so far.
    """

    by_seed: dict[int, dict[str, float]]
    is_best: bool
    time_left: float


def names_of(
    config: TrainingConfig, also: "Iterable[str | Logger] | None", save: bool
) -> "list[str | Logger]":
    """Who is told of a run: the log first, so that others may read it.

    Args:
        config: may name some, or ask for silence or JSON.
        also: what the program names; None: what suits a terminal or a notebook.
        save: whether there is a folder.

    Raises:
        RunError: one needs a package that is not installed.
    """
    if also is None:
        also = ["terminal", *["notebook"] * ("ipykernel" in sys.modules)]
    names = ["csv"] * save + [*also, *(config.loggers or ())]
    if config.log_format == "json" or "json" in names:
        names = [each for each in [*names, "json"] if each != "terminal"]
    if config.quiet:
        names = [each for each in names if each not in ("terminal", "json")]
    names = list(dict.fromkeys(names))
    for each in names:
        if isinstance(each, str):
            LOGGERS[each]  # imports it
    return names


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
    console: Console
    defer: Callable[[Callable[[], None]], None]


class Logger(Protocol):
    """Told of every evaluation, and of what else it has a method for: ``advance(step, rate,
    reward, success)`` after every chunk of training, ``end(result)`` with the
    :class:`TrainingResult`, ``close()`` when nothing more will come, also of a run that breaks off.
    """

    def log(self, step: int, row: Row) -> None:
        """An evaluation after so many environment steps."""
