"""Actor and critic: their size, their start, and that they compute what PyTorch computes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxtherapy.client.dyad import Observation
from jaxtherapy.config import ConfigError
from jaxtherapy.config.settings import PPO
from jaxtherapy.networks import Actor, Critic, make_therapy_networks
from jaxtherapy.networks.actor_critic import make_networks, param_shapes, with_weights
from jaxtherapy.networks.encoders.flat import FlatEncoder
from jaxtherapy.networks.encoders.history import TherapyNet
from jaxtherapy.storage import policies as weights
from tests.conftest import DATA, load_arrays
from tests.observations import observations
from tests.ppo.small import network_output
from tests.views import BOND_VIEW, with_view

TINY = PPO(hidden_size=8)


def count(*modules):
    return sum(x.size for x in jax.tree.leaves(nnx.state(nnx.List(modules), nnx.Param)))


@pytest.fixture(scope="module")
def tiny():
    return make_networks(TINY, jax.random.key(0))


@pytest.mark.parametrize("leading", [(), (1,), (5,), (2, 3), (2, 0), (2, 1, 3)], ids=str)
def test_any_leading_axes(tiny, leading):
    obs = observations(0, *leading)
    assert tiny.actor.preprocess(obs).shape == (*leading, 8)
    logits, values = tiny.actor(obs), tiny.critic(obs)
    assert (logits.shape, values.shape) == ((*leading, 8), leading)
    assert (logits.dtype, values.dtype) == (jnp.float32, jnp.float32)


def test_a_batch_is_its_rows(tiny):
    obs = observations(1, 4)
    for network in (tiny.actor, tiny.critic):
        whole = network(obs)
        for i in range(4):
            row = network(jax.tree.map(lambda x, i=i: x[i], obs))
            np.testing.assert_allclose(row, whole[i], rtol=1e-5, atol=1e-6)


def test_sizes_at_the_default_width():
    embeddings = 8 * 16 + 9 * 8
    trunk = embeddings + (417 + 1) * 256 + (256 + 1) * 256
    actor, critic = nnx.eval_shape(lambda: make_therapy_networks(rngs=nnx.Rngs(0)))
    assert isinstance(actor, Actor)
    assert isinstance(critic, Critic)
    assert count(actor) == trunk + 257 * 8 == 175_056
    assert count(critic) == trunk + 257 == 173_257
    assert count(actor, critic) == 348_313
    shared = nnx.eval_shape(lambda: make_therapy_networks(shared_trunk=True, rngs=nnx.Rngs(0)))
    assert count(*shared) == trunk + 257 * 8 + 257


def test_a_shared_trunk_is_one_and_separate_ones_differ(tiny):
    actor, critic = make_therapy_networks(8, shared_trunk=True, rngs=nnx.Rngs(0))
    assert actor.preprocess is critic.preprocess
    obs = observations(3, 6)
    assert np.any(tiny.actor.preprocess(obs) != tiny.critic.preprocess(obs))
    # It stays one through the split into parameters and back, which is what PPO works with.
    ppo = PPO(hidden_size=8, shared_trunk=True)
    networks = make_networks(ppo, jax.random.key(1))
    params = nnx.state(networks, nnx.Param)
    again = with_weights(ppo, jax.tree.map(lambda x: x * 2, params))
    np.testing.assert_array_equal(again.actor.preprocess(obs), again.critic.preprocess(obs))
    assert count(again) == count(networks)


def test_the_untrained_therapist_is_close_to_uniform():
    networks = make_networks(TINY, jax.random.key(2))
    obs = observations(4, 500)
    p = np.asarray(jax.nn.softmax(networks.actor(obs)))
    assert np.all(np.abs(p - 1 / 8) < 0.02)
    assert np.any(p != 1 / 8)
    assert np.std(networks.critic(obs)) > 0.05  # the critic's gain is not that small


def test_initial_layers_are_orthogonal_and_unbiased(tiny):
    for network, gain in ((tiny.actor, 0.01), (tiny.critic, 1.0)):
        trunk = network.preprocess
        for layer, scale in ((trunk.hidden_1, 2**0.5), (trunk.hidden_2, 2**0.5)):
            kernel = np.asarray(layer.kernel[...], float)
            np.testing.assert_allclose(kernel.T @ kernel, scale**2 * np.eye(8), atol=1e-5)
        head = np.asarray(network.output_layer.kernel[...], float)
        n_out = head.shape[1]
        np.testing.assert_allclose(head.T @ head, gain**2 * np.eye(n_out), atol=1e-5 * gain**2)
        for layer in (trunk.hidden_1, trunk.hidden_2, network.output_layer):
            np.testing.assert_array_equal(layer.bias[...], 0)


def test_keys_decide_initial_weights(tiny):
    obs = observations(5, 4)
    same, other = (make_networks(TINY, jax.random.key(seed)) for seed in (0, 1))
    np.testing.assert_array_equal(same.actor(obs), tiny.actor(obs))
    assert np.any(other.actor(obs) != tiny.actor(obs))


@pytest.mark.parametrize("shared", [False, True], ids=["two trunks", "one trunk"])
def test_forward_pass_in_numpy(shared):
    ppo = PPO(hidden_size=8, shared_trunk=shared, precision="float32")
    params = nnx.state(make_networks(ppo, jax.random.key(3)), nnx.Param)
    # Biases start at zero and the policy near uniform: make every weight matter.
    leaves, structure = jax.tree.flatten(params)
    rng = np.random.default_rng(0)
    leaves = [x + jnp.asarray(rng.normal(0, 0.1, x.shape), jnp.float32) for x in leaves]
    params = jax.tree.unflatten(structure, leaves)
    networks = with_weights(ppo, params)
    named = weights.state_dict(weights.to_named_arrays(params))
    obs = observations(6, 5, 4)
    for network in ("actor", "critic"):
        ours = getattr(networks, network)(obs)
        expected = network_output(named, network, obs)
        assert np.std(expected) > 0.1
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5)


def test_precisions_agree_as_far_as_they_reach():
    outputs = {}
    obs = observations(7, 32)
    for precision in ("float32", "auto", "bfloat16"):
        ppo = PPO(hidden_size=8, precision=precision)
        networks = make_networks(ppo, jax.random.key(4))
        params = nnx.state(networks, nnx.Param)
        # Weights are kept in float32 whatever the products are computed in.
        assert {x.dtype for x in jax.tree.leaves(params)} == {jnp.dtype("float32")}
        logits, values = networks.actor(obs), networks.critic(obs)
        assert (logits.dtype, values.dtype) == (jnp.float32, jnp.float32)
        outputs[precision] = np.concatenate([np.ravel(100 * logits), np.ravel(values)])
        assert np.all(np.isfinite(outputs[precision]))
    spread = np.std(outputs["float32"])
    np.testing.assert_allclose(outputs["auto"], outputs["float32"], atol=1e-2 * spread)
    np.testing.assert_allclose(outputs["bfloat16"], outputs["float32"], atol=5e-2 * spread)
    assert np.any(outputs["bfloat16"] != outputs["float32"])  # the setting does something


def test_weights_trained_with_tianshou_give_its_outputs():
    """A policy that PyTorch wrote, and what it answered to 32 observations."""
    recorded = load_arrays("tianshou_outputs.npz")
    loaded = weights.read(DATA / "tianshou_policy.pth")
    ppo = PPO(hidden_size=loaded.hidden_size, precision="float32")
    template = param_shapes(ppo)
    networks = with_weights(ppo, weights.from_named_arrays(loaded.weights, template))
    obs = Observation(*(recorded[name] for name in Observation._fields))
    assert len(obs.client_action) == 32
    p = jax.nn.softmax(networks.actor(obs))
    np.testing.assert_allclose(p, recorded["action_probabilities"], atol=1e-5)
    np.testing.assert_allclose(networks.critic(obs), recorded["value"][:, 0], atol=1e-5)
    assert np.std(recorded["action_probabilities"]) > 0.02  # not merely uniform


@pytest.mark.parametrize("name", ["actor", "critic"])
def test_prepared_for_many_calls_it_is_the_same_function(name):
    network = getattr(make_networks(PPO(hidden_size=8), jax.random.key(5)), name)
    obs = observations(13, 4, 7)
    ours = network.prepared()(obs)
    np.testing.assert_allclose(ours, network(obs), rtol=1e-4, atol=1e-5)
    rows = jax.vmap(jax.vmap(network.prepared()))(obs)
    np.testing.assert_allclose(rows, ours, rtol=1e-5, atol=1e-6)


def test_actor_and_critic_read_views_of_their_own(monkeypatch):
    """Each through the encoder that its view names, or both through the one that is asked for."""
    with_view(monkeypatch, bond=BOND_VIEW)
    networks = make_networks(PPO(hidden_size=8, critic_view="bond"), jax.random.key(0))
    assert isinstance(networks.actor.preprocess, TherapyNet)
    assert isinstance(networks.critic.preprocess, FlatEncoder)
    values = networks.critic({"bond": jnp.ones((3, 4)), "share": jnp.ones((3, 4, 2))})
    assert values.shape == (3, 4)
    flat = make_networks(PPO(hidden_size=8, encoder="flat"), jax.random.key(0))
    assert isinstance(flat.actor.preprocess, FlatEncoder)
    assert flat.actor.preprocess.hidden_1.kernel.shape == (52, 8)


def test_one_trunk_needs_one_view(monkeypatch):
    with_view(monkeypatch, bond=BOND_VIEW)
    with pytest.raises(ConfigError, match=r"shared_trunk.*actor_view.*critic_view") as refused:
        make_networks(PPO(shared_trunk=True, critic_view="bond"), jax.random.key(0))
    assert "\n" not in str(refused.value)
