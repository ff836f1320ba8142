"""From what the programs measured to the rows of the log."""

import jax
import numpy as np

from jaxtherapy.ppo.running_statistics import RunningStatistics
from jaxtherapy.ppo.types import EvalResult, TrainLog
from jaxtherapy.storage.progress import Progress
from jaxtherapy.training.loggers import Row

Measured = tuple[EvalResult, TrainLog, RunningStatistics]
"""An evaluation, what happened since the last one, and the returns so far."""


def rows_of_seeds(progress: Progress, rate: float, measured: Measured) -> list[dict[str, float]]:
    """A row of each seed; the arrays have a leading axis of seeds."""
    n_seeds = len(measured[0].reward_mean)
    seeds = (jax.tree.map(lambda x, i=i: x[i], measured) for i in range(n_seeds))
    return [row_of_seed(progress, rate, of_seed) for of_seed in seeds]


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
