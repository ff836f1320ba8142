"""A therapist's twin: the control of the shape test that never changes.

Therapies stop at success, so their last sessions are selected, and their first ones by what made
them last: even a therapist who answers the same way throughout can look high–low–high. Its *twin*
answers each client act with the therapist's own pooled P(act | client act) in that kind of client,
the same way in every session, treats the same clients and is stopped by the same rules. Only what
a therapist shows beyond its twin is a course.

Twin and therapist draw their acts independently. If the therapist is as stationary as its twin the
two are exchangeable given the client, and so are those pairs of therapies in which both were long,
or both succeeded: their differences then average 0, whatever the selection does to each. The table
is pooled over clients: a therapist who answers each client by a table of its own may exceed its
twin without changing.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from jaxtherapy.client.dyad import Dyad
from jaxtherapy.client.expectations import choose_act
from jaxtherapy.client.octants import N_OCTANTS
from jaxtherapy.client.params import ClientParams
from jaxtherapy.client.therapists import Therapist, as_therapist
from jaxtherapy.evaluation.course import Therapies, decode
from jaxtherapy.evaluation.grid import Outcomes, batch_size, play, stack_cells, worker_count

_STREAM = 0x5457
"""Sets a twin's draws apart from those of its therapist."""


def answering_by(table: Float[Array, "8 8"]) -> Therapist:
    """A therapist that draws from the row of the client's act, whatever else is the case."""

    def therapist(key: PRNGKeyArray, dyad: Dyad, params: ClientParams) -> Int[Array, ""]:
        point = jax.random.uniform(jax.random.fold_in(key, _STREAM))
        return choose_act(point, jnp.log(table[dyad.client_act]))

    return as_therapist(therapist)


def response_tables(therapies: Therapies, n_cells: int) -> Float[np.ndarray, "cells 8 8"]:
    """P(act | client act) in each cell, its sessions pooled; rows of therapies go cell by cell.

    An act that no client of a cell showed is answered as in all cells, or by any octant.
    """
    n_pairs = N_OCTANTS**2
    cell = np.arange(len(therapies.held)) * n_cells // max(len(therapies.held), 1)
    pair = therapies.client_act * N_OCTANTS + therapies.therapist_act
    code = (cell[:, None] * n_pairs + pair)[therapies.held]
    counts = np.bincount(code, minlength=n_cells * n_pairs).reshape(n_cells, N_OCTANTS, N_OCTANTS)
    for instead in (counts.sum(0), np.ones((N_OCTANTS, N_OCTANTS), int)):
        counts = np.where(counts.sum(-1, keepdims=True) > 0, counts, instead)
    return (counts / counts.sum(-1, keepdims=True)).astype(np.float32)


class Twins:
    """Plays twins against the recorded clients; one program per mechanism.

    Args:
        cells: scalar client parameters, one per cell.
        clients: (cells, recorded), whom the twins treat.
        key, n_sessions: as in :func:`~jaxtherapy.evaluation.grid.play_grid`.
    """

    def __init__(
        self,
        cells: Sequence[ClientParams],
        clients: Int[np.ndarray, "cells recorded"],
        key: PRNGKeyArray,
        n_sessions: int,
    ) -> None:
        self._cells = [jax.tree.map(jnp.asarray, stack_cells([cell])) for cell in cells]
        self._clients, self._key = clients, key
        platform = jax.devices()[0].platform
        self._workers = worker_count(platform)
        self._size = batch_size(clients.shape[1], n_sessions, platform, 1)
        program = jax.jit(partial(play, (answering_by,), n_sessions))
        firsts = {cell.mechanism: cell for cell in reversed(self._cells)}
        table = np.ones((N_OCTANTS, N_OCTANTS), np.float32)

        def compiled(cell: ClientParams) -> Any:
            return program.lower(*self._arguments(cell, clients[0, :1], table)).compile()

        with ThreadPoolExecutor(self._workers) as pool:
            runs = list(pool.map(compiled, firsts.values()))
        self._programs = dict(zip(firsts, runs, strict=True))

    def _arguments(self, cell: ClientParams, clients: np.ndarray, table: np.ndarray) -> Any:
        padded = jnp.asarray(np.resize(clients, self._size), jnp.int32)
        return self._key, cell, jnp.zeros_like(padded), padded, jnp.int32(0), jnp.asarray(table)

    def play(self, tables: Float[np.ndarray, "cells 8 8"]) -> Therapies:
        """The therapies of one therapist's twins, in the order of the recorded ones."""

        def batch(number: int, start: int) -> Any:
            cell = self._cells[number]
            clients = self._clients[number, start : start + self._size]
            run = self._programs[cell.mechanism]
            played = run(*self._arguments(cell, clients, tables[number]))
            return jax.tree.map(lambda part: np.asarray(part)[..., : len(clients)], played)

        n_cells, n_clients = self._clients.shape
        jobs = [(cell, at) for cell in range(n_cells) for at in range(0, n_clients, self._size)]
        with ThreadPoolExecutor(self._workers) as pool:
            parts = list(pool.map(batch, *zip(*jobs, strict=True)))
        ends, records = jax.tree.map(lambda *pieces: np.concatenate(pieces, -1), *parts)
        assert isinstance(ends, Outcomes)
        return decode(records.acts, records.rs, ends.initial_rs, ends.success)
