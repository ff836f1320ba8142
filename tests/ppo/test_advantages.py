"""From a rollout to what it teaches, recomputed in NumPy from the rollout alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.ppo.small import (
    MAX_SESSIONS,
    SETTINGS,
    SMALL,
    advantages,
    assert_identical,
    collect,
    init,
    numpy,
    values_of,
    with_hyper,
)


def teach(settings, state):
    """One rollout and its targets, as ``train_step`` makes them, as (state before, …, after)."""
    collected, rollout, last_obs = collect(SMALL, settings, state)
    after, targets, explained = advantages(SMALL, settings, collected, rollout, last_obs)
    return collected, numpy(rollout), numpy(last_obs), after, targets, float(explained)


@pytest.fixture(scope="module")
def taught():
    """The second rollout of a training: by then the return statistics are not empty."""
    state = teach(SETTINGS, init(SMALL, SETTINGS, 4))[3]
    return teach(SETTINGS, state)


def advantages_by_hand(rollout, values, next_values, gamma, gae_lambda):
    """The recursion as it stands in textbooks, one environment and step after the other."""
    result = np.zeros(values.shape)
    for env in range(values.shape[1]):
        later = 0.0
        for t in reversed(range(values.shape[0])):
            if rollout.terminated[t, env]:
                later = rollout.reward[t, env] - values[t, env]
            else:
                delta = rollout.reward[t, env] + gamma * next_values[t, env] - values[t, env]
                goes_on = not rollout.truncated[t, env]
                later = delta + gamma * gae_lambda * (later if goes_on else 0.0)
            result[t, env] = later
    return result


def std_of_all(stats, values):
    """Of what the statistics have seen and these values, from sums in float64."""
    n, mean = float(stats.count), float(stats.mean)
    count = n + values.size
    total = n * mean + values.sum()
    squares = float(stats.squared_deviations) + n * mean**2 + np.sum(values**2)
    return np.sqrt(squares / count - (total / count) ** 2)


def test_everything_recomputed(taught):
    before, rollout, last_obs, after, targets, explained = taught
    assert np.sum(rollout.truncated) >= 2
    assert np.sum(rollout.terminated) >= 2

    scale = max(float(before.return_stats.std), 1.0)
    assert scale > 10  # the unit matters
    values = values_of(before.params, rollout.obs.critic) * scale
    # Each transition's own next observation: for one that ended an episode, its final one.
    next_values = values_of(before.params, rollout.final_obs) * scale
    np.testing.assert_allclose(
        next_values[-1][~(rollout.terminated | rollout.truncated)[-1]],
        values_of(before.params, last_obs.critic)[~(rollout.terminated | rollout.truncated)[-1]]
        * scale,
        rtol=1e-6,
    )
    hyper = SETTINGS.hyperparameters
    factors = float(hyper.gamma), float(hyper.gae_lambda)
    advantage = advantages_by_hand(rollout, values, next_values, *factors)
    returns = advantage + values
    new_scale = max(std_of_all(before.return_stats, returns), 1.0)

    def rows(x):
        return x.reshape(-1)

    np.testing.assert_allclose(targets.value, rows(values) / scale, atol=1e-5)
    np.testing.assert_allclose(targets.advantage, rows(advantage), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(targets.returns, rows(returns) / new_scale, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(after.return_stats.std, new_scale, rtol=1e-4)
    assert after.return_stats.count == before.return_stats.count + values.size
    np.testing.assert_allclose(
        explained, 1 - np.var(returns - values) / np.var(returns), rtol=1e-3, atol=1e-4
    )


def test_the_first_observation_of_the_next_episode_would_be_seen_here(taught):
    """Bootstrapping a truncation from the wrong observation is far outside the tolerance above."""
    before, rollout, last_obs, *_ = taught
    following = np.concatenate(
        [
            values_of(before.params, rollout.obs.critic)[1:],
            values_of(before.params, last_obs.critic)[None],
        ]
    )
    own = values_of(before.params, rollout.final_obs)
    wrong = np.abs(following - own)[rollout.truncated]
    assert np.all(wrong * float(before.return_stats.std) > 0.1)


def test_rows_keep_what_was_collected_together(taught):
    """Flattening must not tear an act from its observation."""
    _, rollout, _, _, targets, _ = taught
    n = SMALL.steps_per_update
    assert_identical(targets.obs.actor.history, rollout.obs.actor.history.reshape(n, -1))
    assert_identical(
        targets.obs.actor.session_number, rollout.obs.actor.session_number.reshape(n, 1)
    )
    assert_identical(targets.obs.actor.client_action, rollout.obs.actor.client_action.reshape(n))
    assert_identical(targets.action, rollout.action.reshape(n))
    assert_identical(targets.log_prob, rollout.log_prob.reshape(n))


def test_only_the_return_statistics_change(taught):
    before, _, _, after, *_ = taught
    assert_identical(after.replace(return_stats=before.return_stats), before)


def test_before_the_first_reward_the_unit_is_one_point():
    """Values near 0 and no rewards: dividing by their tiny deviation would blow noise up."""
    quiet = SETTINGS.replace(
        clients=SETTINGS.clients.replace(
            threshold=np.float32(1.0),
            max_sessions=np.int32(10_000),
            enable_parataxic=np.bool_(False),
        )
    )
    settings = with_hyper(quiet, gamma=0.0, gae_lambda=0.0)
    state = init(SMALL, settings, 3)
    before, rollout, _, _, targets, _ = teach(settings, state)
    # Without discounted future the returns are the rewards.
    rewards = rollout.reward.reshape(-1)
    expected = max(rewards.std(), 1.0)
    np.testing.assert_allclose(targets.returns, rewards / expected, rtol=1e-4, atol=1e-4)
    values = values_of(before.params, rollout.obs.critic).reshape(-1)
    np.testing.assert_allclose(targets.advantage, rewards - values, rtol=1e-4, atol=1e-4)


def test_undiscounted_sums_of_rewards(taught):
    """γ = λ = 1: within an episode that terminates, the return of each step is what it ended in."""
    settings = with_hyper(SETTINGS, gamma=1.0, gae_lambda=1.0)
    before, rollout, _, after, targets, _ = teach(settings, taught[3])
    returns = np.asarray(targets.returns).reshape(rollout.reward.shape)
    returns = returns * max(float(after.return_stats.std), 1.0)
    checked = 0
    for env in range(SMALL.n_envs):
        start = 0
        for t in range(SMALL.n_steps):
            if rollout.terminated[t, env]:
                ended_in = rollout.reward[t, env]
                np.testing.assert_allclose(returns[start : t + 1, env], ended_in, rtol=1e-3)
                checked += 1
            if rollout.terminated[t, env] or rollout.truncated[t, env]:
                start = t + 1
    assert checked >= 2
    assert before.return_stats.count > 0


@pytest.mark.parametrize(("bias", "end"), [(1e6, 100 + 2 * (MAX_SESSIONS - 1)), (-1e6, -150)])
def test_values_end_where_outcomes_do(taught, bias, end):
    """Or they would feed on each other where sessions run out and hardly anything is paid."""
    before, rollout, last_obs, *_ = taught
    params = jax.tree.map(lambda x: x, before.params)
    params.critic.output_layer.bias[...] = jnp.full(1, bias)
    after, targets, _ = advantages(
        SMALL, SETTINGS, before.replace(params=params), rollout, last_obs
    )
    returns = np.asarray(targets.returns) * float(after.return_stats.std)
    assert np.max(np.abs(returns)) <= 150.1
    assert np.max(returns * np.sign(end)) >= 0.98 * abs(end)
