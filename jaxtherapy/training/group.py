"""The runs that are trained together, how far they are, and the rows of their log."""

import time
from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Int

from jaxtherapy.config import TrainingConfig
from jaxtherapy.devices import hosts
from jaxtherapy.devices.programs import Programs
from jaxtherapy.ppo.running_statistics import RunningStatistics
from jaxtherapy.ppo.types import EvalResult, TrainLog, TrainState
from jaxtherapy.storage.progress import Progress
from jaxtherapy.training import early_stopping
from jaxtherapy.training.display import format_duration
from jaxtherapy.training.loggers import Row
from jaxtherapy.training.saving import Saver

CHUNK_SECONDS = 0.5
"""How long a chunk of updates may keep the host waiting for progress and signals."""
LEAST_TOLD = 10
"""Seconds: a run that takes less says nothing of it."""


Measured = tuple[EvalResult, TrainLog, RunningStatistics]
"""An evaluation, what happened since the last one, and the returns so far."""


class Standing(NamedTuple):
    """Where runs are after some updates, on every host."""

    log: TrainLog
    diverged: Bool[np.ndarray, " runs"]
    n_updates: Int[np.ndarray, " runs"]


@dataclass
class Group:
    """Runs that are trained together: seeds of one configuration, or the runs of a sweep.

    Attributes:
        config: in force: callbacks may have changed it. Of a sweep, the first one's: all have its
            length and its evaluations.
        seeds: of the runs.
        saver: writes their files; None without a folder.
        diverged: seeds that stand still at their last good state, and at which step.
    """

    config: TrainingConfig
    seeds: tuple[int, ...]
    programs: Programs
    state: TrainState
    progress: Progress
    saver: Saver | None = None
    diverged: dict[int, int] = field(default_factory=dict)
    seconds_per_update: float = 0.0
    seconds_since_row: float = 0.0
    steps_since_row: int = 0
    chunks: int = 0
    clock: float = field(default_factory=time.monotonic)

    @property
    def finished(self) -> bool:
        """Whether all steps are done, or no more are wanted."""
        return self.progress.is_done(self.config.total_timesteps)

    @property
    def config_now(self) -> TrainingConfig:
        """With the value that each schedule has after the updates so far."""
        return self.config.at(self.progress.n_updates * self.config.steps_per_update)

    def passed(self, before: int, every: int) -> bool:
        """Whether a multiple of ``every`` steps lies between ``before`` and now."""
        return self.progress.step // every > before // every

    def release(self) -> None:
        """Makes room on the device for what comes next."""
        self.programs = self.state = None  # type: ignore[assignment]

    def lap(self) -> float:
        """Seconds since the last lap."""
        now = time.monotonic()
        elapsed, self.clock = now - self.clock, now
        return elapsed

    def train(self, n_updates: int) -> Standing:
        """Some updates of every run."""
        self.state = state = self.programs.train(self.state, np.int32(n_updates))
        return Standing(*hosts.fetch((state.log, state.diverged, state.n_updates)))

    def evaluate(self) -> list[dict[str, float]]:
        """Evaluates, and begins anew to note what happens. Returns a row of each seed."""
        evaluated, state, n_seeds = self.programs.evaluate(self.state), self.state, len(self.seeds)
        measured = hosts.fetch((evaluated, state.log, state.return_stats))
        self.state = self.programs.reset_log(state)
        (elapsed,) = hosts.largest(self.lap())
        self.progress.duration += elapsed
        self.progress.csv_rows += 1
        rate = self.steps_since_row / max(self.seconds_since_row, 1e-9)
        self.seconds_since_row, self.steps_since_row = 0.0, 0
        of_seeds = (jax.tree.map(lambda x, i=i: x[i], measured) for i in range(n_seeds))
        return [row_of_seed(self.progress, rate, of_seed) for of_seed in of_seeds]

    def updates_of_next_chunk(self) -> int:
        """Until the next evaluation, save or end, but no more than fit into a chunk."""
        config, step = self.config, self.progress.step
        targets = [(step // every + 1) * every for every in (config.eval_freq, config.save_freq)]
        until_due = -(-(min(*targets, config.total_timesteps) - step) // config.steps_per_update)
        if not self.seconds_per_update:
            return 1  # to learn how long one takes
        return min(until_due, max(1, int(CHUNK_SECONDS / self.seconds_per_update)))

    def count(self, n_updates: int, elapsed: float) -> float:
        """Notes a chunk. Returns its steps per second, of all seeds together."""
        steps = n_updates * self.config.steps_per_update
        self.progress.step += steps
        self.progress.n_updates += n_updates
        self.steps_since_row += steps
        self.seconds_since_row += elapsed
        self.seconds_per_update = elapsed / n_updates
        self.chunks += 1
        return steps * len(self.seeds) / elapsed

    def estimate(self) -> str:
        """How long the rest will take, once, when that can be told; empty for what is short."""
        if self.chunks != 2:  # the first one is slow
            return ""
        left = max(0, self.config.total_timesteps - self.progress.step)
        seconds = left / self.config.steps_per_update * self.seconds_per_update
        if seconds < LEAST_TOLD:
            return ""
        at_most = "at most " if early_stopping.note(self.config) else ""
        return f"this takes {at_most}about {format_duration(seconds)}"

    def saved_steps(self) -> list[int]:
        """Steps of its checkpoints, when all that is on its way is written."""
        assert self.saver
        self.saver.wait()
        return self.saver.checkpoints.steps()


def averaged(rows: list[dict[str, float]], own: dict[int, dict[str, float]]) -> Row:
    """The mean of all seeds, with the rows of those that this host writes; rates add up."""
    row = Row({name: float(np.mean([each[name] for each in rows])) for name in rows[0]})
    row["steps_per_second"] *= len(rows)
    row.by_seed = own
    return row


def row_of_seed(progress: Progress, rate: float, measured: Measured) -> dict[str, float]:
    """Of one seed, whose numbers the arrays hold."""
    (result, log, return_stats), nan = measured, float("nan")
    ended = float(log.reward.count)
    n_updates = int(log.n_updates)  # none where the seed has diverged
    losses = {
        name: float(x) / n_updates if n_updates else nan for name, x in log.losses._asdict().items()
    }
    return {
        "epoch": progress.n_updates,
        "step": progress.step,
        "train_reward_mean": float(log.reward.mean) if ended else nan,
        "train_reward_std": _std(log.reward) if ended else nan,
        "train_length_mean": float(log.length.mean) if ended else nan,
        "test_reward_mean": float(result.reward_mean),
        "test_reward_std": float(result.reward_std),
        "test_length_mean": float(result.length_mean),
        "duration": round(progress.duration, 3),
        "train_success_rate": float(log.success) / ended if ended else nan,
        "train_dropout_rate": float(log.dropped_out) / ended if ended else nan,
        "test_success_rate": float(result.success_rate),
        "test_dropout_rate": float(result.dropout_rate),
        "test_sessions_to_success": float(result.sessions_to_success)
        if result.success_rate > 0
        else nan,
        **losses,
        "return_scale": max(_std(return_stats), 1.0),
        "steps_per_second": rate,
    }


def _std(of: RunningStatistics) -> float:
    """As the programs have it; in NumPy, which compiles nothing."""
    return float(np.sqrt(of.squared_deviations / np.maximum(of.count, np.float32(1))))
