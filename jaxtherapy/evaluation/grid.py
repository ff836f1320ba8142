"""Every therapist with the same clients, in every kind of client: a grid of therapies.

A *cell* is a kind of client: client parameters, any of which may differ from cell to cell.
Therapists that differ in weights or number alone are a *family*; one compiled program per family
and structure (mechanism, which numbers are drawn) plays any (cell, client) pairs.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from jaxtherapy.client.params import ClientParams
from jaxtherapy.client.simulation import params_of
from jaxtherapy.config.distributions import Distribution, largest
from jaxtherapy.devices.layout import available_cores
from jaxtherapy.errors import RunError
from jaxtherapy.evaluation.outcomes import NOT_HELD, Outcomes, Record
from jaxtherapy.evaluation.results import TherapistInfo
from jaxtherapy.evaluation.stream import ANY_OCTANT, Cells, Family, Queue, Stream

LANES = {"cpu": 4_096, "gpu": 131_072}
"""Therapies in lockstep: on a CPU few enough that their state stays in a core's cache."""

FILLS = 16
"""Therapies of a call per lane: at its end lanes are empty for the length of one therapy."""

VECTOR = 16
"""Lanes that a CPU's widest registers hold: of other numbers, the rest is slow."""

SLOW = 4
"""Lanes of a therapist that takes a second for a therapy: few, so that calls are short."""

RECORD_BYTES = {"cpu": 2**26, "gpu": 2**31}


@dataclass(frozen=True)
class Candidate:
    """A therapist to be played.

    Attributes:
        info: what is said of it.
        family: of therapists that one program plays.
        weights: which of them; of one that is new for each therapy, an example.
        trusted: whether its acts are of the eight for certain; else they are checked.
        anew: whether it is another in each therapy.
        at_once: therapies in a call at most, of one that takes a second for a therapy.
    """

    info: TherapistInfo
    family: Family
    weights: PyTree = ()
    trusted: bool = True
    anew: bool = False
    at_once: int | None = None

    @property
    def by_itself(self) -> "Candidate":
        """The same with a program of its own, which does not know the others of its family."""
        weights = jax.tree.map(jnp.asarray, self.weights)
        return replace(self, family=lambda nothing: self.family(weights), weights=())


# --- which therapies ------------------------------------------------------------------------


@dataclass(frozen=True)
class Design:
    """Which therapies every therapist holds: with ``n_clients`` in each of the cells. The key
    decides the clients and all that happens to them; of ``n_recorded`` in each cell the sessions
    are recorded."""

    cells: Sequence[ClientParams]
    n_clients: int
    key: PRNGKeyArray
    n_recorded: Sequence[int]

    @property
    def n_sessions(self) -> int:
        """The longest therapy."""
        return max(int(largest(cell.max_sessions)) for cell in self.cells)

    def threshold_of(self, cell: int, client: int) -> float:
        """That of one client."""
        params = self.cells[cell]
        threshold: Any = params.threshold
        if isinstance(threshold, Distribution):
            threshold = _threshold_of(self.key, params, client)
        return float(threshold)

    @property
    def is_recorded(self) -> bool:
        """Whether any therapy is."""
        return sum(self.n_recorded) > 0

    @property
    def recorded(self) -> tuple[np.ndarray, np.ndarray]:
        """Cells and clients of the records, cell by cell: other clients in every cell, as long
        as there are any, since one client's therapies are alike everywhere (the same random
        numbers)."""
        cell = np.repeat(np.arange(len(self.cells)), self.n_recorded)
        return cell, np.arange(len(cell)) % self.n_clients


@jax.jit  # one program instead of thirty small ones
def _threshold_of(
    key: PRNGKeyArray, cell: ClientParams, client: Int[Array, ""]
) -> Float[Array, ""]:
    return params_of(key, cell, client).threshold


# --- programs -------------------------------------------------------------------------------


