"""Therapies by the million: streamed through one compiled program, at a memory that stays flat.

Therapies end at different lengths. A program has *lanes* in lockstep; a lane whose therapy is over
takes the next of a queue, so no lane waits for the longest. Client ``i`` has the same random
numbers in every kind of client, for every therapist, and whichever lane treats it, as in
:mod:`jaxtherapy.client.simulation`: differences between therapists are paired, and so are those
between kinds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, PRNGKeyArray, PyTree

from jaxtherapy.client import dyad as dyads
from jaxtherapy.client.client import share_of_range
from jaxtherapy.client.octants import N_OCTANTS
from jaxtherapy.client.params import STATIC, ClientParams, leaves_of
from jaxtherapy.client.simulation import Course, Meeting, begin, session
from jaxtherapy.client.therapists import INVALID, Therapist
from jaxtherapy.evaluation.outcomes import NOT_HELD, Outcomes, Record, Tally, outcome
from jaxtherapy.fast.row_replacement import replace_rows

SESSIONS = 8
"""Held between two looks at who is done; a lane waits for half of them."""

Family = Callable[[PyTree], Therapist]
"""Makes a therapist from what tells it from others of its family: weights, or a number."""

ANY_OCTANT = np.full((N_OCTANTS, N_OCTANTS), 1 / N_OCTANTS, np.float32)


@dataclass(frozen=True)
class Cell(ClientParams):
    """Clients of one kind, and P(act | client act) by which a stationary control answers them."""

    answers: Any = field(default_factory=ANY_OCTANT.copy)


jax.tree_util.register_dataclass(Cell, leaves_of(Cell), STATIC)


class Cells(NamedTuple):
    """Cells of one structure: what they share, and what differs along a leading axis."""

    shared: Cell
    own: dict[str, PyTree]

    @classmethod
    def of(cls, cells: Sequence[ClientParams]) -> "Cells":
        """Whatever is the same in all of them stays a scalar, which is cheaper."""
        numbers = {
            name: jax.tree.map(
                lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]),
                *[getattr(cell, name) for cell in cells],
            )
            for name in leaves_of(ClientParams)
        }
        own: dict[str, Any] = {
            name: number
            for name, number in numbers.items()
            if any(np.any(leaf != leaf[0]) for leaf in jax.tree.leaves(number))
        }
        shared = jax.tree.map(lambda leaf: leaf[0], numbers)
        static = {name: getattr(cells[0], name) for name in STATIC}
        return jax.tree.map(jnp.asarray, cls(Cell(**static, **shared), own))

    def answered(self, answers: Any) -> "Cells":
        """With a control's answers, of each cell its own."""
        return self._replace(own=self.own | {"answers": jnp.asarray(answers)})


class Queue(NamedTuple):
    """Therapies to be held, along a leading axis; the last ones may be there to fill it up.

    Attributes:
        n: how many count.
        cell: the kind of client, by number.
        client: number of the client; it decides its random numbers.
        therapist: which of the family, where each therapy has its own; else None.
    """

    n: Int[Any, ""]
    cell: Int[Any, " queue"]
    client: Int[Any, " queue"]
    therapist: PyTree = None


class _Lanes(NamedTuple):
    """What lanes are at.

    Attributes:
        place: in the queue; beyond its end where there is nothing to do.
        client: its number.
        numbers: of its cell, those in which cells differ.
        therapist: of its own, if each has one.
        meeting: the therapy.
        tally: of its sessions.
    """

    place: Int[Array, " lanes"]
    client: Int[Array, " lanes"]
    numbers: PyTree
    therapist: PyTree
    meeting: Meeting
    tally: Tally


class _Progress(NamedTuple):
    """How far a queue is: places taken, lanes, which of them are free, how therapies ended, their
    records, and whether all acts were of the eight."""

    taken: Int[Array, ""]
    lanes: _Lanes
    free: Bool[Array, " lanes"]
    ends: Outcomes
    records: Record
    valid: Bool[Array, ""]


