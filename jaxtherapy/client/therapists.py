"""Therapists that need no training: baselines to beat."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Int8, PRNGKeyArray

from jaxtherapy.client.client import ClientParams
from jaxtherapy.client.dyad import Dyad, Observation, Therapist, observe
from jaxtherapy.client.memory import recency_weights
from jaxtherapy.client.octants import ANTICOMPLEMENT, COMPLEMENT, N_OCTANTS, OCTANTS
from jaxtherapy.client.perception import habitual_act


def random(key: PRNGKeyArray, dyad: Dyad, params: ClientParams) -> Int[Array, ""]:
    """Any octant, uniformly."""
    return jax.random.randint(key, (), 0, N_OCTANTS)


def complementary(key: PRNGKeyArray, dyad: Dyad, params: ClientParams) -> Int8[Array, ""]:
    """Same on affiliation, opposite on control: Tracey's (1993) harmonious answer."""
    return jnp.asarray(COMPLEMENT)[dyad.client_act]


def anticomplementary(key: PRNGKeyArray, dyad: Dyad, params: ClientParams) -> Int8[Array, ""]:
    """Opposite on affiliation, same on control."""
    return jnp.asarray(ANTICOMPLEMENT)[dyad.client_act]


def mirror(key: PRNGKeyArray, dyad: Dyad, params: ClientParams) -> Int8[Array, ""]:
    """The client's own act."""
    return dyad.client_act


def constant(octant: int) -> Therapist:
    """Always the same octant."""

    def therapist(key: PRNGKeyArray, dyad: Dyad, params: ClientParams) -> Int8[Array, ""]:
        return jnp.int8(octant)

    return therapist


def expected_next_rs(dyad: Dyad, params: ClientParams) -> Float[Array, "8"]:
    """E[RS after this session] for each act, over what the client may hear; in utility units.

    ``Σ_{i<49} w_i·u[pair_{i+1}] + w_49·(p·u[c, a] + (1 − p)·u[c, habitual])``, with ``p`` the
    probability of hearing the act as it was.
    """
    client, weights = dyad.client, recency_weights(params.recency_ratio)
    kept = jnp.sum(weights[:-1] * client.worth.reshape(-1)[client.memory[1:]])
    accuracy = jnp.where(params.enable_parataxic, params.baseline_accuracy, 1.0)
    gains = client.u[dyad.client_act]
    return kept + weights[-1] * (
        accuracy * gains + (1 - accuracy) * gains[habitual_act(client.memory)]
    )


def myopic(key: PRNGKeyArray, dyad: Dyad, params: ClientParams) -> Int[Array, ""]:
    """Knows the client, and picks the act with the best expected RS after this session."""
    return jnp.argmax(expected_next_rs(dyad, params))


def from_observation(
    respond: Callable[[PRNGKeyArray, Observation], Int[Array, ""]],
) -> Therapist:
    """A therapist from a function of what a therapist may see, ``(key, observation) -> act``."""

    def therapist(key: PRNGKeyArray, dyad: Dyad, params: ClientParams) -> Int[Array, ""]:
        return respond(key, observe(dyad, params))

    return therapist


BASELINES: dict[str, Therapist] = {
    "complementary": complementary,
    "random": random,
    "anticomplementary": anticomplementary,
    "mirror": mirror,
    "myopic": myopic,
    **{f"constant_{name}": constant(octant) for octant, name in enumerate(OCTANTS)},
}
"""By name. ``myopic`` sees the whole client, the others only its act."""
