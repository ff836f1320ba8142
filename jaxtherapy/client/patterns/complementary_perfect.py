"""Mostly warm acts, each answered with its complement."""

import numpy as np

from jaxtherapy.client.octants import CD, COMPLEMENT, CS, N_OCTANTS, WD, WS, C, D, S, W
from jaxtherapy.client.patterns import uniform


def distribution(exact: bool) -> np.ndarray:
    """(8, 8) probabilities of (client, therapist) pairs."""
    client = 0.7 * uniform([WD, W, WS]) + 0.2 * uniform([D, S]) + 0.1 * uniform([CS, C, CD])
    return client[:, None] * np.eye(N_OCTANTS)[COMPLEMENT]