def batch_size(total: int, n_sessions: int, platform: str, workers: int) -> int:
    """Therapies per call: a whole number of nearly full batches, within memory where so many
    sessions of each are recorded."""
    device = "cpu" if platform == "cpu" else "gpu"
    largest = FILLS * LANES[device]
    if n_sessions:
        largest = max(1, min(largest, RECORD_BYTES[device] // (6 * n_sessions)))
    n_batches = -(-total // largest)
    if device == "cpu":
        n_batches = -(-n_batches // workers) * workers  # every worker gets as many
    return -(-total // min(n_batches, total))


def lanes_for(size: int, most: int) -> int:
    """As few as take no more turns than ``most`` would, in whole vectors."""
    each = -(-size // -(-size // most))
    return min(size, most, -(-each // VECTOR) * VECTOR)


def worker_count(platform: str) -> int:
    """Batches in flight: one per core; an accelerator is busy with one, and so is a CPU with
    asynchronous dispatch, where two programs can wait for each other for ever in XLA's thread
    pool."""
    if platform != "cpu" or jax.config.read("jax_cpu_enable_async_dispatch"):
        return 1
    return min(8, available_cores())


T = TypeVar("T")


class Batch(NamedTuple):
    """Places of therapies among those asked for, how they ended, their records, and the seconds
    that they took a core."""

    places: np.ndarray
    outcomes: Outcomes
    records: Record
    seconds: float


class Programs:
    """Compiled programs that play any therapies of a design, compiled while others play.

    A context: what has not begun when it is left in an error never begins.

    Args:
        design: kinds of clients, and about how many therapies each therapist holds.
        candidates: whose programs are compiled, in this order.
    """

    def __init__(self, design: Design, candidates: Sequence[Candidate]) -> None:
        self.compile_seconds = 0.0
        self._key, self._n_sessions = design.key, design.n_sessions * design.is_recorded
        platform = jax.devices()[0].platform
        self._most_lanes = LANES["cpu" if platform == "cpu" else "gpu"]
        self.n_workers = worker_count(platform)
        self._compiler, self._pool = ThreadPoolExecutor(1), ThreadPoolExecutor(self.n_workers)
        # By structure: the mechanism, and which numbers are drawn from what.
        places: dict[Any, list[int]] = {}
        for place, cell in enumerate(design.cells):
            places.setdefault(jax.tree.structure(cell), []).append(place)
        self._structures: dict[Any, tuple[np.ndarray, Cells, int]] = {}
        for structure, where in places.items():
            total = len(where) * design.n_clients
            size = batch_size(total, self._n_sessions, platform, self.n_workers)
            cells = Cells.of([design.cells[place] for place in where])
            if design.is_recorded:  # a control may answer them
                cells = cells.answered(np.tile(ANY_OCTANT, (len(where), 1, 1)))
            self._structures[structure] = np.array(where), cells, size
        self._programs: dict[tuple[Family, Any], Future[Any]] = {}
        for candidate in candidates:
            for structure in self._structures:
                if (candidate.family, structure) not in self._programs:
                    program = self._compiler.submit(self._compile, candidate, structure)
                    self._programs[candidate.family, structure] = program

    def __enter__(self) -> "Programs":
        return self

    def __exit__(self, *error: object) -> None:
        broken = any(error)
        for pool in (self._compiler, self._pool):
            pool.shutdown(wait=not broken, cancel_futures=broken)

    def most_at_once(self, candidate: Candidate) -> int:
        """Therapies of this therapist in a call."""
        return min(self._size(candidate, structure) for structure in self._structures)

    def _size(self, candidate: Candidate, structure: Any) -> int:
        size = self._structures[structure][-1]
        return size if candidate.at_once is None else min(size, candidate.at_once)

    def _compile(self, candidate: Candidate, structure: Any) -> Any:
        started = time.perf_counter()
        size, most_lanes = self._size(candidate, structure), self._most_lanes
        n_lanes = lanes_for(size, most_lanes if candidate.at_once is None else SLOW)
        index = jax.ShapeDtypeStruct((size,), jnp.int32)
        each = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct((size, *x.shape), x.dtype), candidate.weights
        )
        queue = Queue(jnp.int32(0), index, index, each if candidate.anew else None)
        weights = None if candidate.anew else candidate.weights

        def play(*arguments: Any) -> Any:
            return Stream(candidate.family, n_lanes, self._n_sessions, *arguments).play()

        cells = self._structures[structure][1]
        compiled = jax.jit(play).lower(self._key, self._key, cells, queue, weights).compile()
        self.compile_seconds += time.perf_counter() - started
        return compiled

    def wait(self) -> None:
        """Until everything is compiled."""
        for program in self._programs.values():
            program.result()

    def start(
        self,
        candidate: Candidate,
        cell: Int[np.ndarray, " n"],
        client: Int[np.ndarray, " n"],
        *,
        weights: PyTree = None,
        answers: Float[np.ndarray, "cells 8 8"] | None = None,
        key: PRNGKeyArray | None = None,
        luck: PRNGKeyArray | None = None,
    ) -> Iterator[Future[Batch]]:
        """Begins therapies with these clients.

        Args:
            candidate: one whose program there is.
            cell, client: who is treated.
            weights: of each therapy, for a therapist that is new for each.
            answers: of the control in every cell.
            key: decides the clients; the design's by default.
            luck: decides what happens to them; the same key by default.
        """
        key = self._key if key is None else key
        keys = key, key if luck is None else luck
        for structure, (where, cells, _) in self._structures.items():
            if answers is not None:
                cells = cells.answered(answers[where])
            places, size = np.flatnonzero(np.isin(cell, where)), self._size(candidate, structure)
            for start in range(0, len(places), size):
                part = places[start : start + size]
                queue = Queue(
                    np.int32(len(part)),
                    np.searchsorted(where, cell[part]).astype(np.int32),
                    client[part].astype(np.int32),
                    jax.tree.map(lambda x, part=part: x[part], weights),
                )
                run = partial(self._run, candidate, structure, keys)
                yield self._pool.submit(run, cells, queue, part)

    def _run(
        self,
        candidate: Candidate,
        structure: Any,
        keys: tuple[PRNGKeyArray, PRNGKeyArray],
        cells: Cells,
        queue: Queue,
        places: np.ndarray,
    ) -> Batch:
        program = self._programs[candidate.family, structure].result()
        started, n = time.perf_counter(), len(places)
        more = self._size(candidate, structure) - n
        filled = jax.tree.map(
            lambda x: np.pad(x, [(0, more)] + [(0, 0)] * (x.ndim - 1)), queue._replace(n=None)
        )
        weights = None if candidate.anew else candidate.weights
        *played, valid = program(*keys, cells, filled._replace(n=queue.n), weights)
        if not candidate.trusted and not valid:
            raise RunError(f"therapist {candidate.info.id} does acts outside 0..7")
        outcomes, records = jax.tree.map(lambda x: np.asarray(x)[:n], tuple(played))
        records = Record(*(part.T for part in records))
        return Batch(places, outcomes, records, time.perf_counter() - started)


def gather(futures: Sequence[Future[Batch]]) -> Batch:
    """All of them as one, in the order that was asked for."""
    parts = [future.result() for future in futures]
    places = np.concatenate([part.places for part in parts])
    order = np.argsort(places)
    outcomes, records = jax.tree.map(
        lambda *pieces: np.concatenate(pieces, -1)[..., order],
        *((part.outcomes, part.records) for part in parts),
    )
    return Batch(places[order], outcomes, records, sum(part.seconds for part in parts))


def in_turn(begun: Iterator[T], ahead: int) -> Iterator[T]:
    """Each in turn, when so many more have begun: nobody waits, and memory stays flat."""
    waiting: deque[T] = deque()
    for each in begun:
        waiting.append(each)
        if len(waiting) > ahead:
            yield waiting.popleft()
    yield from waiting


def play_some(
    programs: Programs,
    candidate: Candidate,
    cell: Int[np.ndarray, " n"],
    client: Int[np.ndarray, " n"],
    **more: Any,
) -> Batch:
    """One therapist with these clients, in their order; ``more``: of :meth:`Programs.start`."""
    return gather(list(programs.start(candidate, cell, client, **more)))


# --- the grid -------------------------------------------------------------------------------


class Grid(NamedTuple):
    """Outcomes (therapist, cell, client), and records (therapist, session, recorded client)."""

    outcomes: Outcomes
    records: Record


def play_grid(
    programs: Programs,
    candidates: Sequence[Candidate],
    design: Design,
    advance: Callable[[int], None] = lambda therapies: None,
) -> Grid:
    """All therapists × all cells × all clients; ``advance`` is told how many more are finished."""
    shape = len(candidates), len(design.cells), design.n_clients
    real, whole = np.float32, np.int32
    dtypes = bool, bool, whole, *[real] * 4, whole, bool, bool, real, real
    recorded = design.recorded
    record_shape = len(candidates), design.n_sessions, len(recorded[0])
    grid = Grid(
        Outcomes(*[np.zeros(shape, dtype) for dtype in dtypes]),
        Record(np.full(record_shape, NOT_HELD, np.int16), np.zeros(record_shape, np.float32)),
    )
    slots = np.full(shape[1:], -1)
    slots[recorded] = np.arange(len(recorded[0]))
    cell, client = np.divmod(np.arange(slots.size), design.n_clients)
    futures = {
        future: number
        for number, candidate in enumerate(candidates)
        for future in programs.start(candidate, cell, client)
    }
    for future in as_completed(futures):
        number, (places, outcomes, records, _) = futures.pop(future), future.result()
        for ours, theirs in zip(grid.outcomes, outcomes, strict=True):
            ours[number, cell[places], client[places]] = theirs
        slot = slots[cell[places], client[places]]
        for ours, theirs in zip(grid.records, records, strict=True) if design.is_recorded else ():
            ours[number][:, slot[slot >= 0]] = theirs[:, slot >= 0]
        advance(len(places))
    return grid
