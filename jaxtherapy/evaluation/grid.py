"""Every therapist with the same clients, in every kind of client: a grid of therapies.

A *cell* is a kind of client (pattern, mechanism, threshold, entropy, utilities). Client ``i`` has
the same random numbers in every cell and for every therapist, as in
:mod:`jaxtherapy.client.simulation`: differences between therapists are paired, and so are
differences between cells. One compiled program per mechanism plays any batch of (cell, client)
pairs with any therapist of the line-up; everything else about a cell is a leaf.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from jaxtherapy.client import dyad as dyads
from jaxtherapy.client.dyad import Dyad
from jaxtherapy.client.octants import N_OCTANTS
from jaxtherapy.client.params import ClientParams
from jaxtherapy.client.simulation import Meeting, begin, session
from jaxtherapy.client.therapists import Therapist, taking_turns
from jaxtherapy.devices.cores import available_cores
from jaxtherapy.envs.rewards import reward

SWEPT = ("pattern_weights", "u_min", "u_max", "threshold", "entropy")
"""Leaves of the client parameters that differ between the cells of one program."""

NOT_HELD = -1
INVALID = -2
"""Codes of a record: no session; a session in which the therapist did no act of the eight."""

CPU_BATCH = 2_000
"""Therapies in lockstep: few enough that their state stays in a core's cache."""

GPU_BATCH = 131_072
RECORD_BYTES = {"cpu": 2**26, "gpu": 2**31}

Branch = Callable[[PyTree], Therapist]
"""Makes a therapist from the weights of the line-up; an untrained one ignores them."""


class Outcomes(NamedTuple):
    """How therapies ended. RS and bond are those after the last session.

    RS is the share of the client's utility range. Arrays of JAX on the device, of NumPy after.
    """

    success: Bool[Any, "*shape"]
    dropout: Bool[Any, "*shape"]
    sessions: Int[Any, "*shape"]
    reward: Float[Any, "*shape"]
    rs: Float[Any, "*shape"]
    bond: Float[Any, "*shape"]
    initial_rs: Float[Any, "*shape"]


class Record(NamedTuple):
    """What happened: acts coded ``64·client + 8·therapist + heard`` (−1: not held), and RS."""

    acts: Int[Any, " sessions *shape"]
    rs: Float[Any, " sessions *shape"]


@dataclass(frozen=True)
class Player:
    """One therapist of a line-up: which branch, with which weights, and whether to be trusted.

    The acts of one that is not trusted are checked.
    """

    branch: int
    weights: Any = ()
    trusted: bool = True


class InvalidActError(ValueError):
    """A therapist did something that is none of the eight octants."""

    def __init__(self, player: int) -> None:
        super().__init__(f"therapist {player} does acts outside 0..7")
        self.player = player


@dataclass
class Grid:
    """The results: outcomes (therapist, cell, client), and records of ``recorded_clients``."""

    outcomes: Outcomes
    records: Record  # (therapist, session, cell, client)
    compile_seconds: dict[str, float] = field(default_factory=dict)


# --- the program ----------------------------------------------------------------------------


def _axes(params: ClientParams) -> ClientParams:
    """vmap's ``in_axes``: the swept leaves are batched."""
    return jax.tree.map(lambda _: None, params).replace(**dict.fromkeys(SWEPT, 0))


def rs_share(rs: Float[Array, ""], dyad: Dyad) -> Float[Array, ""]:
    """RS as a share of the client's utility range."""
    client = dyad.client
    return (rs - client.u_low) / (client.u_high - client.u_low)


