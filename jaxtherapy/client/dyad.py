"""A client and its therapist, session by session, until success, dropout or the last session."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import (
    Array,
    ArrayLike,
    Bool,
    Float,
    Float32,
    Int,
    Int8,
    Int16,
    PRNGKeyArray,
    UInt32,
)

from jaxtherapy.client import client as clients
from jaxtherapy.client.client import Client
from jaxtherapy.client.intake import N_POINTS, draw_client
from jaxtherapy.client.octants import N_OCTANTS
from jaxtherapy.client.params import ClientParams
from jaxtherapy.client.population import draw_numbers
from jaxtherapy.fast.promotion import ordinary
from jaxtherapy.fast.random_bits import uniforms

HISTORY_SESSIONS = 25
HISTORY_SIZE = 2 * HISTORY_SESSIONS
HISTORY_PADDING = N_OCTANTS


class Observation(NamedTuple):
    """What the therapist sees.

    Attributes:
        client_action: the pending client act, 0..7.
        session_number: sessions held, as a share of ``max_sessions``.
        history: the last 25 sessions as c, a, c, a, …, oldest first, padded at the end with 8.
    """

    client_action: Int[Array, ""]
    session_number: Float32[Array, "1"]
    history: Int8[Array, "50"]


class Dyad(struct.PyTreeNode):
    """A therapy in progress.

    Attributes:
        client: the hidden state of the client.
        client_act: the act on the table, to be answered.
        heard_act: the last therapist act as the client heard it; 8 before the first.
        history: what the therapist remembers, acts as enacted.
        time: sessions held so far.
        initial_rs: RS at intake.
        pattern: index of the pattern that the initial memory was drawn from; −1 if it was given.
        success: whether the threshold was reached. Dropout in the same session wins.
        dropped_out: whether the client left.
        exchanges: how often each client act (rows) got each answer (columns), acts as enacted, in
            all sessions so far; None where nobody asks for it.
        drawn: by name, those numbers of the client that it drew at intake.
        success_time: the session of the first success, 0 before; None where therapy ends with it.
    """

    client: Client
    client_act: Int8[Array, ""]
    heard_act: Int8[Array, ""]
    history: Int8[Array, "50"]
    time: Int[Array, ""]
    initial_rs: Float[Array, ""]
    pattern: Int8[Array, ""]
    success: Bool[Array, ""]
    dropped_out: Bool[Array, ""]
    exchanges: Int16[Array, "8 8"] | None = None
    drawn: dict[str, Array] = struct.field(default_factory=dict)
    success_time: Int[Array, ""] | None = None


@ordinary
def intake(key: PRNGKeyArray, params: ClientParams, number: Int[ArrayLike, ""] = 0) -> Dyad:
    """Client ``number`` of this key, who acts first; other numbers are independent clients."""
    n = N_POINTS + 1
    points = uniforms(key, n, start=n * jnp.asarray(number, jnp.uint32))
    drawn = draw_numbers(key, params, number)
    params = params.replace(**drawn)
    client, pattern = draw_client(points[:-1], params)
    client_act = clients.act(points[-1], client, params)
    return open_with(client, client_act, pattern, params.stop_at_success).replace(drawn=drawn)


def intakes(key: PRNGKeyArray, params: ClientParams, numbers: Int[Array, " n"]) -> Dyad:
    """New clients of one key, by number, along a leading axis."""
    return jax.vmap(lambda number: intake(key, params, number))(numbers)


def open_with(
    client: Client,
    client_act: Int[ArrayLike, ""],
    pattern: Int[ArrayLike, ""] = -1,
    stop_at_success: bool = True,
) -> Dyad:
    """The dyad of a given client whose first act is given too."""
    return Dyad(
        client=client,
        client_act=jnp.asarray(client_act, jnp.int8),
        heard_act=jnp.int8(HISTORY_PADDING),
        history=jnp.full((HISTORY_SIZE,), HISTORY_PADDING, jnp.int8),
        time=jnp.int32(0),
        initial_rs=client.rs,
        pattern=jnp.asarray(pattern, jnp.int8),
        success=jnp.bool_(False),
        dropped_out=jnp.bool_(False),
        success_time=None if stop_at_success else jnp.int32(0),
    )


def counted(dyad: Dyad) -> Dyad:
    """A dyad at intake, whose exchanges are counted from now on."""
    return dyad.replace(exchanges=jnp.zeros((N_OCTANTS, N_OCTANTS), jnp.int16))


@ordinary
def observe(dyad: Dyad, params: ClientParams) -> Observation:
    """The therapist's view: memory, RS, bond, threshold and utilities stay hidden."""
    params = params.numbers_of(dyad)
    return Observation(
        client_action=dyad.client_act.astype(jnp.int32),
        session_number=(dyad.time / params.max_sessions).astype(jnp.float32)[None],
        history=dyad.history,
    )


