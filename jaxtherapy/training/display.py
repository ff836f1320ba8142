"""What a user sees while training: a live line on a terminal, a line per evaluation elsewhere."""

from __future__ import annotations

import contextlib
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

if TYPE_CHECKING:  # with JAX, which a console does without
    from jaxtherapy.ppo.types import EvalResult


def console(quiet: bool = False) -> Console:
    """Standard output; folds nothing when it is not a terminal, and never ends a run."""
    stream: Any = _Unbreakable(sys.stdout)
    width = None if sys.stdout is not None and sys.stdout.isatty() else 200
    return Console(file=stream, highlight=False, markup=False, width=width, quiet=quiet)


class _Unbreakable:
    """A stream whose reader may leave or whose disk may fill: training matters more."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Writes what can be written."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            encoding = getattr(self._stream, "encoding", None) or "utf-8"
            self._stream.write(text.encode(encoding, "replace").decode(encoding))
        return len(text)

    def flush(self) -> None:
        """Flushes what can be flushed."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            self._stream.flush()


class TrainingDisplay:
    """Steps, rate, time left and live reward."""

    def __init__(self, console: Console, total_steps: int, step: int) -> None:
        self._console = console
        self._total = total_steps
        self._bar = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TextColumn("left"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[live]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("train", total=total_steps, rate="", live="")
        self._bar.update(self._task, completed=min(step, total_steps))

    def __enter__(self) -> TrainingDisplay:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def advance(self, step: int, steps_per_second: float, reward: float, success: float) -> None:
        """Shows where training is; reward and success of the therapies that ended lately."""
        self._bar.update(
            self._task,
            completed=min(step, self._total),
            rate=f"{steps_per_second:,.0f} steps/s",
            live="" if reward != reward else f"reward {reward:.1f}, success {success:.0%}",
        )

    def note(self, text: str) -> None:
        """A line of its own."""
        self._console.print(text)

    def evaluated(self, step: int, row: dict[str, float], is_best: bool, time_left: float) -> None:
        """Reports an evaluation."""
        self._console.print(
            f"step {step:>10,}  reward {row['test_reward_mean']:7.1f}  "
            f"success {row['test_success_rate']:4.0%}  dropout {row['test_dropout_rate']:4.0%}  "
            f"sessions {row['test_length_mean']:5.1f}  {row['steps_per_second']:,.0f} steps/s  "
            f"{format_duration(time_left)} left" + ("  best so far" if is_best else "")
        )


def format_duration(seconds: float) -> str:
    """``75`` → ``1:15``."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def comparison_table(names: list[str], outcomes: EvalResult, n_episodes: int) -> Table:
    """Therapists side by side."""
    table = Table(title=f"On the same {n_episodes:,} clients, new to all", title_justify="left")
    table.add_column("therapist")
    for column in ("success", "dropout", "sessions", "sessions to success", "reward"):
        table.add_column(column, justify="right")
    for i, name in enumerate(names):
        to_success = outcomes.sessions_to_success[i]
        table.add_row(
            name,
            f"{outcomes.success_rate[i]:.1%}",
            f"{outcomes.dropout_rate[i]:.1%}",
            f"{outcomes.length_mean[i]:.1f}",
            f"{to_success:.1f}" if outcomes.success_rate[i] > 0 else "–",
            f"{outcomes.reward_mean[i]:.1f}",
        )
    return table
