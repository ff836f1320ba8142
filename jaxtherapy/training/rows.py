"""From what the programs measured to the rows of the log."""

import numpy as np

from jaxtherapy.ppo.types import EvalResult, TrainLog
from jaxtherapy.storage.checkpoints import Progress


def row_of_seed(
    progress: Progress,
    rate: float,
    result: EvalResult,
    log: TrainLog,
    reward_std: np.ndarray,
    scale: np.ndarray,
) -> dict[str, float]:
    """Of one seed, whose numbers the arrays hold."""
    nan = float("nan")
    ended = float(log.reward.count)
    n_updates = int(log.n_updates)  # none where the seed has diverged
    losses = {
        name: float(x) / n_updates if n_updates else nan for name, x in log.losses._asdict().items()
    }
    return {
        "epoch": progress.epoch,
        "step": progress.step,
        "train_reward_mean": float(log.reward.mean) if ended else nan,
        "train_reward_std": float(reward_std) if ended else nan,
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
        "return_scale": float(scale),
        "steps_per_second": rate,
    }
