"""Warms to what the client likes most: knows the client, and plays for what comes later."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PRNGKeyArray

from jaxtherapy.client.dyad import Dyad
from jaxtherapy.client.octants import N_OCTANTS, WARM
from jaxtherapy.client.params import ClientParams

_IS_WARM = np.isin(np.arange(N_OCTANTS), WARM)


def therapist(key: PRNGKeyArray, dyad: Dyad, params: ClientParams) -> Int[Array, ""]:
    """Warm acts are answered with the therapist's act of the client's highest utility, every
    other act with its best answer."""
    utilities = dyad.client.utilities
    favourite = jnp.argmax(jnp.max(utilities, axis=1))
    best_answer = jnp.argmax(utilities[:, dyad.client_act])
    return jnp.where(jnp.asarray(_IS_WARM)[dyad.client_act], favourite, best_answer)
