"""Crowds of therapies: recorded outcomes, and what a key decides."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtherapy.client import dyad as dyads
from jaxtherapy.client import therapists
from jaxtherapy.client.octants import ANTICOMPLEMENT, COMPLEMENT
from jaxtherapy.client.params import ClientParams
from jaxtherapy.client.patterns import pattern_weights
from jaxtherapy.client.perception import habitual_act
from jaxtherapy.client.simulation import simulate, simulate_course
from jaxtherapy.envs.rewards import reward
from tests.client.replay import arrays, compile_well
from tests.plausibility import assert_all_plausible, independent, same_mean, same_proportion

N_DYADS = 2_000
FEW, N_SESSIONS = 24, 30

BY_NUMBER = (
    therapists.random,
    therapists.complementary,
    therapists.anticomplementary,
    therapists.mirror,
    therapists.constant(3),
)
RANDOM, COMPLEMENTARY, ANTICOMPLEMENTARY, MIRROR, CONSTANT = range(5)


def numbered(number):
    """The therapist of a number that need not be known yet: one compilation serves all."""

    def therapist(key, dyad, params):
        acts = [jnp.asarray(one(key, dyad, params), jnp.int8) for one in BY_NUMBER]
        return jnp.stack(acts)[number]

    return therapist


@partial(compile_well, static_argnames="n_dyads")
def ends(key, params, number, n_dyads):
    dyad = simulate(key, params, numbered(number), n_dyads)
    return dyad, reward(dyad, params)


@partial(compile_well, static_argnames="n_dyads")
def courses(key, params, number, n_dyads):
    return simulate_course(key, params, numbered(number), n_dyads, N_SESSIONS)


SHORT = arrays(ClientParams(threshold=0.75, max_sessions=N_SESSIONS))


@pytest.fixture(scope="module")
def course():
    """The same clients and three therapists: {therapist: (dyads, course)}."""
    key = jax.random.key(5)
    return {
        number: jax.tree.map(np.asarray, courses(key, SHORT, number, FEW))
        for number in (RANDOM, COMPLEMENTARY, ANTICOMPLEMENTARY)
    }


def test_outcomes_match_the_recorded_ones(recorded_outcomes):
    """Every row as two samples: Fisher for rates, Welch for means.

    False alarms: 1 % over the whole family of 30 rows × 4 statistics.
    """
    assert len(recorded_outcomes) == 30
    policies = {"random": RANDOM, "complementary": COMPLEMENTARY}
    p_values = {}
    for number, row in enumerate(recorded_outcomes):
        params = ClientParams(
            mechanism=row["mechanism"],
            pattern_weights=pattern_weights([row["pattern"]]),
            threshold=row["threshold"],
            max_sessions=row["max_sessions"],
            entropy=row["entropy"],
            bond_alpha=row["bond_alpha"],
            bond_offset=row["bond_offset"],
            baseline_accuracy=row.get("baseline_accuracy", 0.5),
        )
        # A key per row: with one key for all, rows would share their luck.
        key = jax.random.fold_in(jax.random.key(2), number)
        dyad, rewards = ends(key, arrays(params), policies[row["policy"]], N_DYADS)
        n = row["episodes"]
        for statistic, ours in (("success", dyad.success), ("dropout", dyad.dropped_out)):
            theirs = round(row[f"{statistic}_rate"] * n)
            p_values[number, statistic] = same_proportion(int(np.sum(ours)), N_DYADS, theirs, n)
        for statistic, ours in (("reward", rewards), ("length", dyad.time)):
            p_values[number, statistic] = same_mean(
                np.asarray(ours), row[f"{statistic}_mean"], row[f"{statistic}_std"], n
            )
    assert len(p_values) == 120
    assert_all_plausible(p_values, rate=0.01)


def test_a_hundred_thousand_dyads_in_one_call():
    params = ClientParams(threshold=0.7, max_sessions=12)
    run = partial(simulate, therapist=therapists.complementary, n_dyads=100_000)
    dyad = compile_well(run)(jax.random.key(0), arrays(params))
    assert dyad.time.shape == (100_000,)
    assert np.all(dyads.is_over(dyad, params))
    assert len(np.unique(np.asarray(dyad.client.u[:, 0, 0]))) > 99_000
    endings = np.asarray(dyad.success), np.asarray(dyad.dropped_out), np.asarray(dyad.time) == 12
    assert not np.any(endings[0] & endings[1])
    assert np.all(endings[0] | endings[1] | endings[2])
    assert np.all(np.asarray(dyad.time)[endings[1]] == 10)


@pytest.mark.parametrize("number", [RANDOM, COMPLEMENTARY, ANTICOMPLEMENTARY])
def test_dyads_are_the_same_however_many_and_however_simulated(course, number):
    """Few with their course against many without: all that is discrete is equal.

    Numbers are equal to rounding, because the two are compiled apart.
    """
    many, rewards = ends(jax.random.key(5), SHORT, number, N_DYADS)
    few, _ = course[number]
    for ours, theirs in zip(jax.tree.leaves(many), jax.tree.leaves(few), strict=True):
        if np.issubdtype(theirs.dtype, np.floating):
            np.testing.assert_allclose(ours[:FEW], theirs, rtol=1e-5, atol=1e-4)
        else:
            np.testing.assert_array_equal(ours[:FEW], theirs)
    np.testing.assert_array_equal(many.client.u[:FEW], few.client.u)
    np.testing.assert_array_equal(np.asarray(rewards[:FEW]) == -150, few.dropped_out)


def test_therapists_meet_the_same_clients(course):
    """Common random numbers: matrix, memory, first act, and the coin of hearing."""
    (random, random_course), (other, other_course) = course[RANDOM], course[COMPLEMENTARY]
    np.testing.assert_array_equal(random.client.u, other.client.u)
    np.testing.assert_array_equal(random.pattern, other.pattern)
    np.testing.assert_array_equal(random.initial_rs, other.initial_rs)
    for i, sessions in enumerate(zip(random.time, other.time, strict=True)):
        # What is left in both of the memory that the client came with.
        left = [
            one.client.memory[i, max(sessions) - held : 50 - held]
            for one, held in zip((random, other), sessions, strict=True)
        ]
        np.testing.assert_array_equal(*left)
    acts, heard = (
        np.stack([getattr(told, name)[0] for told in (random_course, other_course)])
        for name in ("therapist_act", "heard_act")
    )
    np.testing.assert_array_equal(random_course.client_act[0], other_course.client_act[0])
    assert np.any(random_course.therapist_act != other_course.therapist_act)
    # Both are heard as they acted, or both as the client is used to.
    as_acted, alike = np.all(acts == heard, axis=0), heard[0] == heard[1]
    assert np.all(as_acted | alike) and np.any(~as_acted) and np.any(~alike)


def test_courses_tell_what_happened(course):
    for number, table in ((COMPLEMENTARY, COMPLEMENT), (ANTICOMPLEMENTARY, ANTICOMPLEMENT)):
        dyad, told = course[number]
        np.testing.assert_array_equal(told.held.sum(axis=0), dyad.time)
        # Once over, over.
        assert np.all(told.held[:-1] >= told.held[1:])
        answered = table[told.client_act]
        np.testing.assert_array_equal(told.therapist_act[told.held], answered[told.held])
        for i in range(FEW):
            length = dyad.time[i]
            newest = min(length, 50)
            remembered = 8 * told.heard_act[:length, i] + told.client_act[:length, i]
            np.testing.assert_array_equal(dyad.client.memory[i, -newest:], remembered[-newest:])
            enacted = np.stack([told.client_act[:length, i], told.therapist_act[:length, i]], 1)
            shown = enacted[-25:].ravel()
            np.testing.assert_array_equal(dyad.history[i, : len(shown)], shown)
            assert told.rs[length - 1, i] == dyad.client.rs[i]
            assert told.bond[length - 1, i] == dyad.client.bond[i]


def test_keys_decide():
    same, _ = ends(jax.random.key(5), SHORT, COMPLEMENTARY, N_DYADS)
    again, _ = ends(jax.random.key(5), SHORT, COMPLEMENTARY, N_DYADS)
    other, _ = ends(jax.random.key(6), SHORT, COMPLEMENTARY, N_DYADS)
    np.testing.assert_array_equal(same.client.u, again.client.u)
    np.testing.assert_array_equal(same.history, again.history)
    assert np.all(same.client.u[:, 0, 0] != other.client.u[:, 0, 0])


def test_sessions_draw_anew():
    """Clients and therapists who act at random, session after session.

    False alarms: 0.1 % over all pairs of draws.
    """
    aimless = SHORT.replace(entropy=np.asarray(1e6), threshold=np.asarray(1.0))
    _, told = jax.tree.map(np.asarray, courses(jax.random.key(8), aimless, RANDOM, FEW))
    now, later = slice(None, -1), slice(1, None)
    both_held = told.held[now] & told.held[later]
    client, therapist = told.client_act, told.therapist_act
    pairs = {
        "client, next client": (client[now], client[later]),
        "therapist, next therapist": (therapist[now], therapist[later]),
        "client, therapist": (client[now], therapist[now]),
        "therapist, next client": (therapist[now], client[later]),
    }
    p_values = {
        name: independent(one[both_held], other[both_held], 8, 8)
        for name, (one, other) in pairs.items()
    }
    assert_all_plausible(p_values, rate=1e-3)


def test_what_a_therapist_draws_tells_nothing_of_how_it_is_heard():
    """Each has a key of its own: ``uniform(key)`` and the client's first uniform are one number.

    False alarms: 0.1 %.
    """

    def drawing(key, dyad, params):
        return jnp.int8(jnp.floor(8 * jax.random.uniform(key)))

    simulated = partial(simulate_course, jax.random.key(9), SHORT, drawing, N_DYADS)
    simulated = compile_well(simulated, static_argnums=0)
    habit = jax.vmap(habitual_act)(simulated(0)[0].client.memory)
    _, told = simulated(1)
    act, heard = told.therapist_act[0], told.heard_act[0]
    tells = np.asarray(act != habit)  # else it is heard as it was in either case
    p_value = independent(act[tells], (heard == act)[tells], 8, 2)
    assert_all_plausible({"act, hearing": p_value}, rate=1e-3)


# --- checks ---------------------------------------------------------------------------------

BRIEF = ClientParams(max_sessions=2)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"threshold": float("nan")}, "threshold is nan, must be above 0 to 1"),
        ({"entropy": -1.0}, "entropy is -1"),
        ({"entropy": 0.0}, "entropy is 0"),
        ({"baseline_accuracy": 1.5}, "baseline_accuracy is 1.5, must be from 0 to 1"),
        ({"max_sessions": 0}, "max_sessions is 0"),
        ({"threshold": np.ones(3)}, r"threshold has shape \(3,\); vmap"),
        ({"pattern_weights": np.zeros(7)}, "pattern_weights"),
        ({"pattern_weights": np.full(7, np.nan)}, "pattern_weights"),
        ({"u_min": np.full((8, 8), 1e6), "u_max": np.full((8, 8), 999_999.99)}, "u_min and u_max"),
    ],
)
def test_clients_that_cannot_be_are_refused(changes, complaint):
    with pytest.raises(ValueError, match=complaint):
        simulate(jax.random.key(0), BRIEF.replace(**changes), therapists.mirror, 2)


@pytest.mark.parametrize("act", [9, -1, 300, 2.7])
def test_acts_that_are_none_are_refused(act):
    complaint = "whole number" if isinstance(act, float) else "acts outside"
    with pytest.raises(ValueError, match=complaint):
        simulate(jax.random.key(0), BRIEF, lambda key, observation: jnp.asarray(act), 2)
    with pytest.raises(ValueError, match=complaint):
        simulate_course(jax.random.key(0), BRIEF, lambda key, observation: jnp.asarray(act), 2, 2)


def test_within_jit_nothing_is_checked_and_nothing_changes():
    run = lambda params: simulate(jax.random.key(0), params, therapists.random, 20)  # noqa: E731
    outside, inside = run(BRIEF), jax.jit(run)(arrays(BRIEF))
    np.testing.assert_array_equal(outside.history, inside.history)
    batched = jax.vmap(lambda x: run(BRIEF.replace(threshold=x)).success.mean())
    assert batched(jnp.array([0.1, 1.0])).shape == (2,)
    constant = jax.jit(lambda: run(BRIEF))()  # parameters are known, what happens is not
    np.testing.assert_array_equal(outside.history, constant.history)
