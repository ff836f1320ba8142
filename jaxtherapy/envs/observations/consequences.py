"""The client's whole state, answer by answer: what each would be worth, and where it may lead."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float32

from jaxtherapy.client.client import expected_payoffs, frequencies, share_of_range
from jaxtherapy.client.dyad import Dyad
from jaxtherapy.client.memory import recency_weights, weighted_counts
from jaxtherapy.client.octants import N_OCTANTS
from jaxtherapy.client.params import ClientParams
from jaxtherapy.client.perception import habitual_act
from jaxtherapy.envs.observations import View

SHARP, BLUNT = 0.01, 0.07
"""Temperatures, in shares of the client's range: of what is nearly the best utility, and of the
acts that the client may show soon."""


class Consequences(NamedTuple):
    """What is seen of each of the therapist's acts, and of the therapy as a whole."""

    acts: Float32[Array, "8 n_act"]
    therapy: Float32[Array, " n_therapy"]


def observe(dyad: Dyad, params: ClientParams) -> Consequences:
    """Utilities, RS and payoffs as shares of the client's range."""
    client, every_pair = dyad.client, jnp.arange(N_OCTANTS**2, dtype=jnp.float32)
    utilities = share_of_range(client, client.utilities)
    answers, highest = utilities[:, dyad.client_act], jnp.max(utilities, axis=1)
    memory = weighted_counts(client.memory, recency_weights(params.recency_ratio), every_pair)
    payoffs = share_of_range(client, expected_payoffs(client, params))
    soon = jax.nn.softmax(payoffs / BLUNT)
    acts = [
        answers,
        jax.nn.softmax(answers / SHARP),
        jnp.sum(utilities * soon, axis=1),
        highest,
        jax.nn.softmax(highest / SHARP),
        frequencies(client, params),
        jax.nn.one_hot(habitual_act(client.memory), N_OCTANTS),
        *utilities.T,
        *memory.reshape(N_OCTANTS, N_OCTANTS).T,
    ]
    favourite = jnp.argmax(jnp.max(utilities, axis=0))  # the client's act of its highest utility
    therapy = [
        share_of_range(client, client.rs),
        share_of_range(client, dyad.initial_rs),
        client.bond,
        params.threshold,
        1 - dyad.time / params.max_sessions,
        dyad.time >= params.dropout_session,
        dyad.client_act == favourite,
        soon[favourite],
        jnp.max(payoffs) - payoffs[favourite],
        *jax.nn.one_hot(dyad.client_act, N_OCTANTS),
        *soon,
        *payoffs,
    ]
    return Consequences(
        jnp.stack(acts, axis=-1).astype(jnp.float32),
        jnp.stack([jnp.asarray(x, jnp.float32) for x in therapy]),
    )


view = View(observe, encoder="consequences")
