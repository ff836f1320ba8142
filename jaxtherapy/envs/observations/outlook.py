"""What :mod:`.consequences` shows, and where keeping to each of the therapist's acts would lead."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxtherapy.client.client import Client, expected_payoffs, share_of_range, with_bond
from jaxtherapy.client.dyad import Dyad
from jaxtherapy.client.memory import MEMORY_SIZE
from jaxtherapy.client.octants import N_OCTANTS
from jaxtherapy.client.pairs import encode_pairs
from jaxtherapy.client.params import ClientParams
from jaxtherapy.envs.observations import View, consequences
from jaxtherapy.envs.observations.consequences import BLUNT, Consequences

HORIZONS = 4, 12
"""Sessions for which the client's pending act gets one and the same answer."""


def observe(dyad: Dyad, params: ClientParams) -> Consequences:
    """As :func:`.consequences.observe`, with more columns for each of the therapist's acts."""
    view, client, acts = consequences.observe(dyad, params), dyad.client, jnp.arange(N_OCTANTS)
    utilities = share_of_range(client, client.utilities)
    keep_to = jax.vmap(after, (None, None, None, 0, None))
    columns = []
    for sessions in HORIZONS:
        later = keep_to(client, params, dyad.client_act, acts, sessions)
        soon = jax.vmap(next_acts, (0, None))(later, params)
        columns += [
            jax.vmap(share_of_range)(later, later.rs),
            later.bond,
            jnp.sum(soon * jnp.max(utilities, axis=0), axis=1),
            jnp.sum(soon * utilities, axis=1),
            *soon.T,
        ]

    def stays(act: Int[Array, ""], client_act: Int[Array, ""]) -> Float[Array, ""]:
        settled = after(client, params, client_act, act, MEMORY_SIZE)
        return next_acts(settled, params, BLUNT / 2)[client_act]

    stay = jax.vmap(jax.vmap(stays, (None, 0)), (0, None))(acts, acts)
    settled = stay * utilities  # what a pair is worth, if the client stays with it
    columns += [jnp.max(settled, axis=1), stay[:, dyad.client_act], *settled.T]
    more = jnp.stack(columns, axis=-1).astype(jnp.float32)
    return view._replace(acts=jnp.concatenate([view.acts, more], axis=-1))


def after(
    client: Client,
    params: ClientParams,
    client_act: Int[Array, ""],
    act: Int[Array, ""],
    sessions: int,
) -> Client:
    """The client after so many sessions of one and the same exchange, all heard as meant."""
    same = jnp.full(sessions, encode_pairs(client_act, act), client.memory.dtype)
    return with_bond(client.replace(memory=jnp.append(client.memory[sessions:], same)), params)


def next_acts(
    client: Client, params: ClientParams, temperature: float = BLUNT
) -> Float[Array, "8"]:
    """The acts that the client may show next."""
    payoffs = share_of_range(client, expected_payoffs(client, params))
    return jax.nn.softmax(payoffs / temperature)


view = View(observe, encoder="consequences")
"""For clients whose next answer says little of where therapy leads."""
