"""Every therapist with the same clients, in every kind of client: a grid of therapies.

A *cell* is a kind of client: client parameters, any of which may differ from cell to cell. Client
``i`` has the same random numbers in every cell and for every therapist, as in
:mod:`jaxtherapy.client.simulation`: differences between therapists are paired, and so are
differences between cells. Therapists that differ in weights or number alone are a *family*; one
compiled program per family and structure (mechanism, which numbers are drawn) plays any batch of
(cell, client) pairs.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from jaxtherapy.client import dyad as dyads
from jaxtherapy.client.client import share_of_range
from jaxtherapy.client.dyad import Dyad
from jaxtherapy.client.octants import N_OCTANTS
from jaxtherapy.client.params import STATIC, ClientParams, leaves_of
from jaxtherapy.client.simulation import Meeting, begin, params_of, session
from jaxtherapy.client.therapists import INVALID, Therapist
from jaxtherapy.config.distributions import Distribution, largest
from jaxtherapy.devices.layout import available_cores
from jaxtherapy.errors import RunError
from jaxtherapy.evaluation.outcomes import NOT_HELD, Outcomes, Record, outcome
from jaxtherapy.evaluation.results import TherapistInfo

BATCH = {"cpu": 2_000, "gpu": 131_072}
"""Therapies in lockstep: on a CPU few enough that their state stays in a core's cache."""

RECORD_BYTES = {"cpu": 2**26, "gpu": 2**31}

Family = Callable[[PyTree], Therapist]
"""Makes a therapist from what tells it from others of its family: weights, or a number."""


@dataclass(frozen=True)
class Candidate:
    """A therapist to be evaluated; the acts of one that is not trusted are checked."""

    info: TherapistInfo
    family: Family
    weights: PyTree = ()
    trusted: bool = True


@dataclass(frozen=True)
class Cell(ClientParams):
    """Clients of one kind, and P(act | client act) by which a stationary control answers them."""

    answers: Any = 1 / N_OCTANTS


jax.tree_util.register_dataclass(Cell, leaves_of(Cell), STATIC)


# --- the program ----------------------------------------------------------------------------


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
        own["answers"] = np.full((len(cells), N_OCTANTS, N_OCTANTS), 1 / N_OCTANTS, np.float32)
        static = {name: getattr(cells[0], name) for name in STATIC}
        return jax.tree.map(jnp.asarray, cls(Cell(**static, **shared), own))


def play(
    family: Family,
    n_sessions: int,
    key: PRNGKeyArray,
    luck: PRNGKeyArray,
    cells: Cells,
    cell: Int[Array, " n"],
    client: Int[Array, " n"],
    weights: PyTree,
) -> tuple[Outcomes, Record]:
    """Plays a batch of therapies of a family's therapist with these ``weights`` to their end.

    Args:
        family, n_sessions: static; at least ``max_sessions``, the length of the record.
        key, luck: decide the clients, by number, and all that happens to them; may be the same.
        cells, cell, client: who is treated.
    """
    therapist = family(weights)
    own = jax.tree.map(lambda leaf: leaf[cell], cells.own)

    def params(own: dict[str, PyTree]) -> Cell:
        return cells.shared.replace(**own)

    def hold(
        time: Int[Array, ""], number: Int[Array, ""], before: Meeting, own: dict[str, PyTree]
    ) -> tuple[Meeting, Record]:
        after, now = session(luck, time, number, before, therapist, params(own))
        acts = jnp.stack([now.client_act, now.therapist_act, now.heard_act]).astype(jnp.int16)
        code = acts @ jnp.array([N_OCTANTS**2, N_OCTANTS, 1], jnp.int16)
        code = jnp.where(now.therapist_act == INVALID, INVALID, code)
        code = jnp.where(now.held, code, NOT_HELD)
        return after, Record(code.astype(jnp.int16), share_of_range(after.dyad.client, now.rs))

    hold_all = jax.vmap(hold, in_axes=(None, 0, 0, 0))
    is_over = jax.vmap(lambda dyad, own: dyads.is_over(dyad, params(own)))
    Carry = tuple[Int[Array, ""], Meeting, Record]

    def going(carry: Carry) -> Bool[Array, ""]:
        return (carry[0] < n_sessions) & ~jnp.all(is_over(carry[1].dyad, own))

    def advance(carry: Carry) -> Carry:
        held, before, records = carry
        after, now = hold_all(held + 1, client, before, own)
        update = partial(jax.lax.dynamic_update_index_in_dim, index=held, axis=0)
        return held + 1, after, jax.tree.map(update, records, now)

    first = jax.vmap(lambda number, own: begin(key, number, therapist, params(own)))(client, own)
    blank = Record(
        jnp.full((n_sessions, len(cell)), NOT_HELD, jnp.int16),
        jnp.zeros((n_sessions, len(cell)), first.dyad.client.rs.dtype),
    )
    _, (last, _), records = jax.lax.while_loop(going, advance, (jnp.int32(0), first, blank))

    def told(dyad: Dyad, record: Record, own: dict[str, PyTree]) -> Outcomes:
        return outcome(dyad, record, params(own))

    return jax.vmap(told, in_axes=(0, 1, 0))(last, records, own), records


# --- batches --------------------------------------------------------------------------------


