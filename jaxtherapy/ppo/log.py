"""What a training tells about itself between two rows of its log."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxtherapy.ppo.running_statistics import RunningStatistics, merge, nothing_seen, statistics_of
from jaxtherapy.ppo.types import Losses, TrainLog, Transition


def return_scale(return_stats: RunningStatistics) -> Float[Array, ""]:
    """The unit of values: the running standard deviation of returns, at least one reward point.

    The floor keeps values from being measured in units of nothing before the first therapy ends.
    """
    return jnp.maximum(return_stats.std, 1.0)


def empty_log() -> TrainLog:
    """Nothing has happened since the last row."""
    zero = jnp.float32(0)
    losses = Losses(*[zero] * len(Losses._fields))
    return TrainLog(nothing_seen(), nothing_seen(), zero, zero, losses, jnp.int32(0))


def extend_log(log: TrainLog, rollout: Transition, report: Losses) -> TrainLog:
    """With one more update."""
    ended = rollout.terminated | rollout.truncated
    paid = rollout.reward if rollout.total is None else rollout.total
    return TrainLog(
        reward=merge(log.reward, statistics_of(paid, ended)),
        length=merge(log.length, statistics_of(rollout.length.astype(jnp.float32), ended)),
        success=log.success + jnp.sum(rollout.success & ended),
        dropped_out=log.dropped_out + jnp.sum(rollout.dropped_out),
        losses=jax.tree.map(jnp.add, log.losses, report),
        n_updates=log.n_updates + 1,
    )
