"""The grid plays the therapies that the simulation plays, for the same clients everywhere."""

import os
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtherapy.client import therapists
from jaxtherapy.client.client import rs_threshold
from jaxtherapy.client.octants import COMPLEMENT
from jaxtherapy.client.params import client_params
from jaxtherapy.client.simulation import simulate_course
from jaxtherapy.config import TrainingConfig
from jaxtherapy.evaluation import grid as grids
from jaxtherapy.evaluation.course import decode
from jaxtherapy.evaluation.grid import Player, play_grid

KEY = jax.random.key(11)
SHORT = TrainingConfig(patterns=("cold_stuck",), max_sessions=20, threshold=0.6)
SESSIONS = 20


def sometimes_wrong(weights):
    def therapist(key, dyad, params):
        wrong = (dyad.time == 3) & (weights > 0)
        return jnp.where(wrong, grids.INVALID, dyad.client_act)

    return therapist


BRANCHES = (
    lambda weights: therapists.random,
    lambda weights: therapists.complementary,
    sometimes_wrong,
)
RANDOM, COMPLEMENTARY, WRONG, TRUSTED_WRONG = range(4)
FINE, BAD = jnp.int32(0), jnp.int32(1)

CELLS = [
    client_params(replace(SHORT, threshold=0.6)),
    client_params(replace(SHORT, mechanism="bond_only")),  # a program of its own, amid the others
    client_params(replace(SHORT, threshold=0.95)),
    client_params(
        replace(SHORT, patterns=("conflictual",), entropy=2.0, utility_matrix="cold_trap")
    ),
]
CLIENTS, RECORDED = 31, 7


@pytest.fixture(scope="module")
def grid():
    told = []
    players = [Player(RANDOM, FINE), Player(COMPLEMENTARY, FINE), Player(WRONG, FINE, False)]
    players.append(Player(WRONG, BAD))
    result = play_grid(BRANCHES, players, CELLS, CLIENTS, RECORDED, KEY, SESSIONS, told.append)
    assert sum(told) == len(players) * len(CELLS) * CLIENTS
    return result


def recorded_sessions(grid):
    clients = grids.recorded_clients(len(CELLS), CLIENTS, RECORDED)
    return np.take_along_axis(grid.outcomes.sessions, clients[None], axis=2)


@jax.jit
def simulated(params, number):
    """Whatever the number of the therapist, one program."""

    def therapist(key, dyad, params):
        acts = [each(key, dyad, params) for each in (therapists.random, therapists.complementary)]
        return jnp.stack([jnp.asarray(act, jnp.int8) for act in acts])[number]

    return simulate_course(KEY, params, therapist, CLIENTS, SESSIONS)


@pytest.mark.parametrize("therapist", [RANDOM, COMPLEMENTARY])
def test_the_grid_is_the_simulation(grid, therapist):
    """Cell by cell, the dyads that ``simulate_course`` has for the same key.

    So what tests/client says of its outcomes, recorded ones among them, holds for the grid's.
    """
    for number, cell in enumerate(CELLS):
        dyad, told = jax.tree.map(np.asarray, simulated(cell, therapist))
        ours = grids.Outcomes(*(part[therapist, number] for part in grid.outcomes))
        np.testing.assert_array_equal(ours.success, dyad.success)
        np.testing.assert_array_equal(ours.dropout, dyad.dropped_out)
        np.testing.assert_array_equal(ours.sessions, dyad.time)
        np.testing.assert_allclose(ours.bond, dyad.client.bond, rtol=1e-4)
        width = dyad.client.u_high - dyad.client.u_low
        np.testing.assert_allclose(ours.rs, (dyad.client.rs - dyad.client.u_low) / width, rtol=1e-4)
        high_enough = dyad.client.rs >= jax.vmap(lambda c, p=cell: rs_threshold(c, p.threshold))(
            dyad.client
        )
        np.testing.assert_array_equal(ours.success, high_enough & ~dyad.dropped_out)
        who = slice(RECORDED * number, RECORDED * (number + 1))  # others are recorded in each cell
        recorded = decode(
            grid.records.acts[therapist][:, [number]],
            grid.records.rs[therapist][:, [number]],
            ours.initial_rs[None, who],
            ours.success[None, who],
        )
        held = told.held[:, who].T
        np.testing.assert_array_equal(recorded.held, held)
        for mine, theirs in (
            (recorded.client_act, told.client_act),
            (recorded.therapist_act, told.therapist_act),
            (recorded.heard_act, told.heard_act),
        ):
            np.testing.assert_array_equal(mine[held], theirs[:, who].T[held])
        share = (told.rs - dyad.client.u_low) / width
        np.testing.assert_allclose(recorded.rs[held], share[:, who].T[held], rtol=1e-4)
        if therapist == COMPLEMENTARY:
            answered = COMPLEMENT[recorded.client_act[held]]
            np.testing.assert_array_equal(recorded.therapist_act[held], answered)


