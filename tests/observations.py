"""What therapists see, made up."""

import numpy as np

from jaxtherapy.client.dyad import Observation


def observations(seed, *leading):
    rng = np.random.default_rng(seed)
    return Observation(
        client_action=rng.integers(0, 8, leading),
        session_number=rng.random((*leading, 1), np.float32),
        history=rng.integers(0, 9, (*leading, 50)).astype(np.int8),
    )
