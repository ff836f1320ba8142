"""Minibatches and gradient steps: every transition once per epoch, and Adam as it should be."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from jaxtherapy.config.settings import PPO
from jaxtherapy.networks.actor_critic import make_networks, with_weights
from jaxtherapy.ppo import losses, optimizer
from jaxtherapy.ppo import ppo as ppos
from jaxtherapy.ppo.optimizer import adam_state
from jaxtherapy.ppo.types import Losses, Targets, TrainState
from jaxtherapy.storage import policies as weights
from tests.ppo.small import (
    SETTINGS,
    SMALL,
    advantages,
    assert_close,
    assert_identical,
    collect,
    differ,
    init,
    log_softmax,
    logits_of,
    numpy,
    raw,
    update,
    values_of,
    with_hyper,
)

# Batch size, and how many of 24 rows each minibatch gets.
SIZES = {
    "divides": (8, [8, 8, 8]),
    "leaves a remainder": (7, [7, 7, 10]),
    "more than half": (13, [24]),
    "exactly the rollout": (24, [24]),
    "exceeds the rollout": (100, [24]),
    "one": (1, [1] * 24),
}


def of_24(batch_size, n_epochs=1):
    return PPO(n_envs=4, n_steps=6, batch_size=batch_size, n_epochs=n_epochs)


def test_number_of_gradient_steps():
    assert [of_24(size, 3).gradient_steps_per_update for size, _ in SIZES.values()] == [
        *(9, 9, 3, 3, 3, 72)
    ]


# --- update, with a loss whose gradient counts ------------------------------------------------


def numbered_targets(n):
    """Rows that know their number; the loss below looks at nothing else."""
    zeros = jnp.zeros(n)
    return Targets(zeros, jnp.arange(n), zeros, zeros, zeros, zeros)


def counting_update(monkeypatch, ppo, key):
    """The rows of every minibatch, how often each entered a gradient, the report, what is left."""
    batches = []

    def count(hyper, params, batch):
        jax.debug.callback(lambda rows: batches.append(tuple(rows.tolist())), batch.action)
        report = Losses(*[jnp.float32(len(batch.action))] * len(Losses._fields))
        return jnp.sum(params["seen"][batch.action]), report

    # Plain steps of size 1: parameters become minus the sum of all gradients.
    monkeypatch.setattr(losses, "loss", count)
    monkeypatch.setattr(ppos, "with_weights", lambda ppo, params: params)
    monkeypatch.setattr(ppos, "adam", lambda *_: optax.sgd(1.0))
    params = {"seen": jnp.zeros(ppo.steps_per_update)}
    state = TrainState(
        params=params,
        opt_state=optax.sgd(1.0).init(params),
        dyads=None,
        key=key,
        eval_key=None,
        return_stats=None,
        log=None,
        n_updates=jnp.int32(0),
        diverged=jnp.bool_(False),
    )
    settings = with_hyper(SETTINGS, max_grad_norm=np.inf)
    # A lambda, so that nothing compiled with the patch outlives it.
    after, report = jax.jit(lambda state: ppos.update(ppo, settings, state, numbered_targets(24)))(
        state
    )
    jax.effects_barrier()
    return batches, -np.asarray(after.params["seen"]), report, after


@pytest.mark.parametrize(("batch_size", "sizes"), SIZES.values(), ids=SIZES)
def test_every_transition_is_learnt_from_once(monkeypatch, batch_size, sizes):
    """Each stands in exactly one minibatch; the last one takes in the remainder."""
    ppo = of_24(batch_size)
    batches, seen, report, _ = counting_update(monkeypatch, ppo, jax.random.key(0))
    np.testing.assert_array_equal(seen, 1)
    np.testing.assert_array_equal(np.sort(np.concatenate(batches)), np.arange(24))
    assert sorted(map(len, batches)) == sizes
    assert len(batches) == ppo.n_minibatches
    # The report is the mean over minibatches: here, of their sizes.
    np.testing.assert_allclose(report.policy_loss, 24 / ppo.n_minibatches, rtol=1e-6)


def test_once_per_epoch_and_every_epoch_shuffled_anew(monkeypatch):
    """Three epochs, and those of the next update: no minibatch comes twice."""
    batches, seen, _, after = counting_update(monkeypatch, of_24(8, 3), jax.random.key(0))
    np.testing.assert_array_equal(seen, 3)
    others, *_ = counting_update(monkeypatch, of_24(8, 3), after.key)
    assert len(batches) == len(others) == 9
    assert len({*batches, *others}) == 18
    again, *_ = counting_update(monkeypatch, of_24(8, 3), jax.random.key(0))
    assert sorted(again) == sorted(batches)


# --- update, in earnest -----------------------------------------------------------------------

ONCE = PPO(**{**vars(SMALL), "n_epochs": 1, "batch_size": SMALL.steps_per_update})
"""One gradient step on the whole rollout: nothing random is left."""


@pytest.fixture(scope="module")
def taught():
    """State and targets of the second rollout (values have a unit by then), policy moved away
    from the one that collected, so that ratios are not 1.
    """
    state = init(SMALL, SETTINGS, 1)
    for _ in range(2):
        state, rollout, last_obs = collect(SMALL, SETTINGS, state)
        state, targets, _ = advantages(SMALL, SETTINGS, state, rollout, last_obs)
    rng = np.random.default_rng(0)
    params = jax.tree.map(
        lambda x: x + jnp.asarray(rng.normal(0, 0.02, x.shape), jnp.float32), state.params
    )
    return state.replace(params=params), targets


def loss_by_hand(params, targets, clip_range, vf_coef, ent_coef):
    log_probs = log_softmax(logits_of(params, targets.obs.actor))
    action = np.asarray(targets.action).astype(int)
    log_prob = np.take_along_axis(log_probs, action[:, None], axis=1)[:, 0]
    ratio = np.exp(log_prob - np.asarray(targets.log_prob, float))
    advantage = np.asarray(targets.advantage, float)
    advantage = (advantage - advantage.mean()) / advantage.std()
    inside = np.minimum(np.maximum(ratio, 1 - clip_range), 1 + clip_range)
    policy_loss = -np.mean(np.minimum(ratio * advantage, inside * advantage))
    values, old = values_of(params, targets.obs.critic), np.asarray(targets.value, float)
    near = old + np.minimum(np.maximum(values - old, -clip_range), clip_range)
    returns = np.asarray(targets.returns, float)
    value_loss = np.mean(np.maximum((values - returns) ** 2, (near - returns) ** 2))
    entropy = -np.mean(np.sum(np.exp(log_probs) * log_probs, axis=1))
    return {
        "policy_loss": policy_loss,
        "value_loss": value_loss,
        "entropy": entropy,
        "approx_kl": np.mean(ratio - 1 - np.log(ratio)),
        "clip_fraction": np.mean(np.abs(ratio - 1) > clip_range),
        "total": policy_loss + vf_coef * value_loss - ent_coef * entropy,
    }


@pytest.fixture(scope="module")
def loss_and_gradient():
    def loss(ppo, hyper, params, batch):
        return losses.loss(hyper, with_weights(ppo, params), batch)

    grad = jax.value_and_grad(loss, argnums=2, has_aux=True)
    return jax.jit(grad, static_argnums=0)


def test_loss_of_a_minibatch_in_numpy(taught, loss_and_gradient):
    state, targets = taught
    settings = with_hyper(SETTINGS, clip_range=0.05, vf_coef=0.7, ent_coef=0.3)
    (total, report), _ = loss_and_gradient(ONCE, settings.hyperparameters, state.params, targets)
    expected = loss_by_hand(state.params, targets, 0.05, 0.7, 0.3)
    assert 0.05 < expected["clip_fraction"] < 0.95
    np.testing.assert_allclose(total, expected.pop("total"), rtol=1e-4)
    for name, value in expected.items():
        np.testing.assert_allclose(getattr(report, name), value, rtol=1e-3, atol=1e-6)


def squared_sum(tree):
    return sum(float(np.sum(np.square(x, dtype=float))) for x in raw(tree))


def adam(state):
    return adam_state(state.opt_state)


@pytest.mark.parametrize("max_norm", [0.01, 1e6, np.inf], ids=str)
def test_one_gradient_step_is_adams_first(taught, loss_and_gradient, max_norm):
    """Clip by the global norm, moments, bias correction, ε = 1e-8; all worked out in NumPy."""
    state, targets = taught
    settings = with_hyper(SETTINGS, max_grad_norm=max_norm, learning_rate=1e-3)
    after, report = update(ONCE, settings, state, targets)
    _, gradient = loss_and_gradient(ONCE, settings.hyperparameters, state.params, targets)

    norm = np.sqrt(squared_sum(gradient))
    assert norm > 0.1  # so that the smallest limit bites
    np.testing.assert_allclose(report.grad_norm, norm, rtol=1e-4)  # before clipping
    factor = min(1.0, max_norm / norm)
    moments = adam(after)
    assert moments.count == 1
    np.testing.assert_allclose(np.sqrt(squared_sum(moments.mu)), 0.1 * factor * norm, rtol=1e-3)
    for g, mu, nu, old, new in zip(
        *map(raw, (gradient, moments.mu, moments.nu, state.params, after.params)), strict=True
    ):
        g = factor * g.astype(float)
        tolerance = 1e-5 * factor
        np.testing.assert_allclose(mu, 0.1 * g, rtol=1e-3, atol=tolerance)
        np.testing.assert_allclose(nu, 0.001 * g**2, rtol=2e-3, atol=tolerance**2)
        # The step itself from its own moments: with g near 0 its sign is rounding.
        step = 1e-3 * (mu / 0.1) / (np.sqrt(nu / 0.001) + 1e-8)
        np.testing.assert_allclose(new - old, -step, rtol=1e-2, atol=1e-6)


def test_learning_rate_scales_the_step(taught):
    state, targets = taught
    steps = []
    for rate in (0.0, 1e-3, 2e-3):
        after, _ = update(ONCE, with_hyper(SETTINGS, learning_rate=rate), state, targets)
        steps.append(
            [new - old for new, old in zip(raw(after.params), raw(state.params), strict=True)]
        )
    assert all(np.all(step == 0) for step in steps[0])
    for one, two in zip(steps[1], steps[2], strict=True):
        np.testing.assert_allclose(two, 2 * one, atol=1e-6)
    assert differ(steps[1], steps[0])


def of_network(tree, network):
    named = weights.to_named_arrays(tree)
    return {name: array for name, array in named.items() if name.startswith(network)}


def test_without_its_coefficient_the_critic_stands_still(taught):
    """And the actor moves as before: with a trunk each, the value loss is none of its business."""
    state, targets = taught
    free = with_hyper(SETTINGS, max_grad_norm=np.inf)
    with_value, _ = update(ONCE, free, state, targets)
    without, _ = update(ONCE, with_hyper(free, vf_coef=0.0), state, targets)
    assert_identical(of_network(without.params, "critic"), of_network(state.params, "critic"))
    assert differ(of_network(with_value.params, "critic"), of_network(state.params, "critic"))
    assert_close(of_network(without.params, "actor"), of_network(with_value.params, "actor"))


def test_the_scale_and_offset_of_advantages_do_not_matter(taught):
    """They are normalised per minibatch."""
    state, targets = taught
    after, report = update(ONCE, SETTINGS, state, targets)
    other = targets._replace(advantage=7 * targets.advantage + 300)
    after_other, report_other = update(ONCE, SETTINGS, state, other)
    assert_close(report, report_other, rtol=1e-3, atol=1e-5)
    assert_close(adam(after).mu, adam(after_other).mu, rtol=1e-2, atol=1e-5)


def test_one_step_goes_downhill(taught):
    state, targets = taught
    settings = with_hyper(SETTINGS, learning_rate=1e-3)
    after, _ = update(ONCE, settings, state, targets)
    arguments = (targets, 0.2, 0.5, 0.01)
    before = loss_by_hand(state.params, *arguments)
    assert loss_by_hand(after.params, *arguments)["total"] < before["total"]


def test_updating_leaves_clients_and_statistics_alone(taught):
    state, targets = taught
    after, _ = update(ONCE, SETTINGS, state, targets)
    restored = after.replace(params=state.params, opt_state=state.opt_state, key=state.key)
    assert_identical(restored, state)
    assert differ(after.key, state.key)
    assert numpy(after.n_updates) == 0  # train_step counts


def test_one_trunk_learns_from_both_losses(taught):
    """Its parameters appear once, and once in Adam."""
    _, targets = taught
    shared = PPO(**{**vars(ONCE), "shared_trunk": True})
    params = nnx.state(make_networks(shared, jax.random.key(0)), nnx.Param)
    opt_state = optimizer.adam(3e-4).init(params)
    state = taught[0].replace(params=params, opt_state=opt_state)
    n_parameters = sum(x.size for x in raw(state.params))
    separate = sum(x.size for x in raw(taught[0].params))
    trunk = 8 * 16 + 9 * 8 + 418 * 16 + 17 * 16
    assert n_parameters == separate - trunk
    assert sum(x.size for x in raw(adam(state).mu)) == n_parameters
    only_values = with_hyper(SETTINGS, ent_coef=0.0, vf_coef=1.0)
    # Equal advantages are normalised to zero: what moves the trunk now are the values.
    flat = targets._replace(advantage=jnp.zeros_like(targets.advantage))
    after, _ = update(shared, only_values, state, flat)
    moved, before = (
        weights.state_dict(weights.to_named_arrays(each.params)) for each in (after, state)
    )
    assert np.any(moved["actor.preprocess.mlp.0.weight"] != before["actor.preprocess.mlp.0.weight"])
    np.testing.assert_array_equal(
        moved["actor.preprocess.mlp.0.weight"], moved["critic.preprocess.mlp.0.weight"]
    )
    np.testing.assert_array_equal(
        moved["actor.output_layer.weight"], before["actor.output_layer.weight"]
    )
