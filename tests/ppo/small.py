"""One small PPO that the tests share, every program of it compiled once, and its networks in NumPy.

Settings are leaves, so one compiled program serves tests that differ in learning rate, clients
and so on; only the shapes in ``SMALL`` are compiled in.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxtherapy.config import TrainingConfig
from jaxtherapy.config.settings import PPO
from jaxtherapy.fast.compiling import on_cpu
from jaxtherapy.ppo import evaluation
from jaxtherapy.ppo import ppo as ppos
from jaxtherapy.ppo.types import make_settings
from jaxtherapy.storage import policies as weights

SMALL = PPO(n_envs=4, n_steps=32, batch_size=32, n_epochs=2, eval_episodes=16, hidden_size=16)

MAX_SESSIONS = 12
"""Few enough that a rollout holds every ending; more than the 10 after which clients drop out."""

SETTINGS = make_settings(TrainingConfig(threshold=0.5, max_sessions=MAX_SESSIONS))

init = jax.jit(ppos.init, static_argnums=0)
collect = jax.jit(ppos.collect, static_argnums=0)
advantages = jax.jit(ppos.advantages, static_argnums=0)
update = jax.jit(ppos.update, static_argnums=0)
# Optimised as in earnest, which tests/conftest.py spares the others.
OPTIMISED = {"xla_backend_optimization_level": 3, "xla_cpu_use_fusion_emitters": True}
train = jax.jit(ppos.train, static_argnums=0, compiler_options=OPTIMISED if on_cpu() else None)
evaluate = jax.jit(evaluation.evaluate, static_argnums=0)


@partial(jax.jit, static_argnums=(0, 3))
def evaluate_therapist(ppo, clients, key, therapist):
    return evaluation.evaluate_therapist(ppo, clients, key, therapist)


def with_hyper(settings, **changes):
    """Settings with other hyperparameters."""
    changes = {name: jnp.float32(value) for name, value in changes.items()}
    return settings.replace(hyperparameters=settings.hyperparameters.replace(**changes))


def with_clients(settings, **changes):
    """Settings with other clients."""
    changes = {
        name: jnp.asarray(value, getattr(settings.clients, name).dtype)
        for name, value in changes.items()
    }
    return settings.replace(clients=settings.clients.replace(**changes))


def numpy(tree):
    """A pytree without keys, as NumPy arrays."""
    return jax.tree.map(np.asarray, tree)


def raw(tree):
    """Leaves as NumPy arrays, random keys as the numbers they consist of."""

    def one(leaf):
        leaf = jnp.asarray(leaf)
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(leaf) if is_key else leaf)

    return [one(leaf) for leaf in jax.tree.leaves(tree)]


def assert_identical(one, other):
    """Bit for bit; NaN equals NaN."""
    for a, b in zip(raw(one), raw(other), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def assert_close(one, other, rtol=1e-4, atol=1e-6):
    """Up to the rounding in which two compilations of one computation differ."""
    for a, b in zip(raw(one), raw(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


def differ(one, other):
    """Whether any leaf differs at all."""
    return any(np.any(a != b) for a, b in zip(raw(one), raw(other), strict=True))


# --- the networks once more, in NumPy and in the words of the file format --------------------


def network_output(named, network, obs):
    """Logits (actor) or values (critic) from weights by PyTorch's names, in float64."""
    w = {name: np.asarray(array, np.float64) for name, array in named.items()}
    trunk = f"{network}.preprocess"
    act = w[f"{trunk}.client_action_embed.weight"][np.asarray(obs.client_action)]
    history = w[f"{trunk}.history_embed.weight"][np.asarray(obs.history)]
    history = history.reshape(*history.shape[:-2], -1)
    x = np.concatenate([act, np.asarray(obs.session_number), history], axis=-1)
    for layer in ("mlp.0", "mlp.2"):
        x = np.maximum(x @ w[f"{trunk}.{layer}.weight"].T + w[f"{trunk}.{layer}.bias"], 0)
    x = x @ w[f"{network}.output_layer.weight"].T + w[f"{network}.output_layer.bias"]
    return x if network == "actor" else x[..., 0]


def log_softmax(logits):
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def logits_of(params, obs):
    return network_output(weights.state_dict(weights.to_named_arrays(params)), "actor", obs)


def values_of(params, obs):
    return network_output(weights.state_dict(weights.to_named_arrays(params)), "critic", obs)


def with_constant_policy(params, logits):
    """Parameters whose policy is ``softmax(logits)`` whatever the therapist sees."""
    named = weights.to_named_arrays(params)
    named["actor.output_layer.weight"] = np.zeros_like(named["actor.output_layer.weight"])
    named["actor.output_layer.bias"] = np.asarray(logits, np.float32)
    return weights.from_named_arrays(named, params)
