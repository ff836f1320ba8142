"""Running mean and variance, merged batch by batch (Chan, Golub & LeVeque 1979)."""

import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float


class RunningStatistics(struct.PyTreeNode):
    """Of everything seen so far: how many, their mean, and their summed squared deviations."""

    count: Float[Array, ""]
    mean: Float[Array, ""]
    squared_deviations: Float[Array, ""]

    @property
    def variance(self) -> Float[Array, ""]:
        """Of the population; 0 before anything was seen."""
        return self.squared_deviations / jnp.maximum(self.count, 1.0)

    @property
    def std(self) -> Float[Array, ""]:
        """Of the population."""
        return jnp.sqrt(self.variance)


def nothing_seen() -> RunningStatistics:
    """Nothing seen yet."""
    return RunningStatistics(jnp.float32(0), jnp.float32(0), jnp.float32(0))


def statistics_of(
    values: Float[Array, "*n"], where: Bool[Array, "*n"] | bool = True
) -> RunningStatistics:
    """Of those values that ``where`` selects."""
    where = jnp.broadcast_to(jnp.asarray(where), values.shape)
    count = jnp.sum(where, dtype=jnp.float32)
    mean = jnp.sum(jnp.where(where, values, 0.0)) / jnp.maximum(count, 1.0)
    return RunningStatistics(count, mean, jnp.sum(jnp.where(where, (values - mean) ** 2, 0.0)))


def merge(a: RunningStatistics, b: RunningStatistics) -> RunningStatistics:
    """Of both batches together."""
    count = a.count + b.count
    share = b.count / jnp.maximum(count, 1.0)
    delta = b.mean - a.mean
    return RunningStatistics(
        count,
        a.mean + delta * share,
        a.squared_deviations + b.squared_deviations + delta**2 * a.count * share,
    )
