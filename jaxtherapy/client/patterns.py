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
from jaxtherapy.client.pairs import encode_pairs

MEMORY_SIZE = 50

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


def _cumulative(probabilities: np.ndarray) -> np.ndarray:
    """Cumulative sums over the last axis that end in exactly 1, from the last possible cell on."""
    cumulative = np.cumsum(probabilities, axis=-1)
    possible_later = np.cumsum(probabilities[..., ::-1], axis=-1)[..., ::-1] - probabilities > 0
    return np.where(possible_later, cumulative, 1.0)


_CUMULATIVE = _cumulative(PATTERN_DISTRIBUTIONS.reshape(2, len(PATTERNS), N_OCTANTS**2))


def pattern_weights(patterns: Sequence[str]) -> np.ndarray:
    """(7,) mixture weights that draw uniformly from a list of names; a repeated name weighs more.

    Raises:
        ValueError: the list is empty or holds an unknown name.
    """
    if not patterns:
        raise ValueError("at least one pattern is needed")
    counts = np.zeros(len(PATTERNS))
    for name in patterns:
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
    table = N_OCTANTS**2 * (len(PATTERNS) * rule + pattern)
    cumulative = jnp.asarray(_CUMULATIVE).reshape(-1)
    # A cell is drawn when its lower bound ≤ point < upper bound: impossible cells never are.
    # Six bisections find it among 64; the cells they ask for exist, so nothing needs checking.
    cell = jnp.zeros(points.shape, jnp.int32)
    for half in (32, 16, 8, 4, 2, 1):
        place = (table + cell + half - 1).astype(jnp.uint32)
        is_above = cumulative.at[place].get(mode="promise_in_bounds") <= points
        cell += jnp.where(is_above, half, 0)
    return encode_pairs(cell // N_OCTANTS, cell % N_OCTANTS)
