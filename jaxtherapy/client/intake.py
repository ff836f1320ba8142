"""A new client, drawn: its utilities, its pattern, its memory.

Memories are drawn by alias tables, one look-up for each remembered pair: intakes are a tenth of
the environment's time.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Int, Int8, Real

from jaxtherapy.client.client import Client, new_client
from jaxtherapy.client.memory import MEMORY_SIZE
from jaxtherapy.client.octants import N_OCTANTS
from jaxtherapy.client.params import ClientParams
from jaxtherapy.client.patterns import PATTERNS, distributions

_POINT_BITS = 24
"""Of uniform points, see :mod:`jaxtherapy.fast.random_bits`."""

N_POINTS = N_OCTANTS**2 + 1 + MEMORY_SIZE
"""Random numbers that make a client: a utility matrix, a pattern, a memory."""


def draw_client(
    points: Float[Array, "115"], params: ClientParams
) -> tuple[Client, Int8[Array, ""]]:
    """A new client and the index of its memory's pattern, from independent uniform ``points``."""
    u = draw_utilities(points[: N_OCTANTS**2], params.u_min, params.u_max)
    pattern = draw_pattern(points[N_OCTANTS**2], params.pattern_weights)
    memory = draw_memory(points[N_OCTANTS**2 + 1 :], pattern, params.exact_anticomplement)
    return new_client(u, memory, params), pattern


def draw_utilities(
    points: Float[Array, "64"], u_min: Real[ArrayLike, "8 8"], u_max: Real[ArrayLike, "8 8"]
) -> Float[Array, "8 8"]:
    """A client's utility matrix, uniform between the bounds, from 64 uniform ``points``.

    Equal bounds give that matrix exactly.
    """
    u_min, u_max = jnp.asarray(u_min), jnp.asarray(u_max)
    return u_min + (u_max - u_min) * points.reshape(u_min.shape)


def draw_pattern(point: Float[Array, ""], weights: Real[ArrayLike, " patterns"]) -> Int8[Array, ""]:
    """The index of one pattern, by weights (normalised or not) and a uniform ``point``."""
    cumulative = jnp.cumsum(jnp.asarray(weights))
    return jnp.sum(cumulative[:-1] <= point * cumulative[-1]).astype(jnp.int8)


def draw_memory(
    points: Float[Array, "50"],
    pattern: Int[ArrayLike, ""],
    exact_anticomplement: Bool[ArrayLike, ""],
) -> Int8[Array, "50"]:
    """50 remembered pairs, coded as in :mod:`.pairs`, from 50 uniform ``points``."""
    rule = jnp.asarray(exact_anticomplement, jnp.int32)
    bits = (points * 2**_POINT_BITS).astype(jnp.int32)
    share_bits = _POINT_BITS - 6  # of 64 shares
    code, place_in_share = bits >> share_bits, bits & (2**share_bits - 1)
    table = N_OCTANTS**2 * (len(PATTERNS) * rule + pattern)
    index = (table + code).astype(jnp.uint32)
    entry = jnp.asarray(_ALIASES.reshape(-1)).at[index].get(mode="promise_in_bounds")
    return jnp.where(place_in_share < entry >> 6, code, entry & 63).astype(jnp.int8)


def _alias_table(probabilities: np.ndarray) -> np.ndarray:
    """(n,) integers from which one look-up draws a cell with these probabilities (Walker 1977).

    Each of n equal shares of the unit interval belongs to its own cell up to a threshold and to
    one other cell, its alias, from there on: ``threshold · n + alias``, thresholds in units of
    ``2⁻¹⁸`` of a share. Vose's (1991) construction.
    """
    n = len(probabilities)
    full = float(2**_POINT_BITS // n)
    share = probabilities / probabilities.sum() * n * full
    threshold, alias = np.full(n, full), np.arange(n)
    small = [cell for cell in range(n) if share[cell] < full]
    large = [cell for cell in range(n) if share[cell] >= full]
    while small and large:
        cell, giver = small.pop(), large[-1]
        threshold[cell], alias[cell] = share[cell], giver
        share[giver] -= full - share[cell]
        if share[giver] < full:
            small.append(large.pop())
    # What is left over has a full share but for rounding, and keeps all of it.
    return (np.round(threshold) * n + alias).astype(np.int32)


_ALIASES = np.stack(
    [_alias_table(table.T.reshape(-1)) for table in np.concatenate(distributions())]
)
"""(14, 64): of each pattern by both rules; cells are the codes of :mod:`.pairs`."""
