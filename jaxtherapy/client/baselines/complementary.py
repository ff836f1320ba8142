"""Always the complement of the client's act."""

import jax.numpy as jnp
from jaxtyping import Array, Int8, PRNGKeyArray

from jaxtherapy.client.dyad import Dyad
from jaxtherapy.client.octants import COMPLEMENT
from jaxtherapy.client.params import ClientParams


def therapist(key: PRNGKeyArray, dyad: Dyad, params: ClientParams) -> Int8[Array, ""]:
    """Same on affiliation, opposite on control: Tracey's (1993) harmonious answer."""
    return jnp.asarray(COMPLEMENT)[dyad.client_act]
