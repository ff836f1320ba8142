"""The relationship history that a client brings: seven initial-memory patterns.

The 50 remembered exchanges are independent draws from one joint distribution over (client,
therapist) octant pairs, so a pattern *is* an 8×8 table of probabilities. The tables are built
here once, in float64, from the rules that define them; drawing is one uniform per pair.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int8

from jaxtherapy.client.octants import (
    ANTICOMPLEMENT,
    CD,
    COMPLEMENT,
    CS,
    N_OCTANTS,
    WD,
    WS,
    C,
    D,
    S,
    W,
)

PATTERNS = (
    "cold_stuck",
    "dominant_stuck",
    "submissive_stuck",
    "cold_warm",
    "complementary_perfect",
    "conflictual",
    "mixed_random",
)


def _uniform(octants: Sequence[int]) -> np.ndarray:
    return np.isin(np.arange(N_OCTANTS), octants) / len(octants)


def _stuck(pool: Sequence[int], answers: Sequence[int], exact: bool) -> np.ndarray:
    """80 % pool acts, 20 % any act; pool acts get a pool answer (or their anticomplement)."""
    anything = _uniform(range(N_OCTANTS))
    client = 0.8 * _uniform(pool) + 0.2 * anything
    therapist_given_client = np.tile(anything, (N_OCTANTS, 1))
    for act in pool:
        therapist_given_client[act] = _uniform([ANTICOMPLEMENT[act]] if exact else answers)
    return client[:, None] * therapist_given_client


def _joint_distributions(exact: bool) -> np.ndarray:
    """(7, 8, 8) probabilities of (client, therapist) pairs, in the order of ``PATTERNS``."""
    cold_warm = np.zeros((N_OCTANTS, N_OCTANTS))
    cold_warm[C, W] = 1.0
    conflictual = np.zeros((N_OCTANTS, N_OCTANTS))
    conflictual[D, D] = 1.0
    client = 0.7 * _uniform([WD, W, WS]) + 0.2 * _uniform([D, S]) + 0.1 * _uniform([CS, C, CD])
    complementary = client[:, None] * np.eye(N_OCTANTS)[COMPLEMENT]
    return np.stack(
        [
            _stuck([CS, C, CD], [WD, W, WS], exact),
            _stuck([D, WD, CD], [D, WD, CD], exact),
            _stuck([WS, S, CS], [WS, S, CS], exact),
            cold_warm,
            complementary,
            conflictual,
            np.full((N_OCTANTS, N_OCTANTS), 1 / N_OCTANTS**2),
        ]
    )


PATTERN_DISTRIBUTIONS = np.stack([_joint_distributions(exact) for exact in (False, True)])
"""(2, 7, 8, 8): anticomplement rule (0 ``pool``, 1 ``exact``), pattern, client, therapist."""


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


_POINT_BITS = 24
"""Of uniform points, see :mod:`.chance`."""

_ALIASES = np.stack(
    [_alias_table(table.T.reshape(-1)) for tables in PATTERN_DISTRIBUTIONS for table in tables]
)
"""(14, 64): of each pattern by both rules; cells are the codes of :mod:`.pairs`."""


def pattern_weights(patterns: Sequence[str]) -> np.ndarray:
    """(7,) mixture weights that draw uniformly from a list of names; a repeated name weighs more.

    Raises:
        ValueError: the list is empty or holds an unknown name.
    """
    if not patterns:
        raise ValueError("at least one pattern is needed")
    counts = np.zeros(len(PATTERNS))
    for name in patterns:
        if name not in PATTERNS:
            raise ValueError(f"{name!r} is none of {', '.join(PATTERNS)}")
        counts[PATTERNS.index(name)] += 1
    return counts / counts.sum()


def draw_pattern(point: Float[Array, ""], weights: Float[Array, "7"]) -> Int8[Array, ""]:
    """The index of one pattern, by weights (normalised or not) and a uniform ``point``."""
    cumulative = jnp.cumsum(jnp.asarray(weights))
    return jnp.sum(cumulative[:-1] <= point * cumulative[-1]).astype(jnp.int8)


def draw_memory(
    points: Float[Array, "50"], pattern: Int[Array, ""], exact_anticomplement: Bool[Array, ""]
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
