"""What the client expects from each of its own acts.

For each own octant the client sorts eight adjusted utilities and reads them at a position set by
its bond: the worst it could get when it has none, the best when it trusts fully.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int8

from jaxtherapy.client.octants import N_OCTANTS

# Batcher's odd-even merge sort of eight: 19 compare-exchanges, no data-dependent control flow.
_SORTING_NETWORK = (
    *((0, 1), (2, 3), (4, 5), (6, 7)),
    *((0, 2), (1, 3), (4, 6), (5, 7)),
    *((1, 2), (5, 6)),
    *((0, 4), (1, 5), (2, 6), (3, 7)),
    *((2, 4), (3, 5)),
    *((1, 2), (3, 4), (5, 6)),
)


def sort_octants(values: Float[Array, "*rows 8"]) -> tuple[Float[Array, "*rows"], ...]:
    """Eight arrays: the order statistics of the last axis, ascending."""
    columns = [values[..., j] for j in range(N_OCTANTS)]
    for low, high in _SORTING_NETWORK:
        a, b = columns[low], columns[high]
        columns[low], columns[high] = jnp.minimum(a, b), jnp.maximum(a, b)
    return tuple(columns)


def read_at_bond(values: Float[Array, "*rows 8"], bond: Float[Array, ""]) -> Float[Array, "*rows"]:
    """Reads the sorted last axis at position ``bond · 7``, interpolating linearly.

    Written as a sum of hat functions over the order statistics, which needs no gather:
    the two neighbours of the position have weights that sum to 1, all others 0.
    """
    position = bond * (N_OCTANTS - 1)
    expected = jnp.zeros_like(values[..., 0])
    for rank, statistic in enumerate(sort_octants(values)):
        expected += jnp.maximum(0.0, 1.0 - jnp.abs(position - rank)) * statistic
    return expected


def amplified(u: Float[Array, "8 8"], amplification: Float[Array, "*own 8"]) -> Float[Array, "8 8"]:
    """Adjusted utilities: ``u[i, j] · (1 + amplification[…, j])``."""
    # Column by column, as it will be sorted: as a whole, XLA would write it out and read it again.
    columns = [u[:, j] * (1 + amplification[..., j]) for j in range(N_OCTANTS)]
    return jnp.stack(columns, axis=-1)


def act_probabilities(
    expected_payoffs: Float[Array, "8"], entropy: Float[ArrayLike, ""]
) -> Float[Array, "8"]:
    """``softmax(expected payoff / entropy)``; entropy is a temperature."""
    return jax.nn.softmax(expected_payoffs / entropy)


def choose_act(point: Float[Array, ""], logits: Float[Array, "8"]) -> Int8[Array, ""]:
    """Draws from ``softmax(logits)`` by inverting its cumulative sum at ``point`` in [0, 1).

    Written column by column: ``jnp.cumsum`` of eight numbers becomes a window reduction that
    recomputes what it sums. Needs one uniform where the Gumbel trick needs eight.
    """
    columns = [logits[j] for j in range(N_OCTANTS)]
    peak = columns[0]
    for column in columns[1:]:
        peak = jnp.maximum(peak, column)
    total = jnp.zeros_like(peak)
    cumulative = []
    for column in columns:
        total += jnp.exp(column - peak)
        cumulative.append(total)
    below = [(bound <= point * total).astype(jnp.int8) for bound in cumulative[:-1]]
    return jnp.sum(jnp.stack(below), dtype=jnp.int8)
