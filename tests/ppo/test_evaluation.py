"""Evaluation: the same clients every time, and outcomes counted right."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtherapy.client import therapists
from jaxtherapy.client.dyad import intakes
from jaxtherapy.client.simulation import simulate_course
from jaxtherapy.config.settings import PPO
from jaxtherapy.ppo import evaluation
from jaxtherapy.ppo.types import EvalResult
from tests.ppo.small import (
    SETTINGS,
    SMALL,
    assert_identical,
    differ,
    evaluate,
    init,
    raw,
    train,
    with_constant_policy,
)

MODE = PPO(**{**vars(SMALL), "eval_deterministic": True})
CLIENTS = SETTINGS.clients


@pytest.fixture(scope="module")
def state():
    return init(SMALL, SETTINGS, 1)


def test_the_same_therapist_fares_the_same(state):
    assert_identical(evaluate(SMALL, SETTINGS, state), evaluate(SMALL, SETTINGS, state))


def test_depends_on_weights_and_evaluation_key_alone(state):
    result = evaluate(SMALL, SETTINGS, state)
    trained = train(SMALL, SETTINGS, state, 3)
    elsewhere = trained.replace(params=state.params)
    assert differ(elsewhere.dyads, state.dyads)
    assert_identical(evaluate(SMALL, SETTINGS, elsewhere), result)
    other = state.replace(params=with_constant_policy(state.params, 9 * np.eye(8)[0]))
    assert differ(evaluate(SMALL, SETTINGS, other), result)
    # Of sixteen therapies now and then as many end alike.
    others = [state.replace(eval_key=jax.random.key(seed)) for seed in (123, 124, 125)]
    assert any(differ(evaluate(SMALL, SETTINGS, other), result) for other in others)


def test_evaluation_is_with_clients_of_its_own(state):
    """Known from the seed alone, and none of them is among the training's first."""
    key = evaluation.evaluation_key(1)
    assert_identical(key, state.eval_key)
    dyads, _ = simulate_course(key, CLIENTS, therapists.random, SMALL.n_envs, n_sessions=0)
    evaluated = [dyads, intakes(key, CLIENTS, jnp.arange(SMALL.n_envs))]
    u = np.concatenate([raw(dyads.client.u)[0] for dyads in (state.dyads, *evaluated)])
    assert len(np.unique(u[:, 0, 0])) == len(u)


def test_outcomes_are_those_of_the_therapies(monkeypatch, state):
    """Counted from therapies that ended as given."""
    time = jnp.array([3, 10, 12, 7, 12, 10])
    success = jnp.array([True, False, False, True, True, False])
    dropped_out = jnp.array([False, True, False, False, False, True])
    asked = []

    def ended_as_given(*arguments):
        asked.append(arguments)
        one = jax.tree.map(lambda x: x[0], state.dyads)
        six = jax.tree.map(lambda x: jnp.broadcast_to(x, (6, *x.shape)), one)
        return six.replace(time=time, success=success, dropped_out=dropped_out)

    monkeypatch.setattr(evaluation, "simulate", ended_as_given)
    arguments = state.eval_key, CLIENTS, therapists.complementary
    result = evaluation.evaluate_therapist(SMALL, CLIENTS, state.eval_key, therapists.complementary)
    assert asked == [(*arguments, SMALL.eval_episodes)]
    rewards = [100 + 2 * 9, -150, 0, 100 + 2 * 5, 100, -150]
    np.testing.assert_allclose(result.reward_mean, np.mean(rewards), rtol=1e-5)
    np.testing.assert_allclose(result.reward_std, np.std(rewards), rtol=1e-5)
    np.testing.assert_allclose(result.length_mean, 54 / 6, rtol=1e-6)
    np.testing.assert_allclose(result.success_rate, 3 / 6, rtol=1e-6)
    np.testing.assert_allclose(result.dropout_rate, 2 / 6, rtol=1e-6)
    np.testing.assert_allclose(result.sessions_to_success, (3 + 7 + 12) / 3, rtol=1e-6)

    success = jnp.zeros(6, bool)  # none: no division by zero
    result = evaluation.evaluate_therapist(SMALL, CLIENTS, state.eval_key, therapists.complementary)
    assert (result.success_rate, result.sessions_to_success) == (0, 0)


def acts_of(therapist, state, n):
    dyad = jax.tree.map(lambda x: x[0], state.dyads)
    keys = jax.random.split(jax.random.key(0), n)
    seen = therapist.see(dyad, CLIENTS)
    return np.asarray(jax.vmap(lambda key: therapist.act(key, (), seen)[1])(keys))


def test_deterministic_evaluation_takes_the_mode(monkeypatch, state):
    """A policy that slightly prefers one act: the mode always takes it, samples only at times."""
    state = state.replace(params=with_constant_policy(state.params, 0.1 * np.eye(8)[3]))
    asked = []
    nothing = EvalResult(*[jnp.float32(0)] * len(EvalResult._fields))

    def record(*given):
        asked.append(given)
        return nothing

    monkeypatch.setattr(evaluation, "evaluate_therapist", record)
    for ppo in (MODE, SMALL):
        evaluation.evaluate(ppo, SETTINGS, state)
    for ppo, clients, key, _ in asked:
        assert (ppo.eval_episodes, clients, key) == (16, CLIENTS, state.eval_key)
    mode, sample = (acts_of(therapist, state, 100) for *_, therapist in asked)
    assert set(mode.tolist()) == {3}
    assert set(sample.tolist()) == set(range(8))


def test_samples_are_drawn_from_the_policy(state):
    params = with_constant_policy(state.params, np.log([0.5, 0.5, *[1e-30] * 6]))
    acts = acts_of(evaluation.policy_therapist(SMALL, params), state, 400)
    assert set(acts.tolist()) == {0, 1}
    # Five standard deviations: false alarms of less than one in a million.
    assert abs(np.mean(acts == 0) - 0.5) < 5 * 0.5 / np.sqrt(400)
