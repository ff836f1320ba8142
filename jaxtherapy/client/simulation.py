"""Whole therapies for crowds of dyads, in one call.

Dyad ``i`` has its own key, and session ``t`` of it its own key again, whoever the therapist is and
however many dyads there are: two therapists given the same key meet the same clients.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int8, PRNGKeyArray

from jaxtherapy.client.client import ClientParams
from jaxtherapy.client.dyad import Dyad, Therapist, hold_session, intake, is_over


class Course(NamedTuple):
    """What happened session by session, (n_sessions, n_dyads); meaningful where ``held``."""

    held: Bool[Array, "sessions dyads"]
    client_act: Int8[Array, "sessions dyads"]
    therapist_act: Int8[Array, "sessions dyads"]
    heard_act: Int8[Array, "sessions dyads"]
    rs: Float[Array, "sessions dyads"]
    bond: Float[Array, "sessions dyads"]


def _begin(key: PRNGKeyArray, params: ClientParams, n_dyads: int) -> tuple[PRNGKeyArray, Dyad]:
    keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(n_dyads))
    dyads = jax.vmap(lambda k: intake(jax.random.fold_in(k, 0), params))(keys)
    return keys, dyads


def _session(
    keys: PRNGKeyArray, dyads: Dyad, therapist: Therapist, params: ClientParams
) -> tuple[Dyad, Course]:
    """One session of every dyad that is not over; the others stay as they are."""

    def one(key: PRNGKeyArray, dyad: Dyad) -> tuple[Dyad, Course]:
        key_therapist, key_session = jax.random.split(jax.random.fold_in(key, dyad.time + 1))
        act = jnp.asarray(therapist(key_therapist, dyad, params), jnp.int8)
        after = hold_session(key_session, dyad, act, params)
        held = ~is_over(dyad, params)
        after = jax.tree.map(partial(jnp.where, held), after, dyad)
        record = Course(
            held, dyad.client_act, act, after.heard_act, after.client.rs, after.client.bond
        )
        return after, record

    return jax.vmap(one)(keys, dyads)


def simulate(key: PRNGKeyArray, params: ClientParams, therapist: Therapist, n_dyads: int) -> Dyad:
    """Runs ``n_dyads`` therapies to their end.

    Args:
        key: decides everything random.
        params: the clients; not batched (``vmap`` over this function to vary them).
        therapist: a pure function, called for single dyads under ``vmap``. Static.
        n_dyads: how many. Static.

    Returns:
        The dyads as they ended, with a leading axis ``n_dyads``.
    """
    keys, dyads = _begin(key, params, n_dyads)

    def still_going(dyads: Dyad) -> Bool[Array, ""]:
        return ~jnp.all(is_over(dyads, params))

    def session(dyads: Dyad) -> Dyad:
        return _session(keys, dyads, therapist, params)[0]

    return jax.lax.while_loop(still_going, session, dyads)


def simulate_course(
    key: PRNGKeyArray, params: ClientParams, therapist: Therapist, n_dyads: int, n_sessions: int
) -> tuple[Dyad, Course]:
    """Like :func:`simulate`, for at most ``n_sessions`` (static), with everything recorded."""
    keys, dyads = _begin(key, params, n_dyads)

    def session(dyads: Dyad, _: None) -> tuple[Dyad, Course]:
        return _session(keys, dyads, therapist, params)

    return jax.lax.scan(session, dyads, length=n_sessions)
