"""The networks: their input, their size, and that they compute what PyTorch computes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxtherapy.client.dyad import Observation
from jaxtherapy.config.settings import PPO
from jaxtherapy.fast.first_layer import LARGE_BATCH
from jaxtherapy.networks import (
    N_FEATURES,
    Actor,
    Critic,
    TherapyNet,
    look_up,
    make_therapy_networks,
    product,
)
from jaxtherapy.networks.actor_critic import make_networks, param_shapes, with_weights
from jaxtherapy.storage import policies as weights
from tests.conftest import DATA, load_arrays
from tests.observations import observations
from tests.ppo.small import network_output

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


def test_the_past_starts_quieter_than_the_act_to_answer(tiny):
    """Fifty places of history must not drown the one act on the table."""
    for trunk in (tiny.actor.preprocess, tiny.critic.preprocess):
        assert 0.75 < np.std(trunk.client_action_embed.embedding[...]) < 1.25
        assert 0.18 < np.std(trunk.history_embed.embedding[...]) < 0.32


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
    named = weights.to_named_arrays(params)
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


@pytest.mark.parametrize("leading", [(), (5,), (2, 3), (0,)], ids=str)
@pytest.mark.parametrize("n_out", [1, 8, 12, 40], ids=lambda n: f"12 to {n}")
def test_products_and_their_gradients(leading, n_out):
    """The product is the plain one, its gradients are those of the plain one."""
    rng = np.random.default_rng(0)
    rows, kernel, target = (
        jnp.asarray(rng.normal(size=shape), jnp.float32)
        for shape in ((*leading, 12), (12, n_out), (*leading, n_out))
    )

    def loss(multiply, rows, kernel):
        return jnp.sum(target * multiply(rows, kernel) ** 2)

    found = jax.value_and_grad(loss, argnums=(1, 2))(product, rows, kernel)
    expected = jax.value_and_grad(loss, argnums=(1, 2))(jnp.matmul, rows, kernel)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, 1e-4, 1e-4), found, expected)


def test_products_of_many_networks():
    """Under ``vmap`` each network meets its own rows."""
    rng = np.random.default_rng(1)
    rows, kernels = (jnp.asarray(rng.normal(size=s), jnp.float32) for s in ((3, 5, 12), (3, 12, 7)))
    one = jax.grad(lambda rows, kernel: jnp.sum(product(rows, kernel) ** 2), argnums=(0, 1))
    many = jax.vmap(one)(rows, kernels)
    for i in range(3):
        alone = one(rows[i], kernels[i])
        jax.tree.map(lambda x, y, i=i: np.testing.assert_allclose(x[i], y, 1e-4, 1e-4), many, alone)


ON_A_CPU = pytest.mark.skipif(jax.default_backend() != "cpu", reason="of CPUs")


@ON_A_CPU
def test_rounded_products_are_exact_products_of_rounded_operands():
    """bfloat16 numbers multiply to float32 ones exactly, and sums are float32: on every processor
    the same but for the order of sums."""
    rng = np.random.default_rng(2)
    rows, kernel, target = (
        jnp.asarray(rng.normal(size=shape), jnp.float32)
        for shape in ((64, 256), (256, 256), (64, 256))
    )

    def rounded(x):
        return np.asarray(x.astype(jnp.bfloat16), float)

    out, pull_back = jax.vjp(lambda rows, kernel: product(rows, kernel, True), rows, kernel)
    of_rows, of_kernel = pull_back(target)
    np.testing.assert_allclose(out, rounded(rows) @ rounded(kernel), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(of_rows, rounded(target) @ rounded(kernel).T, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(of_kernel, np.asarray(rows, float).T @ target, rtol=1e-5, atol=1e-4)


@ON_A_CPU
@pytest.mark.parametrize("n_out", [8, 256])
def test_the_compiler_leaves_operands_transposed_beforehand(n_out):
    """The layer's gradient has no product that sums over rows of its left operand: those are the
    slow ones."""
    layer = make_networks(PPO(hidden_size=n_out), jax.random.key(0)).actor.preprocess.hidden_2
    kernel, rows = layer.kernel[...], jnp.ones((64, n_out))
    dims = (((1,), (0,)), ((), ()))

    def text(multiply):
        gradient = jax.grad(lambda kernel, rows, of: jnp.sum(of * multiply(rows, kernel)))
        return jax.jit(gradient).lower(kernel, rows, rows).compile().as_text()

    slow = "lhs_contracting_dims={0}"
    assert slow in text(jnp.matmul)
    assert slow not in text(lambda rows, kernel: layer.dot_general(rows, kernel, dims))


@ON_A_CPU
def test_on_a_cpu_only_the_second_layer_is_rounded():
    exact, rounded = (
        make_networks(PPO(hidden_size=8, precision=precision), jax.random.key(4))
        for precision in ("float32", "bfloat16")
    )
    rng = np.random.default_rng(0)
    features, hidden = (jnp.asarray(rng.normal(size=(32, n)), jnp.float32) for n in (N_FEATURES, 8))
    for name in ("actor", "critic"):
        one, two = getattr(exact, name), getattr(rounded, name)
        first = [net.preprocess.hidden_1(features) for net in (one, two)]
        np.testing.assert_array_equal(*first)
        heads = [net.output_layer(hidden) for net in (one, two)]
        np.testing.assert_array_equal(*heads)
        second = [np.asarray(net.preprocess.hidden_2(hidden)) for net in (one, two)]
        assert 0 < np.max(np.abs(second[0] - second[1])) < 0.05 * np.std(second[0])


@pytest.mark.parametrize("n", [3, LARGE_BATCH])
@pytest.mark.parametrize("shared_trunk", [False, True])
@pytest.mark.parametrize("precision", ["auto", "float32", "bfloat16"])
def test_a_gpus_way_is_the_same_function(n, shared_trunk, precision, monkeypatch):
    """What is computed where selecting rows doesn't pay, computed on whatever is there."""
    ppo = PPO(hidden_size=8, shared_trunk=shared_trunk, precision=precision)
    exact = PPO(hidden_size=8, shared_trunk=shared_trunk, precision="float32")
    obs = observations(11, n)

    def outputs_and_gradient(ppo):
        graph, params = nnx.split(make_networks(ppo, jax.random.key(3)))

        def loss(params):
            networks = nnx.merge(graph, params)
            logits, values = networks(obs)
            alone = networks.actor.prepared()(obs), networks.critic.prepared()(obs)
            return jnp.sum(100 * logits**2) + jnp.sum(values**2), ((logits, values), alone)

        gradient, outputs = jax.grad(loss, has_aux=True)(params)
        return [*jax.tree.leaves(outputs), *jax.tree.leaves(gradient)]

    expected = outputs_and_gradient(exact)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    found = outputs_and_gradient(ppo)
    share = 0.1 if precision == "bfloat16" else 1e-2 if precision == "auto" else 1e-4
    for one, two in zip(found, expected, strict=True):
        assert one.dtype == jnp.float32
        np.testing.assert_allclose(one, two, rtol=0, atol=share * np.max(np.abs(two)) + 1e-7)


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


