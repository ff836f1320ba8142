"""Stuck in cold acts, which were answered warmly."""

import numpy as np

from jaxtherapy.client.octants import CD, CS, WD, WS, C, W
from jaxtherapy.client.patterns import stuck


def distribution(exact: bool) -> np.ndarray:
    """(8, 8) probabilities of (client, therapist) pairs."""
    return stuck([CS, C, CD], [WD, W, WS], exact)
