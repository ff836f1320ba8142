"""What a user sees: a bar on a terminal, and a line for each evaluation everywhere."""

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)

from jaxtherapy.training.display import format_duration
from jaxtherapy.training.loggers import Row, Run


class TerminalLogger:
    """Steps, rate, time left and live reward."""

    def __init__(self, run: Run) -> None:
        self._console = run.console
        self._total = run.config.total_timesteps
        self._bar = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TextColumn("left"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[live]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("train", total=self._total, rate="", live="")

    def advance(self, step: int, rate: float, reward: float, success: float) -> None:
        """Where training is; reward and success of the therapies that ended lately."""
        self._bar.start()
        self._bar.update(
            self._task,
            completed=min(step, self._total),
            rate=f"{rate:,.0f} steps/s",
            live="" if reward != reward else f"reward {reward:.1f}, success {success:.0%}",
        )

    def log(self, step: int, row: Row) -> None:
        """A line."""
        self._console.print(
            f"step {step:>10,}  reward {row['test_reward_mean']:7.1f}  "
            f"success {row['test_success_rate']:4.0%}  dropout {row['test_dropout_rate']:4.0%}  "
            f"sessions {row['test_length_mean']:5.1f}  {row['steps_per_second']:,.0f} steps/s  "
            f"{format_duration(row.time_left)} left" + ("  best so far" if row.is_best else "")
        )

    def close(self) -> None:
        """Takes the bar away."""
        self._bar.stop()


make = TerminalLogger
