"""Baselines do what they are called, the omniscient one by brute force; and from observations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtherapy.client import dyad as dyads
from jaxtherapy.client import therapists
from jaxtherapy.client.params import ClientParams, meet
from jaxtherapy.client.perception import habitual_act
from tests import oracle
from tests.chance import assert_all_plausible, goodness_of_fit
from tests.client.replay import arrays

KEY, PARAMS = jax.random.key(0), ClientParams()


def facing(client_act):
    client = meet(jnp.eye(8), jnp.zeros(50, jnp.int8), PARAMS)
    return dyads.open_with(client, client_act)


@pytest.mark.parametrize("client_act", range(8))
def test_answers(client_act):
    dyad = facing(client_act)
    assert therapists.complementary(KEY, dyad, PARAMS) == oracle.COMPLEMENT[client_act]
    assert therapists.anticomplementary(KEY, dyad, PARAMS) == oracle.ANTICOMPLEMENT[client_act]
    assert therapists.mirror(KEY, dyad, PARAMS) == client_act
    assert therapists.constant(client_act)(KEY, facing(3), PARAMS) == client_act


def test_random_is_uniform():
    """False alarms: 0.1 %."""
    keys = jax.random.split(jax.random.key(1), 20_000)
    acts = jax.vmap(lambda key: therapists.random(key, facing(0), PARAMS))(keys)
    counts = np.bincount(acts, minlength=8)
    assert_all_plausible({"uniform": goodness_of_fit(counts, np.ones(8))}, rate=1e-3)


N = 40


@jax.jit
def clients(key, params):
    """Dyads a few sessions into therapy, so that memory and habit have formed."""

    def one(key):
        dyad = dyads.intake(jax.random.fold_in(key, 0), params)
        for session in range(3):
            now = jax.random.fold_in(key, session + 1)
            dyad = dyads.hold_session(now, dyad, jax.random.randint(now, (), 0, 8), params)
        return dyad

    return jax.vmap(one)(jax.random.split(key, N))


@jax.jit
def after_hearing(dyad, act, heard, params):
    """RS after each client heard ``heard`` when ``act`` was done."""
    return jax.vmap(lambda d: dyads.respond(d, act, heard, params).client.rs)(dyad)


@jax.jit
def expectations(dyad, params):
    expected = jax.vmap(lambda d: therapists.expected_next_rs(d, params))(dyad)
    chosen = jax.vmap(lambda d: therapists.myopic(jax.random.key(0), d, params))(dyad)
    return expected, chosen, jax.vmap(lambda d: habitual_act(d.client.memory))(dyad)


@pytest.mark.parametrize(
    ("accuracy", "parataxic"), [(0.5, True), (0.2, True), (0.0, True), (0.3, False)]
)
def test_myopic_expectation_by_brute_force(accuracy, parataxic):
    """Every act, both ways of hearing it, through the client's own memory, weighted."""
    params = arrays(ClientParams(baseline_accuracy=accuracy, enable_parataxic=parataxic))
    dyad = clients(jax.random.key(1), params)
    expected, chosen, habit = map(np.asarray, expectations(dyad, params))
    p = accuracy if parataxic else 1.0
    if_heard = np.stack(
        [np.asarray(after_hearing(dyad, jnp.int8(0), jnp.int8(a), params)) for a in range(8)], 1
    )
    misheard = if_heard[np.arange(N), habit]
    brute = p * if_heard + (1 - p) * misheard[:, None]
    # Utilities of tens cancel: near zero only the absolute error means something.
    np.testing.assert_allclose(expected, brute, rtol=1e-5, atol=1e-5)
    if p > 0:
        np.testing.assert_allclose(brute[np.arange(N), chosen], brute.max(1), rtol=1e-6)
        assert len(set(chosen.tolist())) > 3


def test_expectation_is_the_mean_of_played_sessions():
    """20 000 sessions of one dyad: the mean RS lies within five standard errors."""
    params = arrays(ClientParams(baseline_accuracy=0.4))
    dyad = jax.tree.map(lambda leaf: leaf[0], clients(jax.random.key(2), params))
    expected = therapists.expected_next_rs(dyad, params)

    @jax.jit
    def played(act):
        keys = jax.random.split(jax.random.key(3), 20_000)
        held = jax.vmap(lambda key: dyads.hold_session(key, dyad, act, params))(keys)
        return held.client.rs

    for act in (0, 3, 6):
        rs = np.asarray(played(jnp.int8(act)), float)
        assert abs(rs.mean() - expected[act]) <= 5 * rs.std() / np.sqrt(20_000) + 1e-4


def test_from_observation_sees_what_a_therapist_may_see():
    seen = []

    def respond(key, observation):
        seen.append(observation)
        return (observation.client_action + 1) % 8

    dyad = dyads.open_with(
        jax.tree.map(
            lambda leaf: leaf[0], clients(jax.random.key(2), arrays(ClientParams()))
        ).client,
        jnp.int8(5),
    )
    act = therapists.from_observation(respond)(jax.random.key(0), dyad, ClientParams())
    assert act == 6 and type(seen[0]) is dyads.Observation


def test_there_is_a_baseline_for_every_octant():
    constants = [name for name in therapists.BASELINES if name.startswith("constant_")]
    assert constants == [f"constant_{o}" for o in ("D", "WD", "W", "WS", "S", "CS", "C", "CD")]
    acts = [int(therapists.BASELINES[name](None, None, None)) for name in constants]
    assert acts == list(range(8))
