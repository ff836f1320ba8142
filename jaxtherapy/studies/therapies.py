"""Therapies by the million: streamed through one compiled program, at a memory that stays flat.

Therapies end at different lengths. A program has *lanes* in lockstep; a lane whose therapy is over
takes the next of a queue, so no lane waits for the longest. Client ``i`` has the same random
numbers for every therapist and every kind of client, as in :mod:`jaxtherapy.evaluation.grid`, and
whichever lane treats it.
"""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from jaxtherapy.client import dyad as dyads
from jaxtherapy.client.params import ClientParams
from jaxtherapy.client.simulation import Meeting, begin, session
from jaxtherapy.client.therapists import INVALID, Therapist
from jaxtherapy.errors import RunError
from jaxtherapy.evaluation.candidates import Candidate
from jaxtherapy.evaluation.grid import (
    Cells,
    Family,
    Outcomes,
    outcome,
    worker_count,
)
from jaxtherapy.fast.row_replacement import replace_rows

LANES = {"cpu": 2_048, "gpu": 131_072}
"""Therapies in lockstep: on a CPU few enough that their state stays in a core's cache."""

FILLS = 32
"""Therapies of a queue per lane: at its end lanes are empty for the length of one therapy."""

SESSIONS = 8
"""Sessions between two looks at who is done; a lane waits for half of them."""


class Queue(NamedTuple):
    """Therapies to be held, along a leading axis; the last ones may be there to fill it up.

    Attributes:
        kind: of client, by number.
        client: number of the client; it decides its random numbers.
        therapist: which of the family, where each therapy may have another.
        n: how many count.
    """

    kind: Int[Any, " queue"]
    client: Int[Any, " queue"]
    therapist: Int[Any, " queue"]
    n: Int[Any, ""]


class _Lanes(NamedTuple):
    """What lanes are at.

    Attributes:
        place: in the queue.
        client: its number.
        numbers: of its kind, those in which kinds differ.
        therapist: what tells its therapist from others, where each therapy may have another.
        meeting: the therapy.
    """

    place: Int[Array, " lanes"]
    client: Int[Array, " lanes"]
    numbers: PyTree
    therapist: PyTree
    meeting: Meeting


class _Progress(NamedTuple):
    """How far a queue is: places taken, lanes, which of them are free, how therapies ended, and
    whether all acts were of the eight."""

    taken: Int[Array, ""]
    lanes: _Lanes
    free: Bool[Array, " lanes"]
    ends: Outcomes
    valid: Bool[Array, ""]


@dataclass(frozen=True)
class Stream:
    """A queue of therapies, and all it takes to hold them.

    Attributes:
        family: of therapists.
        n_lanes: in lockstep.
        key: decides the clients, by number, and everything that happens to them.
        kinds: of clients.
        queue: who is treated.
        therapist: which of the family.
        therapists: instead, along a leading axis, those that ``queue.therapist`` counts.
    """

    family: Family
    n_lanes: int
    key: PRNGKeyArray
    kinds: Cells
    queue: Queue
    therapist: PyTree = None
    therapists: PyTree = None

    def play(self) -> tuple[Outcomes, Bool[Array, ""]]:
        """How all therapies ended, and whether all acts were of the eight."""
        size = self.queue.kind.shape[0]
        one = jax.eval_shape(self._take, jnp.zeros(self.n_lanes, jnp.int32))
        lanes = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), one)
        ends = jax.eval_shape(jax.vmap(self._end), lanes)[1]
        ends = jax.tree.map(lambda leaf: jnp.zeros((size,), leaf.dtype), ends)
        everyone = jnp.ones((self.n_lanes,), bool)
        start = _Progress(jnp.int32(0), lanes, everyone, ends, jnp.bool_(True))

        def going(now: _Progress) -> Bool[Array, ""]:
            return ~jnp.all(now.free) | (now.taken < self.queue.n)

        last = jax.lax.while_loop(going, self._advance, start)
        return last.ends, last.valid

    def _advance(self, now: _Progress) -> _Progress:
        """Free lanes take the next therapies, sessions are held, and ends are noted."""
        following = now.taken + jnp.cumsum(now.free, dtype=jnp.int32) - 1
        begins = now.free & (following < self.queue.n)
        lanes = replace_rows(
            begins, lambda lane: self._take(following[lane]), now.lanes, max(1, self.n_lanes // 8)
        )
        (lanes, valid), idle = self._sessions(lanes), now.free & ~begins
        over, end = jax.vmap(self._end)(lanes)
        place = jnp.where(over & ~idle, lanes.place, self.queue.kind.shape[0])
        ends = jax.tree.map(lambda all, new: all.at[place].set(new, mode="drop"), now.ends, end)
        taken = now.taken + jnp.sum(begins, dtype=jnp.int32)
        return _Progress(taken, lanes, idle | over, ends, now.valid & jnp.all(valid | idle))

    def _take(self, place: Int[Array, " n"]) -> _Lanes:
        queue = self.queue
        numbers = jax.tree.map(lambda leaf: leaf[queue.kind[place]], self.kinds.own)
        therapist = jax.tree.map(lambda leaf: leaf[queue.therapist[place]], self.therapists)
        client = queue.client[place]
        begun = jax.vmap(lambda *of_one: begin(self.key, of_one[0], *self._who(*of_one[1:])))
        return _Lanes(place, client, numbers, therapist, begun(client, therapist, numbers))

    def _who(self, therapist: PyTree, numbers: PyTree) -> tuple[Therapist, ClientParams]:
        which = self.therapist if self.therapists is None else therapist
        return self.family(which), self.kinds.shared.replace(**numbers)

    def _sessions(self, lanes: _Lanes) -> tuple[_Lanes, Bool[Array, " lanes"]]:
        """The next sessions of all lanes, and which of these have done acts of the eight alone."""

        def held(lane: _Lanes) -> tuple[Meeting, Bool[Array, ""]]:
            who = self._who(lane.therapist, lane.numbers)
            time = lane.meeting.dyad.time + 1
            after, record = session(self.key, time, lane.client, lane.meeting, *who)
            return after, ~record.held | (record.therapist_act != INVALID)

        def one(
            _: Int[Array, ""], carry: tuple[_Lanes, Bool[Array, " lanes"]]
        ) -> tuple[_Lanes, Bool[Array, " lanes"]]:
            before, valid = carry
            meeting, now_valid = jax.vmap(held)(before)
            return before._replace(meeting=meeting), valid & now_valid

        valid = jnp.ones((self.n_lanes,), bool)
        return jax.lax.fori_loop(0, SESSIONS, one, (lanes, valid))

    def _end(self, lane: _Lanes) -> tuple[Bool[Array, ""], Outcomes]:
        params = self.kinds.shared.replace(**lane.numbers)
        return dyads.is_over(lane.meeting.dyad, params), outcome(lane.meeting.dyad, params)
