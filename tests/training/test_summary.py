"""What the end of a run says of its therapist."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtherapy.client.dyad import intake
from jaxtherapy.client.therapists import complementary, random
from jaxtherapy.config import TrainingConfig
from jaxtherapy.ppo import evaluation
from jaxtherapy.ppo.types import EvalResult
from jaxtherapy.training.summary import compare_trained, summary_key, verdict
from tests.ppo.small import SETTINGS, SMALL, assert_close, init

CLIENTS = SETTINGS.clients


def result(success):
    nothing = np.zeros(4)
    return EvalResult(nothing, nothing, nothing, np.array(success), nothing, nothing)


def says(gap, noise, n=400):
    """Of a final therapist who earns ``gap`` more than the complementary one, give or take."""
    rng = np.random.default_rng(0)
    rewards = rng.normal(0, 50, n) * np.ones((4, 1))
    difference = rng.normal(0, noise, n)
    rewards[0] += gap + difference - difference.mean()
    return verdict(
        result([0.9, 0.9, 0.9, 0.1]), rewards.astype(np.float32), TrainingConfig(threshold=0.7)
    )


def test_more_and_less_are_said_where_clients_can_tell():
    assert "earns more than one who always complements (by 2.0 ± " in says(2, 10)
    assert "earns less than one who always complements (by 2.0 ± " in says(-2, 10)


@pytest.mark.parametrize("gap", [0.5, -0.5])
def test_what_clients_can_not_tell_is_the_same(gap):
    """Pairs count: the reward of a therapy has a deviation of 50, that of the gap one of 10."""
    assert f"({gap:+.1f} ± 1.0 a therapy" in says(gap, 10)
    assert "earn the same, as far as these clients can tell" in says(gap, 10)


def test_equal_therapists_earn_the_same():
    assert "earn the same" in says(0, 0)


def test_who_hardly_ever_succeeds_is_told_why():
    rewards = np.zeros((4, 10))
    config = TrainingConfig()
    hard, weak = (verdict(result([0.01, 0, other, 0]), rewards, config) for other in (0.01, 0.5))
    assert "hardly ever succeeds (nor do the untrained ones" in hard and "--threshold" in hard
    assert "hardly ever succeeds." in weak


def test_what_was_done_already_is_not_advised():
    config = TrainingConfig(threshold=0.5, n_envs=256, gamma=0.995)
    told = verdict(result([0.01, 0, 0.01, 0]), np.zeros((4, 10)), config)
    assert told.endswith("Try more --total-timesteps.")


def test_rows_are_the_final_and_the_best_policy_and_two_that_need_no_training():
    final, best = (init(SMALL, SETTINGS, seed).params for seed in (1, 2))
    best = jax.tree.map(lambda x: 9 * x, best)  # decided, and so unlike the other
    ppo = replace(SMALL, eval_episodes=64)
    run = jax.jit(partial(compare_trained, ppo))
    found, rewards = run(SETTINGS, 7, (final, best))

    @jax.jit
    def of_policy(key, params):
        therapist = evaluation.policy_therapist(SMALL, params)
        return evaluation.evaluate_therapist(ppo, CLIENTS, key, therapist)

    @jax.jit
    def untrained(key, is_random):
        def therapist(key, dyad, params):
            acts = (each(key, dyad, params) for each in (complementary, random))
            return jnp.where(is_random, *list(acts)[::-1])

        return evaluation.evaluate_therapist(ppo, CLIENTS, key, therapist)

    key = summary_key(7)
    lineup = [of_policy(key, params) for params in (final, best)]
    lineup += [untrained(key, is_random) for is_random in (False, True)]
    for i, alone in enumerate(lineup):
        assert_close(jax.tree.map(lambda x, i=i: x[i], found), alone)
        np.testing.assert_allclose(np.mean(rewards[i]), alone.reward_mean, rtol=1e-4)
    assert len(np.unique(rewards, axis=0)) == 4


def test_its_clients_are_new():
    """The best policy was chosen on the evaluation's clients, and would look better there."""

    def utilities(key):
        keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(100))
        dyads = jax.vmap(lambda k: intake(jax.random.fold_in(k, 0), CLIENTS))(keys)
        return {each.tobytes() for each in np.asarray(dyads.client.utilities)}

    new, old = (utilities(key) for key in (summary_key(5), evaluation.evaluation_key(jnp.int32(5))))
    assert len(new) == len(old) == 100 and not new & old
