"""Everything that decides how a therapy goes on: for a critic, or a therapist that knows all."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float32

from jaxtherapy.client.client import expected_payoffs, share_of_range
from jaxtherapy.client.dyad import Dyad
from jaxtherapy.client.memory import recency_weights, weighted_counts
from jaxtherapy.client.octants import N_OCTANTS
from jaxtherapy.client.params import ClientParams
from jaxtherapy.envs.observations import View


def observe(dyad: Dyad, params: ClientParams) -> dict[str, Float32[Array, "..."]]:
    """Utilities, RS and payoffs as shares of the client's range; acts one-hot or in their order."""
    client, weights = dyad.client, recency_weights(params.recency_ratio)
    every_pair = jnp.arange(N_OCTANTS**2, dtype=jnp.float32)
    seen = {
        "client_act": jax.nn.one_hot(dyad.client_act, N_OCTANTS),
        "utilities": share_of_range(client, client.utilities),
        "answers": share_of_range(client, client.u[dyad.client_act]),
        "memory": weighted_counts(client.memory, weights, every_pair),
        "payoffs": share_of_range(client, expected_payoffs(client, params)),
        "rs": share_of_range(client, client.rs),
        "initial_rs": share_of_range(client, dyad.initial_rs),
        "bond": client.bond,
        "threshold": jnp.asarray(params.threshold),
        "time_left": 1 - dyad.time / params.max_sessions,
        "stays": dyad.time >= params.dropout_session,
    }
    if dyad.success_time is not None:  # once it is reached, there is nothing more to reach
        seen["threshold"] = jnp.where(dyad.success, 0, seen["threshold"])
    return jax.tree.map(lambda x: x.astype(jnp.float32), seen)


view = View(observe, encoder="flat")
