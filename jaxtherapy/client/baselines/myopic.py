"""The act with the best expected RS after this session: knows the client, looks one step ahead."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from jaxtherapy.client.dyad import Dyad
from jaxtherapy.client.memory import recency_weights
from jaxtherapy.client.params import ClientParams
from jaxtherapy.client.perception import habitual_act


def expected_next_rs(dyad: Dyad, params: ClientParams) -> Float[Array, "8"]:
    """E[RS after this session] for each act, over what the client may hear; in utility units.

    ``Σ_{i<49} w_i·u[pair_{i+1}] + w_49·(p·u[c, a] + (1 − p)·u[c, habitual])``, with ``p`` the
    probability of hearing the act as it was.
    """
    client, weights = dyad.client, recency_weights(params.recency_ratio)
    kept = jnp.sum(weights[:-1] * client.utilities.reshape(-1)[client.memory[1:]])
    accuracy = jnp.where(params.enable_parataxic, params.baseline_accuracy, 1.0)
    gains = client.u[dyad.client_act]
    heard = accuracy * gains + (1 - accuracy) * gains[habitual_act(client.memory)]
    return kept + weights[-1] * heard


def therapist(key: PRNGKeyArray, dyad: Dyad, params: ClientParams) -> Int[Array, ""]:
    """Picks the act with the best expected RS after this session."""
    return jnp.argmax(expected_next_rs(dyad, params))
