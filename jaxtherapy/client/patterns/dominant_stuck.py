"""Stuck in dominant acts, which were answered dominantly."""

import numpy as np

from jaxtherapy.client.octants import CD, WD, D
from jaxtherapy.client.patterns import stuck


def distribution(exact: bool) -> np.ndarray:
    """(8, 8) probabilities of (client, therapist) pairs."""
    return stuck([D, WD, CD], [D, WD, CD], exact)
