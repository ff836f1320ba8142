"""What a run knows of itself beside the training state; every checkpoint holds it."""

from dataclasses import dataclass, field
from typing import Any

NEVER = float("-inf")
"""The best reward of what has not been evaluated."""


@dataclass
class Progress:
    """How far a run has come.

    Attributes:
        step: environment steps so far, per seed.
        n_updates: likewise.
        duration: seconds spent training, over all runs.
        csv_rows: rows written to each log.
        best_reward: best evaluation reward so far, of each seed.
        imported_steps: those of ``step`` that were trained elsewhere, and not timed here.
        changes: settings that a callback changed, and to what; JSON-able.
        callback_state: what callbacks remember, by name; JSON-able.
        recent_success: of the latest evaluations, mean of the seeds, as many as a target asks for.
        highest_reward: of an evaluation so far, mean of the seeds.
        evaluations_since: how many came after that one.
        ended_early: why no more is to be trained; empty if it is.
    """

    step: int = 0
    n_updates: int = 0
    duration: float = 0.0
    csv_rows: int = 0
    best_reward: list[float] = field(default_factory=list)
    imported_steps: int = 0
    changes: dict[str, Any] = field(default_factory=dict)
    callback_state: dict[str, Any] = field(default_factory=dict)
    recent_success: list[float] = field(default_factory=list)
    highest_reward: float = NEVER
    evaluations_since: int = 0
    ended_early: str = ""

    @classmethod
    def read(cls, stored: dict[str, Any]) -> "Progress":
        """As a checkpoint holds it, perhaps one of version 0.1.
        Raises TypeError: it holds something else."""
        progress = cls(**{"n_updates" if key == "epoch" else key: stored[key] for key in stored})
        counts = progress.step, progress.n_updates, progress.csv_rows
        if not all(isinstance(each, int) for each in counts) or not all(
            isinstance(each, int | float) for each in progress.best_reward
        ):
            raise TypeError("counters that are no numbers")
        return progress

    def is_done(self, total_timesteps: int) -> bool:
        """Whether nothing is left to train."""
        return self.step >= total_timesteps or bool(self.ended_early)

    def forget_evaluations(self) -> None:
        """Lets those from here on decide alone: others can't be compared with them."""
        self.best_reward = [NEVER] * len(self.best_reward)
        self.recent_success, self.highest_reward, self.evaluations_since = [], NEVER, 0
        self.ended_early = ""

    @property
    def timed_steps(self) -> int:
        """Those that ``duration`` went by in, per seed."""
        return self.step - self.imported_steps

    @property
    def steps_per_second(self) -> float:
        """Per seed, over all runs."""
        return self.timed_steps / max(self.duration, 1e-9)
