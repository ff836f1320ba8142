"""Any octant."""

import jax
from jaxtyping import Array, Int, PRNGKeyArray

from jaxtherapy.client.dyad import Dyad
from jaxtherapy.client.octants import N_OCTANTS
from jaxtherapy.client.params import ClientParams


def therapist(key: PRNGKeyArray, dyad: Dyad, params: ClientParams) -> Int[Array, ""]:
    """Any octant, uniformly."""
    return jax.random.randint(key, (), 0, N_OCTANTS)