def play(
    branches: tuple[Branch, ...],
    n_sessions: int,
    key: PRNGKeyArray,
    cells: ClientParams,
    cell: Int[Array, " n"],
    client: Int[Array, " n"],
    branch: Int[Array, ""],
    weights: PyTree,
) -> tuple[Outcomes, Record]:
    """Plays a batch of therapies to their end.

    Args:
        branches: the therapists that the program knows. Static.
        n_sessions: at least ``max_sessions``; the length of the record. Static.
        key: decides the clients, by number, and everything that happens to them.
        cells: client parameters whose swept leaves have a leading axis of cells.
        cell, client: who is treated.
        branch: which therapist.
        weights: what its branch needs.
    """
    batched = cells.replace(**{name: getattr(cells, name)[cell] for name in SWEPT})
    over_batch = partial(jax.vmap, in_axes=(0, _axes(cells)))
    is_over = over_batch(dyads.is_over)
    therapist = taking_turns([make(weights) for make in branches], branch)

    def hold(
        time: Int[Array, ""], number: Int[Array, ""], before: Meeting, params: ClientParams
    ) -> tuple[Meeting, Record]:
        after, now = session(key, time, number, before, therapist, params)
        acts = jnp.stack([now.client_act, now.therapist_act, now.heard_act]).astype(jnp.int16)
        code = acts @ jnp.array([N_OCTANTS**2, N_OCTANTS, 1], jnp.int16)
        valid = (now.therapist_act >= 0) & (now.therapist_act < N_OCTANTS)
        code = jnp.where(now.held, jnp.where(valid, code, INVALID), NOT_HELD)
        return after, Record(code.astype(jnp.int16), rs_share(now.rs, after.dyad))

    sessions = jax.vmap(hold, in_axes=(None, 0, 0, _axes(cells)))
    Carry = tuple[Int[Array, ""], Meeting, Record]

    def going(carry: Carry) -> Bool[Array, ""]:
        return (carry[0] < n_sessions) & ~jnp.all(is_over(carry[1].dyad, batched))

    def advance(carry: Carry) -> Carry:
        held, before, records = carry
        after, now = sessions(held + 1, client, before, batched)
        update = partial(jax.lax.dynamic_update_index_in_dim, index=held, axis=0)
        return held + 1, after, jax.tree.map(update, records, now)

    first = over_batch(lambda number, params: begin(key, number, therapist, params))(
        client, batched
    )
    blank = Record(
        jnp.full((n_sessions, len(cell)), NOT_HELD, jnp.int16),
        jnp.zeros((n_sessions, len(cell)), first.dyad.client.rs.dtype),
    )
    _, (last, _), records = jax.lax.while_loop(going, advance, (jnp.int32(0), first, blank))
    outcomes = Outcomes(
        success=last.success,
        dropout=last.dropped_out,
        sessions=last.time,
        reward=over_batch(reward)(last, batched),
        rs=jax.vmap(rs_share)(last.client.rs, last),
        bond=last.client.bond,
        initial_rs=jax.vmap(rs_share)(last.initial_rs, last),
    )
    return outcomes, records


# --- the grid -------------------------------------------------------------------------------


def stack_cells(cells: Sequence[ClientParams]) -> ClientParams:
    """Cells of one mechanism that differ in swept leaves only, as one tree."""
    swept = {name: np.stack([np.asarray(getattr(c, name)) for c in cells]) for name in SWEPT}
    return cells[0].replace(**swept)


