"""The planner: its library, when it plans, and that planning pays."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import binomtest

from jaxtherapy.client import therapists
from jaxtherapy.client.client import new_client
from jaxtherapy.client.dyad import Dyad, hold_session, intake, open_with
from jaxtherapy.client.octants import CD, COMPLEMENT, CS, WD, WS, C, D, S, W
from jaxtherapy.client.params import ClientParams, client_params
from jaxtherapy.client.simulation import simulate, simulate_course
from jaxtherapy.config import TrainingConfig
from jaxtherapy.envs import planner as planning
from jaxtherapy.envs.planner import Planner, library, prospect, prospects
from jaxtherapy.envs.rewards import reward
from tests.client.replay import arrays, compile_well

N = 6
PARAMS = arrays(ClientParams(threshold=0.9, max_sessions=24))


def some_maps(dyad: Dyad):
    """Complementarity, and the myopic map with warm acts answered by WS."""
    warm = planning.best_answers(dyad).at[jnp.array([WD, W, WS])].set(WS)
    return jnp.stack([jnp.asarray(COMPLEMENT), warm])


QUICK = Planner(library=some_maps, interval=5, simulations=2)


@pytest.fixture(scope="module")
def dyads():
    """In their sixth session, but for the first, whose therapy begins."""

    def held(key, i):
        dyad = intake(key, PARAMS, i)
        for time in range(5):
            dyad = hold_session(jax.random.fold_in(key, time), dyad, (i + time) % 8, PARAMS, i)
        return jax.tree.map(partial(jnp.where, i == 0), intake(key, PARAMS, i), dyad)

    return jax.jit(jax.vmap(held, (None, 0)))(jax.random.key(3), jnp.arange(N))


def one(tree, i=0):
    return jax.tree.map(lambda x: x[i], tree)


# --- the library ----------------------------------------------------------------------------


def test_the_library_has_36_maps():
    dyad = intake(jax.random.key(0), PARAMS)
    maps, u = np.asarray(library(dyad)), np.asarray(dyad.client.u)
    best, favourite = u.argmax(1), u.max(0).argmax()
    assert maps.shape == (36, 8) and maps.dtype == np.int8
    assert (maps[0] == best).all(), "the myopic map"
    expected = {
        tuple(
            cold if cold is not None and act in (CS, C, CD)
            else favourite if act in replaced
            else best[act]
            for act in range(8)
        )
        for cold in (None, *range(8))
        for replaced in ((), (D, S), (WD, W, WS), (D, S, WD, W, WS))
    }  # fmt: skip
    assert {tuple(row) for row in maps.tolist()} == expected


def test_the_first_map_is_the_myopic_therapist():
    """Session by session, on the same clients."""

    def by_map(key, dyad, params):
        return library(dyad)[0][dyad.client_act]

    play = partial(simulate_course, params=PARAMS, n_dyads=20, n_sessions=20)
    ours = jax.jit(partial(play, therapist=by_map))(jax.random.key(1))
    theirs = jax.jit(partial(play, therapist=therapists.myopic))(jax.random.key(1))
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


# --- what a map promises --------------------------------------------------------------------


def test_the_end_counts_its_reward_or_the_distance_that_is_left():
    u = jnp.zeros((8, 8)).at[0, 0].set(1.0).at[0, 1].set(0.25)
    params = arrays(ClientParams(threshold=0.75, max_sessions=20))
    client = new_client(u, jnp.full(50, 8, jnp.int8), params)  # all of it worth 0.25
    out_of_sessions = open_with(client, 0).replace(time=jnp.int32(20))
    assert prospect(out_of_sessions, params) == pytest.approx(-40 * 0.5)
    for end in ({"success": True}, {"dropped_out": True}):
        ended = out_of_sessions.replace(**jax.tree.map(jnp.bool_, end))
        assert prospect(ended, params) == reward(ended, params) != 0


def test_prospects_are_means_over_therapies_to_their_end(dyads):
    """Against a loop over sessions in Python."""
    key, dyad = jax.random.key(4), one(dyads, 2)
    maps = some_maps(dyad)
    told = jax.jit(partial(prospects, simulations=2))(key, dyad, maps, PARAMS)
    hold = jax.jit(hold_session)
    for place, answers in enumerate(np.asarray(maps)):
        ends = []
        for number in range(2):
            now, time = dyad, 0
            while not (now.success | now.dropped_out) and now.time < PARAMS.max_sessions:
                session = jax.random.fold_in(key, time)
                now = hold(session, now, answers[int(now.client_act)], PARAMS, number)
                time += 1
            ends.append(float(prospect(now, PARAMS)))
        assert told[place] == pytest.approx(np.mean(ends), rel=1e-4)


# --- when it plans --------------------------------------------------------------------------


def answered(planner, dyads, in_use):
    therapist, key = planner.therapist(), jax.random.key(5)

    def act(dyad, in_use, number):
        view = therapist.see(dyad, PARAMS)
        return therapist.act(jax.random.fold_in(key, number), in_use, view)

    return jax.jit(jax.vmap(act))(dyads, in_use, jnp.arange(len(in_use)))


@pytest.mark.parametrize("at_once", [1, 4])
def test_it_plans_for_those_who_are_due_and_only_for_them(dyads, at_once):
    kept = jnp.tile(jnp.int8(D), (N, 8)) + jnp.arange(N, dtype=jnp.int8)[:, None]
    mixed = dyads.replace(
        time=jnp.array([0, 5, 6, 10, 10, 3]),
        success=jnp.array([False, False, False, False, True, False]),
    )
    maps, acts = answered(replace(QUICK, at_once=at_once), mixed, kept)
    due = np.array([True, True, False, True, False, False])
    np.testing.assert_array_equal(maps[~due], kept[~due])
    for i in np.flatnonzero(due):
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(5), i), QUICK.seed)
        alone = jax.jit(QUICK.choose)(key, one(mixed, i), PARAMS)
        np.testing.assert_array_equal(maps[i], alone)
    np.testing.assert_array_equal(acts, np.asarray(maps)[np.arange(N), mixed.client_act])


def test_a_single_dyad_is_planned_for_as_among_others(dyads):
    therapist, key = QUICK.therapist(), jax.random.key(5)
    kept = jnp.zeros((N, 8), jnp.int8)
    among, _ = answered(QUICK, dyads, kept)
    view = therapist.see(one(dyads), PARAMS)
    alone = jax.jit(therapist.act)(jax.random.fold_in(key, 0), kept[0], view)[0]
    np.testing.assert_array_equal(among[0], alone)


def test_its_seed_is_of_its_simulations_alone(dyads):
    """Other simulations: other plans for some, whose keys are the same."""
    kept = jnp.zeros((N, 8), jnp.int8)

    def shifted(dyad):  # hard to tell apart by one simulation
        return (jnp.asarray(COMPLEMENT) + jnp.arange(8, dtype=jnp.int8)[:, None]) % 8

    unsure = Planner(library=shifted, simulations=1)
    dyads = dyads.replace(time=jnp.zeros(N, jnp.int32))
    maps = [answered(replace(unsure, seed=seed), dyads, kept)[0] for seed in (0, 0, 1)]
    np.testing.assert_array_equal(maps[0], maps[1])
    assert (maps[0] != maps[2]).any()


def test_clients_may_differ_in_their_numbers(dyads):
    """As in an evaluation's cells: a leaf of the parameters has one value for each dyad."""
    own = jnp.linspace(0.5, 1.0, N)
    therapist = QUICK.therapist()

    def act(dyad, threshold, number):
        params = PARAMS.replace(threshold=threshold)
        key = jax.random.fold_in(jax.random.key(8), number)
        return therapist.act(key, jnp.zeros(8, jnp.int8), therapist.see(dyad, params))[0]

    several = jax.jit(jax.vmap(act))(dyads, own, jnp.arange(N))
    for i in (0, N - 1):
        alone = jax.jit(act)(one(dyads, i), own[i], jnp.int32(i))
        np.testing.assert_array_equal(several[i], alone)


# --- that it pays ---------------------------------------------------------------------------


def test_it_beats_the_myopic_therapist_with_strategic_clients():
    """Paired on the same 60 clients, with a small library; false alarms: 0.1 %."""
    config = TrainingConfig(
        patterns=("cold_stuck",),
        threshold=0.9755,
        entropy=0.1,
        baseline_accuracy=0.4477,
        bond_alpha=13.4426,
        bond_offset=0.5122,
        max_sessions=132,
    )
    clients = arrays(client_params(config))

    def few_maps(dyad):
        warm = [planning.best_answers(dyad).at[jnp.array([WD, W, WS])].set(x) for x in (WD, WS)]
        return jnp.stack([planning.best_answers(dyad), *warm])

    small = Planner(library=few_maps, simulations=8)
    success = {
        name: np.asarray(
            compile_well(partial(simulate, therapist=each, n_dyads=60))(
                jax.random.key(9), clients
            ).success
        )
        for name, each in (("planner", small.therapist()), ("myopic", therapists.myopic))
    }
    gained, lost = (
        int((success[a] & ~success[b]).sum())
        for a, b in (("planner", "myopic"), ("myopic", "planner"))
    )
    assert binomtest(gained, gained + lost, alternative="greater").pvalue < 1e-3
