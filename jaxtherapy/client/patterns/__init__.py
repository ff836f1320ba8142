"""The relationship history that a client brings: initial-memory patterns.

The 50 remembered exchanges are independent draws from one joint distribution over (client,
therapist) octant pairs, so a pattern *is* an 8×8 table of probabilities, in float64. Each file here
makes one: ``distribution(exact)`` gives (8, 8) probabilities that sum to 1; ``exact`` is the later
revision of the model in which stuck patterns answer with the anticomplement.
"""

from collections.abc import Sequence

import numpy as np

from jaxtherapy.client.octants import ANTICOMPLEMENT, N_OCTANTS
from jaxtherapy.discovery import Choices

_CHOICES = Choices(
    "client/patterns",
    "distribution",
    first=(
        *("cold_stuck", "dominant_stuck", "submissive_stuck", "cold_warm"),
        *("complementary_perfect", "conflictual", "mixed_random"),
    ),
)

PATTERNS = tuple(_CHOICES)
"""Names; a dyad's pattern is an index into them."""


def uniform(octants: Sequence[int]) -> np.ndarray:
    """(8,) probabilities: uniform over these."""
    return np.isin(np.arange(N_OCTANTS), octants) / len(octants)


def certain(client: int, therapist: int) -> np.ndarray:
    """Always the same exchange."""
    table = np.zeros((N_OCTANTS, N_OCTANTS))
    table[client, therapist] = 1.0
    return table


def stuck(pool: Sequence[int], answers: Sequence[int], exact: bool) -> np.ndarray:
    """80 % pool acts, 20 % any act; pool acts get a pool answer (or their anticomplement)."""
    anything = uniform(range(N_OCTANTS))
    client = 0.8 * uniform(pool) + 0.2 * anything
    therapist_given_client = np.tile(anything, (N_OCTANTS, 1))
    for act in pool:
        therapist_given_client[act] = uniform([int(ANTICOMPLEMENT[act])] if exact else answers)
    return client[:, None] * therapist_given_client


def distributions() -> np.ndarray:
    """(2, patterns, 8, 8): anticomplement rule (0 ``pool``, 1 ``exact``), pattern, client,
    therapist."""
    return np.stack([[_CHOICES[name](exact) for name in PATTERNS] for exact in (False, True)])


def pattern_weights(patterns: Sequence[str]) -> np.ndarray:
    """(patterns,) mixture weights that draw uniformly from a list of names; a repeated name weighs
    more. Raises ValueError: the list is empty or holds an unknown name."""
    if not patterns:
        raise ValueError("at least one pattern is needed")
    counts = np.zeros(len(PATTERNS))
    for name in patterns:
        if name not in PATTERNS:
            raise ValueError(f"{name!r} is none of {', '.join(PATTERNS)}")
        counts[PATTERNS.index(name)] += 1
    return counts / counts.sum()
