"""The trunk of the ordinary observation: its input, and its fast ways."""

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxtherapy.config.settings import PPO
from jaxtherapy.fast.first_layer import LARGE_BATCH
from jaxtherapy.networks import N_FEATURES, TherapyNet
from jaxtherapy.networks.actor_critic import make_networks
from tests.observations import observations


@pytest.fixture(scope="module")
def tiny():
    return make_networks(PPO(hidden_size=8), jax.random.key(0))


def test_features_are_act_session_number_history_in_this_order():
    """Hidden layers that pass their input on show what they are given."""
    net = nnx.eval_shape(lambda: TherapyNet(N_FEATURES, rngs=nnx.Rngs(0)))
    rng = np.random.default_rng(0)
    shapes = nnx.state(net, nnx.Param)
    nnx.update(net, jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape)), shapes))
    lift = 100.0  # so that ReLU cuts nothing off
    net.hidden_1.kernel[...] = jnp.eye(N_FEATURES)
    net.hidden_2.kernel[...] = jnp.eye(N_FEATURES)
    net.hidden_1.bias[...] = jnp.full(N_FEATURES, lift)
    net.hidden_2.bias[...] = jnp.zeros(N_FEATURES)
    obs = observations(2, 3)
    features = np.asarray(net(obs)) - lift
    acts = np.asarray(net.client_action_embed.embedding[...])
    past = np.asarray(net.history_embed.embedding[...])
    assert (acts.shape, past.shape) == ((8, 16), (9, 8))
    assert features.shape == (3, 417)
    for row, act, session, history in zip(features, *obs, strict=True):
        np.testing.assert_allclose(row[:16], acts[act], atol=1e-4)
        np.testing.assert_allclose(row[16], session[0], atol=1e-4)
        for place in range(50):
            start = 17 + 8 * place
            np.testing.assert_allclose(row[start : start + 8], past[history[place]], atol=1e-4)


def test_the_past_starts_quieter_than_the_act_to_answer(tiny):
    """Fifty places of history must not drown the one act on the table."""
    for trunk in (tiny.actor.preprocess, tiny.critic.preprocess):
        assert 0.75 < np.std(trunk.client_action_embed.embedding[...]) < 1.25
        assert 0.18 < np.std(trunk.history_embed.embedding[...]) < 0.32


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
@pytest.mark.parametrize("batch", [(), (5,), (4, 7), (LARGE_BATCH + 3,)], ids=str)
def test_it_is_what_it_is_defined_as(batch, backend, monkeypatch):
    """Embeddings side by side through both layers, whichever way, and so is the gradient."""
    graph, params = nnx.split(TherapyNet(8, precision="float32", rngs=nnx.Rngs(0)))
    obs = observations(12, *batch)
    rng = np.random.default_rng(0)
    weight = jnp.asarray(rng.normal(size=(*batch, 8)), jnp.float32)
    monkeypatch.setattr(jax, "default_backend", lambda: backend)

    def of(way):
        def total(params):
            features = way(nnx.merge(graph, params))(obs)
            return jnp.sum(features * weight), features

        return jax.jit(jax.grad(total, has_aux=True))(params)

    expected = of(lambda net: net.plain)
    for way in (lambda net: net, lambda net: net.prepared()):
        for ours, theirs in zip(*map(jax.tree.leaves, (of(way), expected)), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)


def outputs_and_gradient(ppo, n):
    """Of networks as they are and as they are prepared, for ``n`` observations."""
    obs = observations(11, n)
    graph, params = nnx.split(make_networks(ppo, jax.random.key(3)))

    def loss(params):
        networks = nnx.merge(graph, params)
        logits, values = networks.actor(obs), networks.critic(obs)
        alone = networks.actor.prepared()(obs), networks.critic.prepared()(obs)
        return jnp.sum(100 * logits**2) + jnp.sum(values**2), ((logits, values), alone)

    gradient, outputs = jax.jit(jax.grad(loss, has_aux=True))(params)
    return [*jax.tree.leaves(outputs), *jax.tree.leaves(gradient)]


exact = cache(outputs_and_gradient)


@pytest.mark.parametrize("n", [3, LARGE_BATCH])
@pytest.mark.parametrize("shared_trunk", [False, True])
@pytest.mark.parametrize("precision", ["auto", "float32", "bfloat16"])
def test_a_gpus_way_is_the_same_function(n, shared_trunk, precision, monkeypatch):
    """What is computed where selecting rows doesn't pay, computed on whatever is there."""
    ppo = PPO(hidden_size=8, shared_trunk=shared_trunk, precision=precision)
    expected = exact(replace(ppo, precision="float32"), n)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    found = outputs_and_gradient(ppo, n)
    share = 0.1 if precision == "bfloat16" else 1e-2 if precision == "auto" else 1e-4
    for one, two in zip(found, expected, strict=True):
        assert one.dtype == jnp.float32
        np.testing.assert_allclose(one, two, rtol=0, atol=share * np.max(np.abs(two)) + 1e-7)