def batch_size(total: int, n_sessions: int, platform: str, workers: int) -> int:
    """Therapies per call: a whole number of nearly full batches, within cache and memory."""
    device = "cpu" if platform == "cpu" else "gpu"
    largest = max(1, min(BATCH[device], RECORD_BYTES[device] // (6 * n_sessions)))
    n_batches = -(-total // largest)
    if device == "cpu":
        n_batches = -(-n_batches // workers) * workers  # every worker gets as many
    return -(-total // min(n_batches, total))


def worker_count(platform: str) -> int:
    """Batches in flight: one per core; an accelerator is busy with one, and so is a CPU with
    asynchronous dispatch, where two programs can wait for each other for ever in XLA's thread
    pool."""
    if platform != "cpu" or jax.config.read("jax_cpu_enable_async_dispatch"):
        return 1
    return min(8, available_cores())


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


Batch = tuple[np.ndarray, Outcomes, Record]
"""Places of therapies among those asked for, how they ended, and their records."""


class Programs:
    """Compiled programs that play any batch of a design, compiled while others play, family by
    family.

    A context: what has not begun when it is left in an error never begins. ``largest``: therapies
    in a call at most, where a therapist takes long.
    """

    def __init__(
        self, design: Design, families: Mapping[Family, PyTree], largest: int = sys.maxsize
    ) -> None:
        self.compile_seconds = 0.0
        self._key, self._n_sessions = design.key, design.n_sessions
        platform = jax.devices()[0].platform
        workers = worker_count(platform)
        self._compiler, self._pool = ThreadPoolExecutor(1), ThreadPoolExecutor(workers)
        # By structure: the mechanism, and which numbers are drawn from what.
        places: dict[Any, list[int]] = {}
        for place, cell in enumerate(design.cells):
            places.setdefault(jax.tree.structure(cell), []).append(place)
        self._structures: dict[Any, tuple[np.ndarray, Cells, int]] = {}
        for structure, where in places.items():
            size = batch_size(len(where) * design.n_clients, self._n_sessions, platform, workers)
            cells = Cells.of([design.cells[place] for place in where])
            self._structures[structure] = np.array(where), cells, min(size, largest)
        self._programs = {
            (family, structure): self._compiler.submit(self._compile, family, structure, weights)
            for family, weights in families.items()
            for structure in self._structures
        }

    def __enter__(self) -> "Programs":
        return self

    def __exit__(self, *error: object) -> None:
        broken = any(error)
        for pool in (self._compiler, self._pool):
            pool.shutdown(wait=not broken, cancel_futures=broken)

    def _compile(self, family: Family, structure: Any, weights: PyTree) -> Any:
        started = time.perf_counter()
        _, cells, size = self._structures[structure]
        index = jax.ShapeDtypeStruct((size,), jnp.int32)
        program = jax.jit(partial(play, family, self._n_sessions))
        compiled = program.lower(self._key, self._key, cells, index, index, weights).compile()
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
        answers: Float[np.ndarray, "cells 8 8"] | None = None,
        luck: PRNGKeyArray | None = None,
    ) -> Iterator[Future[Batch]]:
        """Begins therapies with these clients; ``answers``: of the control in every cell;
        ``luck``: another key than theirs."""
        luck = self._key if luck is None else luck
        for structure, (where, cells, size) in self._structures.items():
            if answers is not None:
                cells = cells._replace(own=cells.own | {"answers": jnp.asarray(answers[where])})
            places = np.flatnonzero(np.isin(cell, where))
            for start in range(0, len(places), size):
                part = places[start : start + size]
                pairs = np.searchsorted(where, cell[part]), client[part]
                program = self._programs[candidate.family, structure]
                run = partial(self._run, program, candidate, luck, cells, size)
                yield self._pool.submit(run, part, pairs)

    def _run(
        self,
        program: Future[Any],
        candidate: Candidate,
        luck: PRNGKeyArray,
        cells: Cells,
        size: int,
        places: np.ndarray,
        pairs: tuple[np.ndarray, np.ndarray],
    ) -> Batch:
        padded = (jnp.asarray(np.pad(each, (0, size - len(places)), "edge")) for each in pairs)
        cell, client = (each.astype(jnp.int32) for each in padded)
        ended = program.result()(self._key, luck, cells, cell, client, candidate.weights)
        outcomes, records = jax.tree.map(lambda x: np.asarray(x)[..., : len(places)], ended)
        if not candidate.trusted and np.any(records.acts == INVALID):
            raise RunError(f"therapist {candidate.info.id} does acts outside 0..7")
        return places, outcomes, records


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
        number, (places, outcomes, records) = futures.pop(future), future.result()
        for ours, theirs in zip(grid.outcomes, outcomes, strict=True):
            ours[number, cell[places], client[places]] = theirs
        slot = slots[cell[places], client[places]]
        for ours, theirs in zip(grid.records, records, strict=True):
            ours[number][:, slot[slot >= 0]] = theirs[:, slot >= 0]
        advance(len(places))
    return grid


def play_some(
    programs: Programs,
    candidate: Candidate,
    cell: Int[np.ndarray, " n"],
    client: Int[np.ndarray, " n"],
    answers: Float[np.ndarray, "cells 8 8"] | None = None,
    luck: PRNGKeyArray | None = None,
) -> tuple[Outcomes, Record]:
    """One therapist with these clients, in their order; the rest as for :meth:`Programs.start`."""
    futures = list(programs.start(candidate, cell, client, answers, luck))
    parts = [future.result() for future in futures]
    order = np.argsort(np.concatenate([places for places, *_ in parts]))
    ended = (part[1:] for part in parts)
    return jax.tree.map(lambda *pieces: np.concatenate(pieces, -1)[..., order], *ended)