def batch_size(total: int, n_sessions: int, platform: str, workers: int) -> int:
    """Therapies per call: a whole number of nearly full batches, within cache and memory."""
    device = "cpu" if platform == "cpu" else "gpu"
    largest = {"cpu": CPU_BATCH, "gpu": GPU_BATCH}[device]
    largest = max(1, min(largest, RECORD_BYTES[device] // (6 * n_sessions)))
    n_batches = -(-total // largest)
    if device == "cpu":
        n_batches = -(-n_batches // workers) * workers  # every worker gets as many
    return -(-total // min(n_batches, total))


def recorded_clients(n_cells: int, n_clients: int, n_recorded: int) -> np.ndarray:
    """(cells, recorded): whose sessions are recorded in each cell.

    Other clients in every cell: one client's therapies are alike everywhere (the same random
    numbers), and recorded therapies should be independent. They are if
    ``n_cells · n_recorded ≤ n_clients``.
    """
    return np.arange(n_cells * n_recorded).reshape(n_cells, n_recorded) % n_clients


def worker_count(platform: str) -> int:
    """Batches in flight: one per core; an accelerator is busy with one."""
    return min(8, available_cores()) if platform == "cpu" else 1


def _batches(total: int, size: int) -> Iterator[tuple[int, int]]:
    for start in range(0, total, size):
        yield start, min(start + size, total)


def play_grid(
    branches: Sequence[Branch],
    players: Sequence[Player],
    cells: Sequence[ClientParams],
    n_clients: int,
    n_recorded: int,
    key: PRNGKeyArray,
    n_sessions: int,
    advance: Callable[[int], None] = lambda therapies: None,
) -> Grid:
    """All therapists × all cells × ``n_clients`` clients.

    Args:
        branches, players: the line-up.
        cells: scalar client parameters, one per cell.
        n_clients: per cell.
        n_recorded: clients per cell whose record is kept; see :func:`recorded_clients`.
        key: decides the clients and everything that happens to them.
        n_sessions: at least the ``max_sessions`` of every cell.
        advance: told how many more therapies are finished.
    """
    shape = len(players), len(cells), n_clients
    dtypes = Outcomes(bool, bool, np.int32, *[np.float32] * 4)
    grid = Grid(
        Outcomes(*[np.zeros(shape, dtype) for dtype in dtypes]),
        Record(
            np.full((len(players), n_sessions, len(cells), n_recorded), NOT_HELD, np.int16),
            np.zeros((len(players), n_sessions, len(cells), n_recorded), np.float32),
        ),
    )
    platform = jax.devices()[0].platform
    workers = worker_count(platform)
    mechanisms = list(dict.fromkeys(cell.mechanism for cell in cells))
    program = jax.jit(partial(play, tuple(branches), n_sessions))
    # Compiling the next mechanism fills the gaps that playing this one leaves.
    with ThreadPoolExecutor(1) as compiler, ThreadPoolExecutor(workers) as pool:
        try:
            jobs = []
            for mechanism in mechanisms:
                where = np.array([i for i, c in enumerate(cells) if c.mechanism == mechanism])
                stacked = jax.tree.map(jnp.asarray, stack_cells([cells[i] for i in where]))
                total = len(where) * n_clients
                size = batch_size(total, n_sessions, platform, workers)
                index = jax.ShapeDtypeStruct((size,), jnp.int32)
                arguments = (key, stacked, index, index, jnp.int32(0), players[0].weights)
                compiled = compiler.submit(partial(_compile, program, arguments))
                jobs.append((where, stacked, total, size, compiled))
            for where, stacked, total, size, compiled in jobs:
                run, seconds = compiled.result()
                grid.compile_seconds[stacked.mechanism] = seconds
                futures: list[Future[int]] = []
                for number, player in enumerate(players):
                    for start, stop in _batches(total, size):
                        job = partial(
                            _play_batch, run, grid, number, player, where, stacked, key, size
                        )
                        futures.append(pool.submit(job, start, stop))
                for future in as_completed(futures):
                    advance(future.result())
        except BaseException:
            compiler.shutdown(wait=False, cancel_futures=True)
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return grid


def _compile(program: Any, arguments: tuple[Any, ...]) -> tuple[Any, float]:
    started = time.perf_counter()
    return program.lower(*arguments).compile(), time.perf_counter() - started


def _play_batch(
    run: Callable[..., tuple[Outcomes, Record]],
    grid: Grid,
    number: int,
    player: Player,
    where: np.ndarray,
    cells: ClientParams,
    key: PRNGKeyArray,
    size: int,
    start: int,
    stop: int,
) -> int:
    """Plays therapies ``start``..``stop`` of a mechanism (cell by cell) and files the results."""
    n_clients, n_recorded = grid.outcomes.sessions.shape[2], grid.records.acts.shape[3]
    slot_of_first = np.arange(grid.outcomes.sessions.shape[1]) * n_recorded
    place = np.minimum(np.arange(start, start + size), stop - 1)  # the last batch is padded
    cell, client = (part.astype(np.int32) for part in np.divmod(place, n_clients))
    outcomes, records = run(
        key, cells, jnp.asarray(cell), jnp.asarray(client), jnp.int32(player.branch), player.weights
    )
    if not player.trusted and np.any(np.asarray(records.acts) == INVALID):
        raise InvalidActError(number)
    n = stop - start
    cell, client = where[cell[:n]], client[:n]
    for ours, theirs in zip(grid.outcomes, outcomes, strict=True):
        ours[number, cell, client] = np.asarray(theirs)[:n]
    slot = (client - slot_of_first[cell]) % n_clients
    kept = np.flatnonzero(slot < n_recorded)
    if kept.size:
        for ours, theirs in zip(grid.records, records, strict=True):
            ours[number, :, cell[kept], slot[kept]] = np.asarray(theirs)[:, kept].T
    return n
