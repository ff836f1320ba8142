"""Always dominant, always answered dominantly."""

import numpy as np

from jaxtherapy.client.octants import D
from jaxtherapy.client.patterns import certain


def distribution(exact: bool) -> np.ndarray:
    """(8, 8) probabilities of (client, therapist) pairs."""
    return certain(D, D)
