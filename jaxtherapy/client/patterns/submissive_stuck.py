"""Stuck in submissive acts, which were answered submissively."""

import numpy as np

from jaxtherapy.client.octants import CS, WS, S
from jaxtherapy.client.patterns import stuck


def distribution(exact: bool) -> np.ndarray:
    """(8, 8) probabilities of (client, therapist) pairs."""
    return stuck([WS, S, CS], [WS, S, CS], exact)
