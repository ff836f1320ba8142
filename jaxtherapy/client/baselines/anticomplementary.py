"""Always the anticomplement of the client's act."""

import jax.numpy as jnp
from jaxtyping import Array, Int8, PRNGKeyArray

from jaxtherapy.client.dyad import Dyad
from jaxtherapy.client.octants import ANTICOMPLEMENT
from jaxtherapy.client.params import ClientParams


def therapist(key: PRNGKeyArray, dyad: Dyad, params: ClientParams) -> Int8[Array, ""]:
    """Opposite on affiliation, same on control."""
    return jnp.asarray(ANTICOMPLEMENT)[dyad.client_act]