def test_clients_are_the_same_for_every_therapist_and_whatever_the_threshold_and_mechanism(grid):
    initial = grid.outcomes.initial_rs
    np.testing.assert_array_equal(initial[RANDOM], initial[COMPLEMENTARY])
    np.testing.assert_array_equal(initial[:, 0], initial[:, 1])
    np.testing.assert_array_equal(initial[:, 0], initial[:, 2])
    assert np.all(initial[:, 0] != initial[:, 3])
    first = grid.records.acts[:, 0] // 64
    np.testing.assert_array_equal(first[RANDOM], first[WRONG])


def test_all_results_are_filed(grid):
    assert np.all(grid.outcomes.sessions >= 1)
    assert np.all(np.isfinite(grid.outcomes.rs)) and np.all(grid.outcomes.rs > 0)
    held = (grid.records.acts != grids.NOT_HELD).sum(1)
    np.testing.assert_array_equal(held, recorded_sessions(grid))
    drop, success = grid.outcomes.dropout, grid.outcomes.success
    expected = np.where(drop, -150, np.where(success, 100 + 2 * (20 - grid.outcomes.sessions), 0))
    np.testing.assert_array_equal(grid.outcomes.reward, expected)


def test_a_therapist_that_does_something_else_is_found_out(grid):
    """Marked in the record, and refused when the batch is filed."""
    acts = grid.records.acts[TRUSTED_WRONG]
    np.testing.assert_array_equal(acts[3][recorded_sessions(grid)[TRUSTED_WRONG] > 3], -2)
    assert np.all(acts[:3] >= 0)

    def run(*_):
        return None, grids.Record(acts, None)

    player = Player(WRONG, BAD, trusted=False)
    with pytest.raises(grids.InvalidActError) as caught:
        grids._play_batch(run, grid, 1, player, np.arange(3), None, KEY, 8, 0, 8)
    assert caught.value.player == 1


@pytest.mark.parametrize("total", [1, 2, 3, 1_999, 2_001, 70_000, 123_457])
@pytest.mark.parametrize("platform", ["cpu", "gpu"])
@pytest.mark.parametrize("workers", [1, 2, 8])
def test_batches_cover_everything_once_within_memory(total, platform, workers):
    for n_sessions in (20, 10_000):
        size = grids.batch_size(total, n_sessions, platform, workers)
        spans = list(grids._batches(total, size))
        assert [place for span in spans for place in range(*span)] == list(range(total))
        assert 6 * size * n_sessions <= grids.RECORD_BYTES[platform] or size == 1


def test_no_client_is_recorded_in_two_cells_if_there_are_enough():
    assert len(np.unique(grids.recorded_clients(3, 30, 10))) == 30
    assert grids.recorded_clients(3, 4, 2).tolist() == [[0, 1], [2, 3], [0, 1]]


def test_workers_are_counted_where_affinity_is_unknown(monkeypatch):
    """macOS has no ``os.sched_getaffinity``."""
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert grids.worker_count("cpu") == 3 and grids.worker_count("gpu") == 1
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert grids.worker_count("cpu") == 1
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(20)), raising=False)
    assert grids.worker_count("cpu") == 8
