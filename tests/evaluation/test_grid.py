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
from jaxtherapy.client.therapists import (
    INVALID,
    as_therapist,
    checked,
    complementary,
    taking_turns,
)
from jaxtherapy.config import TrainingConfig
from jaxtherapy.envs.rewards import reward
from jaxtherapy.errors import RunError
from jaxtherapy.evaluation import grid as grids
from jaxtherapy.evaluation.course import decode
from jaxtherapy.evaluation.grid import Programs, play_grid
from jaxtherapy.evaluation.outcomes import NEAR
from tests.evaluation.small_grid import candidate

KEY = jax.random.key(11)
SHORT = TrainingConfig(patterns=("cold_stuck",), max_sessions=20, threshold=0.6)
SESSIONS = 20


def sometimes_wrong(weights):
    def therapist(key, dyad, params):
        wrong = (dyad.time == 3) & (weights > 0)
        return jnp.where(wrong, 9, dyad.client_act)

    return checked(therapist)


def baselines(number):
    return taking_turns([as_therapist(each) for each in (therapists.random, complementary)], number)


RANDOM, COMPLEMENTARY, FINE, WRONG = range(4)
CANDIDATES = [
    *(candidate(baselines, np.int32(number)) for number in (RANDOM, COMPLEMENTARY)),
    candidate(sometimes_wrong, np.int32(0), trusted=False),
    candidate(sometimes_wrong, np.int32(1)),
]

CELLS = [
    client_params(replace(SHORT, threshold=0.6)),
    # A program of its own, amid the others.
    client_params(replace(SHORT, mechanism="bond_only", threshold=0.45, stop_at_success=False)),
    client_params(replace(SHORT, threshold=0.95)),
    client_params(
        replace(SHORT, patterns=("conflictual",), entropy=2.0, utility_matrix="cold_trap")
    ),
]
GOES_ON = 1
CLIENTS, RECORDED = 31, 7


DESIGN = grids.Design(CELLS, CLIENTS, KEY, [RECORDED] * len(CELLS))


@pytest.fixture(scope="module")
def grid():
    told = []
    with Programs(DESIGN, CANDIDATES) as programs:
        result = play_grid(programs, CANDIDATES, DESIGN, told.append)
        careful = candidate(sometimes_wrong, np.int32(1), trusted=False, name="sloppy")
        with pytest.raises(RunError, match="therapist sloppy does acts outside"):
            play_grid(programs, [careful], DESIGN)
    assert sum(told) == len(CANDIDATES) * len(CELLS) * CLIENTS
    return result


