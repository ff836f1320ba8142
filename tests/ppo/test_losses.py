"""The parts of PPO's objective against numbers worked out by hand, and GAE against a loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxtherapy.ppo import losses

STEPS, ENVS = 6, 3

gae = jax.jit(losses.generalized_advantages)
clipped_policy_loss = jax.jit(losses.clipped_policy_loss)
clipped_value_loss = jax.jit(losses.clipped_value_loss)
categorical_entropy = jax.jit(losses.categorical_entropy)
explained_variance = jax.jit(losses.explained_variance)
normalize = jax.jit(losses.normalize)


def gae_by_hand(rewards, values, next_values, terminated, truncated, gamma, gae_lambda):
    """Every advantage as its own sum over the rest of its episode, no recursion."""
    steps, envs = rewards.shape
    advantages = np.zeros((steps, envs))
    for env in range(envs):
        for start in range(steps):
            weight = 1.0
            for t in range(start, steps):
                # Nothing follows a termination; a truncation is followed by what would have been.
                future = 0.0 if terminated[t, env] else gamma * next_values[t, env]
                advantages[start, env] += weight * (rewards[t, env] + future - values[t, env])
                if terminated[t, env] or truncated[t, env]:
                    break
                weight *= gamma * gae_lambda
    return advantages


def flags(*rows):
    return np.array(rows, bool)


ENDINGS = st.lists(
    st.sampled_from(["goes on", "terminated", "truncated"]),
    min_size=STEPS * ENVS,
    max_size=STEPS * ENVS,
).map(lambda names: np.array(names).reshape(STEPS, ENVS))


@given(ENDINGS, st.integers(0, 2**32 - 1), st.floats(0, 1), st.floats(0, 1))
def test_gae_is_the_written_out_sum(endings, seed, gamma, gae_lambda):
    rng = np.random.default_rng(seed)
    rewards, values, next_values = rng.normal(0, 3, (3, STEPS, ENVS)).astype(np.float32)
    given_ = (rewards, values, next_values, endings == "terminated", endings == "truncated")
    ours = gae(*given_, np.float32(gamma), np.float32(gae_lambda))
    expected = gae_by_hand(*given_, gamma, gae_lambda)
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("where", [0, 3, STEPS - 1], ids=["first", "middle", "last"])
@pytest.mark.parametrize("how", ["terminated", "truncated"])
def test_gae_at_one_ending(where, how):
    """The first, a middle and the last step of a rollout, each the end of an episode."""
    rng = np.random.default_rng(where)
    rewards, values, next_values = rng.normal(0, 3, (3, STEPS, ENVS)).astype(np.float32)
    ended = np.zeros((STEPS, ENVS), bool)
    ended[where, 1] = True
    endings = (ended, np.zeros_like(ended))
    endings = endings if how == "terminated" else endings[::-1]
    ours = gae(rewards, values, next_values, *endings, np.float32(0.9), np.float32(0.8))
    expected = gae_by_hand(rewards, values, next_values, *endings, 0.9, 0.8)
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5)
    # At the end itself: a truncated step is worth its final observation, a terminated one not.
    future = 0 if how == "terminated" else 0.9 * next_values[where, 1]
    own = rewards[where, 1] + future - values[where, 1]
    np.testing.assert_allclose(ours[where, 1], own, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("how", ["terminated", "truncated"])
def test_nothing_leaks_over_an_end(how):
    """Whatever the next episode brings, the one before it does not change."""
    rng = np.random.default_rng(5)
    numbers = rng.normal(0, 3, (3, STEPS, ENVS)).astype(np.float32)
    ended = np.zeros((STEPS, ENVS), bool)
    ended[2] = True
    endings = (ended, np.zeros_like(ended))
    endings = endings if how == "terminated" else endings[::-1]
    other = numbers.copy()
    other[:, 3:] += 1000
    one, two = (gae(*x, *endings, np.float32(0.99), np.float32(0.95)) for x in (numbers, other))
    np.testing.assert_array_equal(one[:3], two[:3])


def test_a_terminated_step_ignores_the_value_of_what_follows():
    rng = np.random.default_rng(6)
    rewards, values, next_values = rng.normal(0, 3, (3, STEPS, ENVS)).astype(np.float32)
    ended = np.zeros((STEPS, ENVS), bool)
    ended[2] = True
    other = next_values.copy()
    other[2] += 1000
    factors = (np.float32(0.99), np.float32(0.95))
    no = np.zeros_like(ended)
    one, two = (gae(rewards, values, x, ended, no, *factors) for x in (next_values, other))
    np.testing.assert_array_equal(one, two)
    one, two = (gae(rewards, values, x, no, ended, *factors) for x in (next_values, other))
    np.testing.assert_allclose(two[2] - one[2], 990, rtol=1e-4)


def test_gae_of_a_rollout_of_one_step():
    one = np.ones((1, 3), np.float32)
    ours = gae(
        one * 10, one, one * 5, flags([1, 0, 0]), flags([0, 1, 0]), np.float32(0.5), np.float32(0.9)
    )
    np.testing.assert_allclose(ours, [[9, 11.5, 11.5]])


# --- policy loss ------------------------------------------------------------------------------

# Probability ratio, advantage → loss and its slope in log_prob (ρ' = ρ), with ε = 0.2.
POLICY_CASES = {
    "too likely and good: clipped": (1.5, 2.0, -2.4, 0.0),
    "too likely and bad: not clipped": (1.5, -2.0, 3.0, 3.0),
    "too unlikely and good: not clipped": (0.5, 2.0, -1.0, -1.0),
    "too unlikely and bad: clipped": (0.5, -2.0, 1.6, 0.0),
    "within and good": (1.1, 2.0, -2.2, -2.2),
    "within and bad": (0.9, -2.0, 1.8, 1.8),
    "unchanged": (1.0, 3.0, -3.0, -3.0),
}


@pytest.mark.parametrize("case", POLICY_CASES)
def test_clipped_policy_loss_by_hand(case):
    ratio, advantage, expected, slope = POLICY_CASES[case]
    old = np.array([-1.7], np.float32)

    def loss(log_prob):
        return clipped_policy_loss(log_prob, old, jnp.array([advantage]), 0.2).loss

    value, gradient = jax.value_and_grad(loss)(old + np.log(ratio).astype(np.float32))
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(gradient, [slope], rtol=1e-5, atol=1e-7)


def test_policy_loss_is_the_mean_over_the_batch():
    ratios, advantages, expected, _ = np.array(list(POLICY_CASES.values()), np.float32).T
    old = np.linspace(-3, -0.1, len(ratios)).astype(np.float32)
    report = clipped_policy_loss(old + np.log(ratios), old, advantages, 0.2)
    np.testing.assert_allclose(report.loss, expected.mean(), rtol=1e-5)
    kl = np.mean(ratios - 1 - np.log(ratios))
    np.testing.assert_allclose(report.approx_kl, kl, rtol=1e-5)
    np.testing.assert_allclose(report.clip_fraction, 4 / 7, rtol=1e-6)


def test_no_change_is_no_divergence():
    log_prob = jnp.array([-0.5, -2.0])
    report = clipped_policy_loss(log_prob, log_prob, jnp.array([1.0, -1.0]), 0.2)
    assert (report.loss, report.approx_kl, report.clip_fraction) == (0, 0, 0)


def test_old_log_probabilities_are_constants():
    """A gradient into them would undo that into the new ones."""

    def loss(old):
        log_prob = jnp.array([-0.5, -1.0])
        return clipped_policy_loss(log_prob, old, jnp.array([1.0, -1.0]), 0.2).loss

    gradient = jax.grad(loss)(jnp.array([-0.6, -0.9]))
    np.testing.assert_array_equal(gradient, [0, 0])


# --- value loss -------------------------------------------------------------------------------

# Value (the old one is 1), return → loss and its slope in the value, with ε = 0.2.
VALUE_CASES = {
    "risen too far towards the return: clipped": (1.5, 2.0, 0.8**2, 0.0),
    "risen too far away from it: not clipped": (1.5, 0.0, 1.5**2, 3.0),
    "fallen too far towards the return: clipped": (0.5, 0.0, 0.8**2, 0.0),
    "fallen too far away from it: not clipped": (0.5, 2.0, 1.5**2, -3.0),
    "risen too far beyond the return: not clipped": (1.5, 1.25, 0.25**2, 0.5),
    "within, return above": (1.1, 2.0, 0.9**2, -1.8),
    "within, return below": (0.9, 0.0, 0.9**2, 1.8),
}


@pytest.mark.parametrize("case", VALUE_CASES)
def test_clipped_value_loss_by_hand(case):
    """Without the ½ that some put in front."""
    value, returns, expected, slope = VALUE_CASES[case]

    def loss(value):
        return clipped_value_loss(value, jnp.array([1.0]), jnp.array([returns]), 0.2)

    ours, gradient = jax.value_and_grad(loss)(jnp.array([value]))
    np.testing.assert_allclose(ours, expected, rtol=1e-5)
    np.testing.assert_allclose(gradient, [slope], rtol=1e-5, atol=1e-7)


def test_value_loss_is_the_mean_over_the_batch():
    values, returns, expected, _ = np.array(list(VALUE_CASES.values()), np.float32).T
    ours = clipped_value_loss(values, np.ones_like(values), returns, 0.2)
    np.testing.assert_allclose(ours, expected.mean(), rtol=1e-5)


# --- entropy, explained variance, normalisation -----------------------------------------------


def test_entropy_of_known_policies():
    uniform, certain = np.zeros((2, 8)), np.eye(8)[:2] * 1e4
    np.testing.assert_allclose(categorical_entropy(uniform), np.log(8), rtol=1e-6)
    np.testing.assert_allclose(categorical_entropy(certain), 0, atol=1e-6)
    half = np.where(np.arange(8) < 2, 0.0, -1e4)[None]
    np.testing.assert_allclose(categorical_entropy(half), np.log(2), rtol=1e-6)
    # The mean over a batch, and adding to all logits changes nothing.
    both = np.concatenate([uniform[:1], half]) + 5
    np.testing.assert_allclose(categorical_entropy(both), np.log(16) / 2, rtol=1e-6)


def test_entropy_of_random_logits():
    logits = np.random.default_rng(0).normal(0, 2, (20, 8)).astype(np.float32)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = -(p * np.log(p)).sum(1).mean()
    np.testing.assert_allclose(categorical_entropy(logits), expected, rtol=1e-5)


def test_explained_variance():
    targets = np.array([[1.0, 2.0], [3.0, 6.0]], np.float32)
    ev = explained_variance
    assert ev(targets, targets) == 1
    assert ev(targets + 7, targets) == 1  # a constant error is none of variance
    assert ev(np.zeros_like(targets), targets) == 0
    np.testing.assert_allclose(ev(-targets, targets), -3, rtol=1e-6)
    assert ev(targets, np.ones_like(targets)) == 0  # nothing to explain


def test_normalised_to_mean_zero_and_deviation_one():
    values = np.random.default_rng(0).normal(50, 7, 64).astype(np.float32)
    ours = np.asarray(normalize(values))
    np.testing.assert_allclose(ours, (values - values.mean()) / values.std(), atol=1e-5)
    assert abs(ours.mean()) < 1e-5
    np.testing.assert_allclose(ours.std(), 1, rtol=1e-5)


@pytest.mark.parametrize("values", [[3.0], [2.0, 2.0, 2.0]], ids=["one", "constant"])
def test_normalising_what_does_not_vary_gives_zeros(values):
    np.testing.assert_array_equal(normalize(jnp.array(values)), np.zeros(len(values)))
