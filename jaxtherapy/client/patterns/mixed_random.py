"""Anything, answered by anything."""

import numpy as np

from jaxtherapy.client.octants import N_OCTANTS


def distribution(exact: bool) -> np.ndarray:
    """(8, 8) probabilities of (client, therapist) pairs."""
    return np.full((N_OCTANTS, N_OCTANTS), 1 / N_OCTANTS**2)