def recorded_sessions(grid):
    return grid.outcomes.sessions[(slice(None), *DESIGN.recorded)]


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
    of_cell = DESIGN.recorded[0]
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
        kept = ours.success & ~ours.relapse & ~ours.dropout
        np.testing.assert_array_equal(kept, high_enough & ~dyad.dropped_out)
        assert ours.relapse.any() == (number == GOES_ON)
        _check_what_happened(ours, told, (told.rs - dyad.client.u_low) / width, cell.threshold)
        who = slice(RECORDED * number, RECORDED * (number + 1))  # others are recorded in each cell
        recorded = decode(
            grids.Record(*(part[therapist][:, of_cell == number] for part in grid.records)),
            ours.initial_rs[who],
            ours.success[who],
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


def _check_what_happened(ours, told, share, threshold):
    """What outcomes say of a whole therapy, by counting sessions; a clear near miss or none."""
    best = np.where(told.held, share, 0).max(0)
    reached = best >= threshold + 1e-6
    np.testing.assert_array_equal(ours.success[reached], True)
    first = np.argmax(told.held & (share >= threshold - 1e-6), 0) + 1
    np.testing.assert_array_equal(ours.sessions_to_success[ours.success], first[ours.success])
    near = ~ours.success & (best >= threshold - NEAR)
    clear = np.abs(best - threshold + NEAR) > 1e-5
    np.testing.assert_array_equal(ours.near_miss[clear], near[clear])
    misheard = (told.held & (told.heard_act != told.therapist_act)).sum(0)
    np.testing.assert_allclose(ours.misheard, misheard / told.held.sum(0), rtol=1e-5)
    times = [(told.held & (told.client_act == act)).sum(0) for act in range(8)]
    np.testing.assert_allclose(ours.one_act, np.max(times, 0) / told.held.sum(0), rtol=1e-5)


def test_clients_are_the_same_for_every_therapist_and_whatever_the_threshold_and_mechanism(grid):
    initial = grid.outcomes.initial_rs
    np.testing.assert_array_equal(initial[RANDOM], initial[COMPLEMENTARY])
    np.testing.assert_array_equal(initial[:, 0], initial[:, 1])
    np.testing.assert_array_equal(initial[:, 0], initial[:, 2])
    assert np.all(initial[:, 0] != initial[:, 3])
    first = grid.records.acts[:, 0] // 64
    np.testing.assert_array_equal(first[RANDOM], first[FINE])


def test_all_results_are_filed(grid):
    assert np.all(grid.outcomes.sessions >= 1)
    assert np.all(np.isfinite(grid.outcomes.rs)) and np.all(grid.outcomes.rs > 0)
    held = (grid.records.acts != grids.NOT_HELD).sum(1)
    np.testing.assert_array_equal(held, recorded_sessions(grid))
    drop, success = grid.outcomes.dropout, grid.outcomes.success
    saved = 20 - grid.outcomes.sessions_to_success
    expected = np.where(drop, -150, 0) + np.where(success, 100 + 2 * saved, 0)
    np.testing.assert_array_equal(grid.outcomes.reward, expected)


def test_a_therapist_that_does_something_else_is_found_out(grid):
    """Marked in the record; refused when a batch is filed, see the fixture."""
    acts = grid.records.acts[WRONG]
    np.testing.assert_array_equal(acts[3][recorded_sessions(grid)[WRONG] > 3], INVALID)
    assert np.all(acts[:3] >= 0)
    assert np.all(grid.records.acts[FINE] != INVALID)


def test_any_number_may_differ_between_cells():
    """Each cell is what it is alone, whatever else is in its program."""
    changes = [
        {"baseline_accuracy": 0.1, "recency_ratio": 5.0},
        {"max_sessions": 12, "bond_alpha": 2.0, "smoothing": 0.7, "dropout_session": 4},
        {"enable_parataxic": False, "anticomplement": "exact", "success_reward": 7.0},
    ]
    cells = [client_params(replace(SHORT, **change)) for change in changes]
    design = grids.Design(cells, CLIENTS, KEY, [CLIENTS] * 3)
    assert len(grids.Cells.of(cells).own) == 9
    with Programs(design, CANDIDATES[:1]) as programs:
        told = play_grid(programs, CANDIDATES[:1], design)
    for number, cell in enumerate(cells):
        dyad, _ = jax.tree.map(np.asarray, simulated(cell, RANDOM))
        ours = grids.Outcomes(*(part[0, number] for part in told.outcomes))
        np.testing.assert_array_equal(ours.success, dyad.success)
        np.testing.assert_array_equal(ours.dropout, dyad.dropped_out)
        np.testing.assert_array_equal(ours.sessions, dyad.time)
        np.testing.assert_allclose(ours.bond, dyad.client.bond, rtol=1e-4)
        np.testing.assert_allclose(
            ours.reward, jax.vmap(lambda each, p=cell: reward(each, p))(dyad), rtol=1e-5
        )


def test_weights_travel_with_their_own_family_alone():
    """A program's arguments: weights of one therapist, none of another architecture's."""
    seen = []

    def weighty(weights):
        seen.append(jax.tree.map(jnp.shape, weights))
        return as_therapist(complementary)

    design = grids.Design(CELLS[:1], 4, KEY, [1])
    small, large = (candidate(weighty, {"w": np.zeros(n, np.float32)}) for n in (3, 3))
    with Programs(design, [small, large, CANDIDATES[0]]) as programs:
        programs.wait()
        n_traced = len(seen)
        play_grid(programs, [small, large, CANDIDATES[0]], design)
    assert len(seen) == n_traced and all(each == {"w": (3,)} for each in seen)


@pytest.mark.parametrize("total", [1, 2, 3, 1_999, 2_001, 70_000, 123_457])
@pytest.mark.parametrize("platform", ["cpu", "gpu"])
@pytest.mark.parametrize("workers", [1, 2, 8])
def test_batches_are_within_memory_and_nearly_full(total, platform, workers):
    for n_sessions in (0, 20, 10_000):
        size = grids.batch_size(total, n_sessions, platform, workers)
        n_batches = -(-total // size)
        assert 1 <= size <= total and n_batches * size - total < n_batches
        assert size <= grids.FILLS * grids.LANES[platform]
        assert 6 * size * n_sessions <= grids.RECORD_BYTES[platform] or size == 1


@pytest.mark.parametrize("size", [1, 7, 50])
def test_batches_cover_everything_once(monkeypatch, size):
    monkeypatch.setattr(grids, "batch_size", lambda *_: size)
    monkeypatch.setattr(Programs, "_compile", lambda *_: None)  # nothing is played
    with Programs(DESIGN, CANDIDATES[:1]) as programs:
        monkeypatch.setattr(programs, "_run", lambda *job: job[-1])
        cell, client = np.divmod(np.arange(CLIENTS * len(CELLS)), CLIENTS)
        batches = [each.result() for each in programs.start(CANDIDATES[0], cell, client)]
    assert all(len(batch) <= size for batch in batches)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(cell)))


def test_no_client_is_recorded_in_two_cells_if_there_are_enough():
    cells = CELLS[:3]
    cell, client = grids.Design(cells, 60, KEY, [10, 20, 30]).recorded
    assert len(np.unique(client)) == 60 and np.bincount(cell).tolist() == [10, 20, 30]
    assert grids.Design(cells, 4, KEY, [2] * 3).recorded[1].tolist() == [0, 1, 2, 3, 0, 1]


def test_workers_are_counted_where_affinity_is_unknown(monkeypatch):
    """macOS has no ``os.sched_getaffinity``. With asynchronous dispatch there is one."""
    asynchronous = True
    monkeypatch.setattr(jax.config, "read", lambda name: asynchronous)
    assert grids.worker_count("cpu") == 1
    asynchronous = False
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert grids.worker_count("cpu") == 3 and grids.worker_count("gpu") == 1
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert grids.worker_count("cpu") == 1
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(20)), raising=False)
    assert grids.worker_count("cpu") == 8