@dataclass(frozen=True)
class Stream:
    """A queue of therapies, and all it takes to hold them.

    Attributes:
        family: of therapists.
        n_lanes: in lockstep.
        n_sessions: that are recorded, at least ``max_sessions``; 0: none.
        key, luck: decide the clients, by number, and all that happens to them; may be the same.
        cells: the kinds of clients.
        queue: who is treated.
        therapist: which of the family, where it is the same in all therapies.
    """

    family: Family
    n_lanes: int
    n_sessions: int
    key: PRNGKeyArray
    luck: PRNGKeyArray
    cells: Cells
    queue: Queue
    therapist: PyTree = None

    @property
    def size(self) -> int:
        """Of the queue."""
        return int(self.queue.cell.shape[0])

    def play(self) -> tuple[Outcomes, Record, Bool[Array, ""]]:
        """How all therapies ended, their records (therapies first), and whether all acts were of
        the eight."""
        one = jax.eval_shape(self._take, jnp.zeros(self.n_lanes, jnp.int32))
        lanes = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), one)
        ends = jax.eval_shape(jax.vmap(self._end), lanes)[1]
        ends = jax.tree.map(lambda leaf: jnp.zeros((self.size,), leaf.dtype), ends)
        shape = self.size, -(-self.n_sessions // SESSIONS), SESSIONS
        blank = Record(
            jnp.full(shape, NOT_HELD, jnp.int16), jnp.zeros(shape, lanes.tally.highest_rs.dtype)
        )
        everyone = jnp.ones((self.n_lanes,), bool)
        start = _Progress(jnp.int32(0), lanes, everyone, ends, blank, jnp.bool_(True))

        def going(now: _Progress) -> Bool[Array, ""]:
            return ~jnp.all(now.free) | (now.taken < self.queue.n)

        last = jax.lax.while_loop(going, self._advance, start)
        records = jax.tree.map(
            lambda x: x.reshape(self.size, shape[1] * SESSIONS)[:, : self.n_sessions], last.records
        )
        return last.ends, records, last.valid

    def _advance(self, now: _Progress) -> _Progress:
        """Free lanes take the next therapies, sessions are held, and ends are noted."""
        following = now.taken + jnp.cumsum(now.free, dtype=jnp.int32) - 1
        begins = now.free & (following < self.queue.n)
        lanes = replace_rows(
            begins, lambda lane: self._take(following[lane]), now.lanes, max(1, self.n_lanes // 8)
        )
        idle = now.free & ~begins
        lanes = lanes._replace(place=jnp.where(idle, self.size, lanes.place))
        sessions_before = lanes.meeting.dyad.time
        lanes, course = jax.lax.scan(self._hold, lanes, length=SESSIONS)
        valid = now.valid & jnp.all(~course.held | (course.therapist_act != INVALID))
        records = now.records
        if self.n_sessions:
            where = lanes.place, sessions_before // SESSIONS
            records = jax.tree.map(
                lambda all, new: all.at[where].set(new.T, mode="drop"), records, _record(course)
            )
        over, end = jax.vmap(self._end)(lanes)
        place = jnp.where(over, lanes.place, self.size)
        ends = jax.tree.map(lambda all, new: all.at[place].set(new, mode="drop"), now.ends, end)
        taken = now.taken + jnp.sum(begins, dtype=jnp.int32)
        return _Progress(taken, lanes, idle | over, ends, records, valid)

    def _take(self, place: Int[Array, " n"]) -> _Lanes:
        queue = self.queue
        numbers = jax.tree.map(lambda leaf: leaf[queue.cell[place]], self.cells.own)
        therapist = jax.tree.map(lambda leaf: leaf[place], queue.therapist)

        def begun(client: Int[Array, ""], therapist: PyTree, numbers: PyTree) -> Any:
            meeting = begin(self.key, client, *self._who(therapist, numbers))
            return meeting, Tally.blank(meeting.dyad.client.rs.dtype)

        client = queue.client[place]
        begin_all = jax.vmap(begun)
        return _Lanes(place, client, numbers, therapist, *begin_all(client, therapist, numbers))

    def _who(self, therapist: PyTree, numbers: PyTree) -> tuple[Therapist, ClientParams]:
        which = self.therapist if self.queue.therapist is None else therapist
        return self.family(which), self.cells.shared.replace(**numbers)

    def _hold(self, lanes: _Lanes, _: None) -> tuple[_Lanes, Course]:
        """The next session of every lane."""

        def hold(lane: _Lanes) -> tuple[_Lanes, Course]:
            who = self._who(lane.therapist, lane.numbers)
            time = lane.meeting.dyad.time + 1
            after, now = session(self.luck, time, lane.client, lane.meeting, *who)
            now = now._replace(
                held=now.held & (lane.place < self.size),
                rs=share_of_range(after.dyad.client, now.rs),
            )
            return lane._replace(meeting=after, tally=lane.tally.after(now)), now

        return jax.vmap(hold)(lanes)

    def _end(self, lane: _Lanes) -> tuple[Bool[Array, ""], Outcomes]:
        params = self.cells.shared.replace(**lane.numbers)
        dyad = lane.meeting.dyad
        return dyads.is_over(dyad, params), outcome(dyad, lane.tally, params)


def _record(now: Course) -> Record:
    """Sessions as records have them; those that were not held too."""
    client, therapist, heard = (
        act.astype(jnp.int16) for act in (now.client_act, now.therapist_act, now.heard_act)
    )
    code = (client * N_OCTANTS + therapist) * N_OCTANTS + heard
    code = jnp.where(now.therapist_act == INVALID, INVALID, code)
    code = jnp.where(now.held, code, NOT_HELD)
    return Record(code.astype(jnp.int16), jnp.where(now.held, now.rs, 0))
