"""Always cold, always answered warmly."""

import numpy as np

from jaxtherapy.client.octants import C, W
from jaxtherapy.client.patterns import certain


def distribution(exact: bool) -> np.ndarray:
    """(8, 8) probabilities of (client, therapist) pairs."""
    return certain(C, W)
