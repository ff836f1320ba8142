"""Running mean and variance, merged batch by batch (Chan, Golub & LeVeque 1979)."""

import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float


class Moments(struct.PyTreeNode):
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
        """Of the population; 0 before anything was seen."""
        return jnp.sqrt(self.variance)


def no_moments() -> Moments:
    """Nothing seen yet."""
    return Moments(jnp.float32(0), jnp.float32(0), jnp.float32(0))


def moments_of(values: Float[Array, "*n"], where: Bool[Array, "*n"] | bool = True) -> Moments:
    """Of those values that ``where`` selects."""
    where = jnp.broadcast_to(jnp.asarray(where), values.shape)
    count = jnp.sum(where, dtype=jnp.float32)
    mean = jnp.sum(jnp.where(where, values, 0.0)) / jnp.maximum(count, 1.0)
    return Moments(count, mean, jnp.sum(jnp.where(where, (values - mean) ** 2, 0.0)))


def merge(a: Moments, b: Moments) -> Moments:
    """Of both batches together."""
    count = a.count + b.count
    share = b.count / jnp.maximum(count, 1.0)
    delta = b.mean - a.mean
    return Moments(
        count,
        a.mean + delta * share,
        a.squared_deviations + b.squared_deviations + delta**2 * a.count * share,
    )
