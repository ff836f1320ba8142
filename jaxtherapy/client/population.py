"""Clients whose numbers differ: each draws its own at intake, and keeps them.

A number that is not a :class:`~jaxtherapy.config.distributions.Distribution` draws nothing.
"""

import dataclasses
import zlib
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtri
from jaxtyping import Array, ArrayLike, Float, Int, PRNGKeyArray

from jaxtherapy.config.distributions import Distribution
from jaxtherapy.config.settings import ClientNumbers
from jaxtherapy.fast.random_bits import uniforms

jax.tree_util.register_dataclass(Distribution, ["numbers", "clip", "weights"], ["kind"])

_STREAM = 0x504F50
"""Sets what makes a client's numbers apart from what makes its utilities and memory."""

_FIELDS = dataclasses.fields(ClientNumbers)


def draw_numbers(
    key: PRNGKeyArray, params: ClientNumbers, number: Int[ArrayLike, ""] = 0
) -> dict[str, Array]:
    """The numbers that client ``number`` of this intake's key draws, by name.

    Each name has random numbers of its own: a client's entropy is the same whether or not its
    threshold is drawn too.
    """
    drawn = {}
    for field in _FIELDS:
        each = getattr(params, field.name)
        if isinstance(each, Distribution):
            stream = jax.random.fold_in(key, _STREAM ^ zlib.crc32(field.name.encode()))
            point = uniforms(stream, 1, start=jnp.asarray(number, jnp.uint32))[0]
            drawn[field.name] = draw(each, point, whole=field.type is int)
    return drawn


def ends(number: Any) -> Float[Array, " n"]:
    """The outermost values that clients may have of a number, or all that there are."""
    if not isinstance(number, Distribution):
        return jnp.asarray([number], jnp.float32)
    several = number.numbers if number.kind == "choice" else number.support
    return jnp.asarray(several, jnp.float32)


def draw(distribution: Distribution, point: Float[Array, ""], whole: bool = False) -> Array:
    """The number at a uniform ``point`` in [0, 1); ``whole``: an int32."""
    kind, numbers = distribution.kind, distribution.numbers
    if kind == "choice":
        shares = jnp.asarray((1,) * len(numbers) if (w := distribution.weights) is None else w)
        cumulative = jnp.cumsum(shares.astype(jnp.float32))
        value: Any = jnp.asarray(numbers)[jnp.sum(cumulative[:-1] <= point * cumulative[-1])]
    elif kind == "normal":
        mean, deviation = numbers
        value = mean + deviation * ndtri(point + 2**-25)  # points are multiples of 2⁻²⁴
        value = jnp.round(value) if whole else value
    else:
        low, high = numbers
        end = high + 1 if whole else high  # every whole number has as long an interval
        value = low * (end / low) ** point if kind == "log_uniform" else low + (end - low) * point
        value = jnp.floor(value) if whole else value
    low, high = distribution.support if kind != "choice" else (value, value)
    return jnp.clip(value, low, high).astype(jnp.int32 if whole else jnp.float32)
