"""Whole therapies for crowds of dyads, in one call.

A session has one key, and each dyad random numbers of its own within it, by number: whoever the
therapist is and however many dyads there are, two therapists given the same key meet the same
clients.
"""

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Int8, PRNGKeyArray, PyTree

from jaxtherapy.client.dyad import Dyad, counted, hold_session, intake, is_over
from jaxtherapy.client.params import ClientParams, check_params
from jaxtherapy.client.population import draw_numbers
from jaxtherapy.client.therapists import INVALID, AnyTherapist, Therapist, as_therapist, checked
from jaxtherapy.fast.promotion import ordinary

_THERAPISTS = 2**31
"""Beyond the numbers of dyads: sets the therapists' keys apart from their clients' draws."""


class Course(NamedTuple):
    """What happened session by session, (n_sessions, n_dyads); meaningful where ``held``."""

    held: Bool[Array, "sessions dyads"]
    client_act: Int8[Array, "sessions dyads"]
    therapist_act: Int8[Array, "sessions dyads"]
    heard_act: Int8[Array, "sessions dyads"]
    rs: Float[Array, "sessions dyads"]
    bond: Float[Array, "sessions dyads"]


class Meeting(NamedTuple):
    """A dyad and what its therapist remembers."""

    dyad: Dyad
    memory: PyTree


def begin(
    key: PRNGKeyArray, number: int | Int[Array, ""], therapist: Therapist, params: ClientParams
) -> Meeting:
    """The intake of client ``number`` of this key."""
    dyad = intake(_intake_key(key), params, number)
    memory = therapist.begin(params.numbers_of(dyad))
    return Meeting(counted(dyad) if therapist.counts else dyad, memory)


def params_of(
    key: PRNGKeyArray, params: ClientParams, number: int | Int[Array, ""]
) -> ClientParams:
    """The numbers of client ``number`` of this key, with what it draws at intake."""
    return params.replace(**draw_numbers(_intake_key(key), params, number))


def _intake_key(key: PRNGKeyArray) -> PRNGKeyArray:
    return jax.random.fold_in(key, 0)


def session(
    key: PRNGKeyArray,
    time: Int[Array, ""],
    number: int | Int[Array, ""],
    before: Meeting,
    therapist: Therapist,
    params: ClientParams,
) -> tuple[Meeting, Course]:
    """Session ``time`` (from 1) of one dyad; a therapy that is over stays as it is."""
    dyad, memory = before
    key = jax.random.fold_in(key, time)
    key_therapist = jax.random.fold_in(jax.random.fold_in(key, _THERAPISTS), number)
    memory, act = therapist.act(key_therapist, memory, therapist.see(dyad, params.numbers_of(dyad)))
    act = jnp.asarray(act, jnp.int8)
    after = Meeting(hold_session(key, dyad, act, params, number), memory)
    held = ~is_over(dyad, params)
    after = jax.tree.map(partial(jnp.where, held), after, before)
    record = Course(
        held,
        dyad.client_act,
        act,
        after.dyad.heard_act,
        after.dyad.client.rs,
        after.dyad.client.bond,
    )
    return after, record


@ordinary
def simulate(
    key: PRNGKeyArray, params: ClientParams, therapist: AnyTherapist, n_dyads: int
) -> Dyad:
    """Runs ``n_dyads`` therapies to their end.

    Args:
        key: decides everything random.
        params: the clients; not batched (``vmap`` over this function to vary them).
        therapist: pure, called for single dyads under ``vmap``. Static.
        n_dyads: how many. Static.

    Returns:
        The dyads as they ended, with a leading axis ``n_dyads``.

    Raises:
        ValueError: numbers that no client can have, or acts that are none of 0..7. Within ``jit``
            and ``vmap``, where values are not known, nothing is checked.
    """
    therapist, numbers = _checked(key, params, therapist), jnp.arange(n_dyads)
    Carry = tuple[Int[Array, ""], Meeting]

    def still_going(carry: Carry) -> Bool[Array, ""]:
        return ~jnp.all(is_over(carry[1].dyad, params))

    def next_session(carry: Carry) -> Carry:
        time, before = carry
        held = jax.vmap(lambda i, each: session(key, time, i, each, therapist, params)[0])
        return time + 1, held(numbers, before)

    first = jax.vmap(lambda i: begin(key, i, therapist, params))(numbers)
    return _valid(jax.lax.while_loop(still_going, next_session, (jnp.int32(1), first))[1])


@ordinary
def simulate_course(
    key: PRNGKeyArray,
    params: ClientParams,
    therapist: AnyTherapist,
    n_dyads: int,
    n_sessions: int,
) -> tuple[Dyad, Course]:
    """Like :func:`simulate`, for at most ``n_sessions`` (static), with everything recorded."""
    therapist, numbers = _checked(key, params, therapist), jnp.arange(n_dyads)

    def next_session(before: Meeting, time: Int[Array, ""]) -> tuple[Meeting, Course]:
        held = jax.vmap(lambda i, each: session(key, time, i, each, therapist, params))
        return held(numbers, before)

    first = jax.vmap(lambda i: begin(key, i, therapist, params))(numbers)
    last, course = jax.lax.scan(next_session, first, jnp.arange(1, n_sessions + 1))
    return _valid(last), course


class _ActsValid(NamedTuple):
    """The memory of a therapist whose acts are checked, beside its own."""

    own: PyTree
    valid: Bool[Array, ""]


def _checked(key: PRNGKeyArray, params: ClientParams, therapist: AnyTherapist) -> Therapist:
    """The therapist, which remembers whether its acts are valid where numbers are known."""
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((key, params))):
        return as_therapist(therapist)
    check_params(params)
    careful = checked(therapist)

    def act(key: PRNGKeyArray, memory: _ActsValid, view: Any) -> tuple[_ActsValid, Int[Array, ""]]:
        own, act = careful.act(key, memory.own, view)
        return _ActsValid(own, memory.valid & (act != INVALID)), act

    return replace(
        careful, act=act, begin=lambda params: _ActsValid(careful.begin(params), jnp.bool_(True))
    )


def _valid(last: Meeting) -> Dyad:
    known = isinstance(last.memory, _ActsValid) and not isinstance(
        last.memory.valid, jax.core.Tracer
    )
    if known and not last.memory.valid.all():
        raise ValueError("the therapist does acts outside 0..7")
    return last.dyad