@pytest.mark.parametrize("shared_trunk", [False, True])
@pytest.mark.parametrize("n", [3, LARGE_BATCH])
def test_together_is_apart(n, shared_trunk):
    """Small and large batches: the same outputs and gradients as of actor and critic alone."""
    ppo = PPO(hidden_size=8, shared_trunk=shared_trunk, precision="float32")
    networks = make_networks(ppo, jax.random.key(3))
    obs = observations(3, n)
    params = nnx.state(networks, nnx.Param)

    def together(params):
        return with_weights(ppo, params)(obs)

    def apart(params):
        both = with_weights(ppo, params)
        return both.actor(obs), both.critic(obs)

    def total(outputs):
        return sum(jnp.sum(jnp.sin(x)) for x in outputs)

    for one, other in zip(together(params), apart(params), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    gradients = [jax.grad(lambda p, f=f: total(f(p)))(params) for f in (together, apart)]
    for one, other in zip(*map(jax.tree.leaves, gradients), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_the_gradient_of_a_look_up_is_that_of_indexing():
    rng = np.random.default_rng(0)
    table = jnp.asarray(rng.normal(size=(9, 8)), jnp.float32)
    index, weight = rng.integers(0, 9, (4, 5)), rng.normal(size=(4, 5, 8))
    ours = jax.grad(lambda t: jnp.sum(weight * look_up(t, index)))(table)
    plain = jax.grad(lambda t: jnp.sum(weight * t[index]))(table)
    np.testing.assert_allclose(ours, plain, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["actor", "critic"])
def test_prepared_for_many_calls_it_is_the_same_function(name):
    network = getattr(make_networks(PPO(hidden_size=8), jax.random.key(5)), name)
    obs = observations(13, 4, 7)
    ours = network.prepared()(obs)
    np.testing.assert_allclose(ours, network(obs), rtol=1e-4, atol=1e-5)
    rows = jax.vmap(jax.vmap(network.prepared()))(obs)
    np.testing.assert_allclose(rows, ours, rtol=1e-5, atol=1e-6)
