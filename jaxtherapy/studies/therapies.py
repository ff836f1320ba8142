"""Therapies by the million: streamed through one compiled program, at a memory that stays flat.

Therapies end at different lengths. A program has *lanes* in lockstep; a lane whose therapy is over
takes the next of a queue, so no lane waits for the longest. Client ``i`` has the same random
numbers for every therapist and every kind of client, as in :mod:`jaxtherapy.evaluation.grid`, and
whichever lane treats it.
"""

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, PRNGKeyArray, PyTree

from jaxtherapy.client import dyad as dyads
from jaxtherapy.client.params import ClientParams
from jaxtherapy.client.simulation import Meeting, begin, session
from jaxtherapy.client.therapists import INVALID, Therapist
from jaxtherapy.errors import RunError
from jaxtherapy.evaluation.grid import Cells, Family, worker_count
from jaxtherapy.evaluation.outcomes import Outcomes, ending
from jaxtherapy.fast.row_replacement import replace_rows

LANES = {"cpu": 2_048, "gpu": 131_072}
"""Therapies in lockstep: on a CPU few enough that their state stays in a core's cache."""

FILLS = 32
"""Therapies of a queue per lane: at its end lanes are empty for the length of one therapy."""

SESSIONS = 8
"""Held between two looks at who is done; a lane waits for half of them."""

SLOW = 4
"""Lanes of a therapist that takes a second for a therapy: few, so that calls are short."""


class Queue(NamedTuple):
    """Therapies to be held, along a leading axis; the last ones may be there to fill it up.

    Attributes:
        n: how many count.
        kind: of client, by number.
        client: number of the client; it decides its random numbers.
        therapist: which of the family, where each therapy has its own; else None.
    """

    n: Int[Any, ""]
    kind: Int[Any, " queue"]
    client: Int[Any, " queue"]
    therapist: PyTree = None


class _Lanes(NamedTuple):
    """What lanes are at.

    Attributes:
        place: in the queue.
        client: its number.
        numbers: of its kind, those in which kinds differ.
        therapist: of its own, if each has one.
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
        therapist: which of the family, where it is the same in all therapies.
    """

    family: Family
    n_lanes: int
    key: PRNGKeyArray
    kinds: Cells
    queue: Queue
    therapist: PyTree = None

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
        therapist = jax.tree.map(lambda leaf: leaf[place], queue.therapist)
        client = queue.client[place]
        begun = jax.vmap(lambda *of_one: begin(self.key, of_one[0], *self._who(*of_one[1:])))
        return _Lanes(place, client, numbers, therapist, begun(client, therapist, numbers))

    def _who(self, therapist: PyTree, numbers: PyTree) -> tuple[Therapist, ClientParams]:
        which = self.therapist if self.queue.therapist is None else therapist
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
        return dyads.is_over(lane.meeting.dyad, params), ending(lane.meeting.dyad, params)


# --- many queues ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Treating:
    """A therapist of a study.

    Attributes:
        name: in tables.
        family: of therapists that one program plays.
        weights: which of them; of one that is new for each therapy, an example.
        anew: whether it is.
        trusted: whether its acts are of the eight for certain.
        slow: whether it takes a second for a therapy, as the planner does.
    """

    name: str
    family: Family
    weights: PyTree = ()
    anew: bool = False
    trusted: bool = True
    slow: bool = False


class Played(NamedTuple):
    """How therapies ended, and the seconds that they took a core."""

    outcomes: Outcomes
    seconds: float


class Crowd:
    """Kinds of clients of one structure, and the programs that treat them, on all cores.

    A context: what has not begun when it is left in an error never begins.

    Args:
        clients: of each kind; kinds differ in numbers alone.
        n_therapies: that each therapist will hold, or so.
    """

    def __init__(self, clients: Sequence[ClientParams], n_therapies: int) -> None:
        self.compile_seconds = 0.0
        kinds = Cells.of(clients)
        own = {name: leaf for name, leaf in kinds.own.items() if name != "answers"}
        self._kinds = kinds._replace(own=own)
        platform = jax.devices()[0].platform
        self._most_lanes = min(LANES["cpu" if platform == "cpu" else "gpu"], n_therapies)
        self.n_workers = worker_count(platform)
        self._pool = ThreadPoolExecutor(self.n_workers)
        self._programs: dict[Family, Future[Any]] = {}

    def __enter__(self) -> "Crowd":
        return self

    def __exit__(self, *error: object) -> None:
        broken = any(error)
        self._pool.shutdown(wait=not broken, cancel_futures=broken)

    def queue_size(self, slow: bool = False) -> int:
        """Therapies in a call, at most."""
        return FILLS * self._lanes(slow)

    def _lanes(self, slow: bool) -> int:
        return min(SLOW, self._most_lanes) if slow else self._most_lanes

    def prepare(self, who: Treating) -> Future[Any]:
        """Has the program of a therapist compiled, if it is not yet."""
        if who.family not in self._programs:
            self._programs[who.family] = self._pool.submit(self._compile, who)
        return self._programs[who.family]

    def start(
        self,
        who: Treating,
        key: PRNGKeyArray,
        kind: Int[np.ndarray, " n"],
        client: Int[np.ndarray, " n"],
        weights: PyTree = None,
    ) -> Future[Played]:
        """Begins therapies, at most :meth:`queue_size`, with these clients of these kinds.

        ``weights``: of each therapy, for a therapist that is new for each.
        """
        queue = Queue(np.int32(len(kind)), kind.astype(np.int32), client.astype(np.int32), weights)
        return self._pool.submit(self._run, self.prepare(who), who, key, queue)

    def _compile(self, who: Treating) -> Any:
        started = time.perf_counter()
        size = self.queue_size(who.slow)
        index = jax.ShapeDtypeStruct((size,), jnp.int32)
        each = jax.tree.map(lambda x: jax.ShapeDtypeStruct((size, *x.shape), x.dtype), who.weights)
        queue = Queue(jnp.int32(0), index, index, each if who.anew else None)

        def play(key: PRNGKeyArray, kinds: Cells, queue: Queue, weights: PyTree) -> Any:
            return Stream(who.family, self._lanes(who.slow), key, kinds, queue, weights).play()

        weights = None if who.anew else who.weights
        lowered = jax.jit(play).lower(jax.random.key(0), self._kinds, queue, weights)
        compiled = lowered.compile()
        self.compile_seconds += time.perf_counter() - started
        return compiled

    def _run(self, program: Future[Any], who: Treating, key: PRNGKeyArray, queue: Queue) -> Played:
        compiled, started = program.result(), time.perf_counter()
        n, size = int(queue.n), self.queue_size(who.slow)
        filled = jax.tree.map(
            lambda x: np.pad(x, [(0, size - n)] + [(0, 0)] * (x.ndim - 1)), queue._replace(n=None)
        )
        weights = None if who.anew else who.weights
        outcomes, valid = compiled(key, self._kinds, filled._replace(n=queue.n), weights)
        if not who.trusted and not valid:
            raise RunError(f"therapist {who.name} does acts outside 0..7")
        ended = jax.tree.map(lambda x: np.asarray(x)[:n], outcomes)
        return Played(ended, time.perf_counter() - started)
