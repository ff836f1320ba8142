"""Clients and therapies with everything random given, compiled once per mechanism."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxtherapy.client import client as clients
from jaxtherapy.client import dyad as dyads
from jaxtherapy.client.pairs import encode_pairs
from jaxtherapy.client.params import ClientParams
from jaxtherapy.envs.rewards import reward

N_SESSIONS = 60

ACCURATE = 0.0
INACCURATE = 1 - 2**-24
"""Points that force hearing, for any baseline accuracy strictly between 0 and 1."""


class Feelings(NamedTuple):
    rs: jax.Array
    bond: jax.Array
    expected_payoffs: jax.Array
    probabilities: jax.Array
    rs_threshold: jax.Array


class Session(NamedTuple):
    """Before the therapist acts: observation and probabilities. After: everything else."""

    expected_payoffs: jax.Array
    probabilities: jax.Array
    client_action: jax.Array
    session_number: jax.Array
    history: jax.Array
    heard_act: jax.Array
    rs: jax.Array
    bond: jax.Array
    success: jax.Array
    dropped_out: jax.Array
    terminated: jax.Array
    truncated: jax.Array
    reward: jax.Array


compile_well = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 1})
"""``jax.jit`` for simulations of many, which take longer than compiling does."""


def is_double():
    """Whether this process computes in float64, as under ``JAX_ENABLE_X64=1``."""
    return bool(jax.config.jax_enable_x64)


def arrays(params):
    """Parameters with every leaf an array, so that no value of any leaf is compiled in."""
    return jax.tree.map(np.asarray, params)


def _new_client(u, memory, params):
    u = jnp.asarray(u, float)
    return clients.new_client(u, encode_pairs(memory[:, 0], memory[:, 1]), params)


@jax.jit
def feelings(u, memory, params: ClientParams) -> Feelings:
    """What a given client feels and expects."""
    client = _new_client(u, memory, params)
    return Feelings(
        client.rs,
        client.bond,
        clients.expected_payoffs(client, params),
        clients.probabilities(client, params),
        clients.rs_threshold(client, params.threshold),
    )


@jax.jit
def replay(u, memory, client_acts, therapist_acts, hearing_points, params: ClientParams):
    """``N_SESSIONS`` sessions of a given client with given acts.

    Does not stop when the therapy is over: the caller looks as far as it wants.

    Returns:
        The dyad as it began, and the sessions, stacked.
    """

    def session(dyad, given):
        client_act, therapist_act, hearing_point = given
        dyad = dyad.replace(client_act=client_act)
        before = dyads.observe(dyad, params)
        heard = clients.hear_act(hearing_point, dyad.client, therapist_act, params)
        after = dyads.respond(dyad, therapist_act, heard, params)
        return after, Session(
            expected_payoffs=clients.expected_payoffs(dyad.client, params),
            probabilities=clients.probabilities(dyad.client, params),
            client_action=before.client_action,
            session_number=before.session_number[0],
            history=before.history,
            heard_act=after.heard_act,
            rs=after.client.rs,
            bond=after.client.bond,
            success=after.success,
            dropped_out=after.dropped_out,
            terminated=dyads.terminated(after),
            truncated=dyads.truncated(after, params),
            reward=reward(after, params),
        )

    client_acts = client_acts.astype(jnp.int8)
    begun = dyads.open_with(_new_client(u, memory, params), client_acts[0])
    given = (client_acts, therapist_acts.astype(jnp.int8), hearing_points)
    return begun, jax.lax.scan(session, begun, given)[1]