def note_session(
    history: Int8[Array, "50"],
    time: Int[Array, ""],
    client_act: Int[Array, ""],
    therapist_act: Int[ArrayLike, ""],
) -> Int8[Array, "50"]:
    """The therapist's history after one more session; the oldest of 25 drops out."""
    place = jnp.arange(HISTORY_SIZE, dtype=jnp.int8)
    newest = 2 * jnp.minimum(time, HISTORY_SESSIONS - 1).astype(jnp.int8)
    full = jnp.asarray(time >= HISTORY_SESSIONS)
    kept = jnp.where(full, jax.lax.pad(history, jnp.int8(0), [(-2, 2, 0)]), history)
    answered = jnp.where(place == newest + 1, jnp.asarray(therapist_act, jnp.int8), kept)
    return jnp.where(place == newest, jnp.asarray(client_act, jnp.int8), answered)


@ordinary
def respond(
    dyad: Dyad,
    therapist_act: Int[ArrayLike, ""],
    heard_act: Int[ArrayLike, ""],
    params: ClientParams,
) -> Dyad:
    """One session up to its outcome, given what the client heard; its next act is still open."""
    params, heard_act = params.numbers_of(dyad), jnp.asarray(heard_act, jnp.int8)
    client = clients.experience(dyad.client, dyad.client_act, heard_act, params)
    time = dyad.time + 1
    dropped_out = (time == params.dropout_session) & (client.rs < dyad.initial_rs)
    success = (client.rs >= clients.rs_threshold(client, params.threshold)) & ~dropped_out
    success_time = dyad.success_time
    if success_time is not None:
        success_time = jnp.where(success & ~dyad.success, time, success_time)
        success = success | dyad.success
    return dyad.replace(
        client=client,
        heard_act=heard_act,
        history=note_session(dyad.history, dyad.time, dyad.client_act, therapist_act),
        time=time,
        success=success,
        dropped_out=dropped_out,
        exchanges=_one_more(dyad.exchanges, dyad.client_act, therapist_act),
        success_time=success_time,
    )


def _one_more(
    exchanges: Int16[Array, "8 8"] | None,
    client_act: Int[Array, ""],
    therapist_act: Int[ArrayLike, ""],
) -> Int16[Array, "8 8"] | None:
    if exchanges is None:
        return None
    octants = jnp.arange(N_OCTANTS, dtype=jnp.int8)
    happened = (octants[:, None] == client_act) & (octants == jnp.asarray(therapist_act, jnp.int8))
    return exchanges + happened.astype(jnp.int16)


@ordinary
def hold_session(
    key: PRNGKeyArray,
    dyad: Dyad,
    therapist_act: Int[ArrayLike, ""],
    params: ClientParams,
    number: Int[ArrayLike, ""] = 0,
) -> Dyad:
    """One session: the therapist answers, the client hears, feels and, if it stays, acts again.

    Args:
        key: of this session; many dyads may share it.
        dyad: before.
        therapist_act: 0..7.
        params: of the client.
        number: of this dyad among those that share the key; each has random numbers of its own.
    """
    params = params.numbers_of(dyad)
    hearing, acting = uniforms(key, 2, start=_first_point(number) + 1)
    heard_act = clients.hear_act(hearing, dyad.client, therapist_act, params)
    after = respond(dyad, therapist_act, heard_act, params)
    next_act = clients.act(acting, after.client, params)
    return after.replace(client_act=jnp.where(is_over(after, params), dyad.client_act, next_act))


def therapist_point(key: PRNGKeyArray, number: Int[ArrayLike, ""] = 0) -> Float32[Array, ""]:
    """The uniform by which the therapist of a dyad draws its act in the session of this key."""
    return uniforms(key, 1, start=_first_point(number))[0]


def _first_point(number: Int[ArrayLike, ""]) -> UInt32[Array, ""]:
    """Where a dyad's three random numbers of a session begin: its therapist's, then its own."""
    return 3 * jnp.asarray(number, jnp.uint32)


def relapsed(dyad: Dyad, params: ClientParams) -> Bool[Array, "*dyads"]:
    """There was a success, and RS is below the threshold now."""
    threshold = clients.rs_threshold(dyad.client, params.numbers_of(dyad).threshold)
    return dyad.success & (dyad.client.rs < threshold)


def terminated(dyad: Dyad) -> Bool[Array, "*dyads"]:
    """The therapy came to its own end: dropout, or success if it stops there."""
    return dyad.dropped_out if dyad.success_time is not None else dyad.success | dyad.dropped_out


def sessions_to_success(dyad: Dyad) -> Int[Array, "*dyads"]:
    """Sessions until the first success; meaningful where there was one."""
    return dyad.time if dyad.success_time is None else dyad.success_time


def just_succeeded(dyad: Dyad) -> Bool[Array, "*dyads"]:
    """The last session brought the first success."""
    return dyad.success & (sessions_to_success(dyad) == dyad.time)


def truncated(dyad: Dyad, params: ClientParams) -> Bool[Array, "*dyads"]:
    """The sessions ran out before the therapy came to its own end."""
    return (dyad.time >= params.numbers_of(dyad).max_sessions) & ~terminated(dyad)


def is_over(dyad: Dyad, params: ClientParams) -> Bool[Array, "*dyads"]:
    """Its own end, or the last session."""
    return terminated(dyad) | truncated(dyad, params)
