"""The pure functions work under settings of JAX that a user may have."""

import os
import subprocess
import sys

TRACES = """
import jax
import jax.numpy as jnp
from jaxtherapy.config import TrainingConfig
from jaxtherapy.config.settings import PPO
from jaxtherapy.envs.therapy import TherapyEnv
from jaxtherapy.ppo import evaluation, ppo
from jaxtherapy.ppo.types import make_settings

config = TrainingConfig(
    n_envs=2, n_steps=20, batch_size=20, hidden_size=4, eval_episodes=2, critic_view="omniscient",
    learning_rate={"linear": [1e-3, 0]}, entropy={"uniform": [0.4, 0.6]},
    shaping_rs=1, shaping_bond=1, shaping_distance=1,
)
static, settings = PPO.of(config), make_settings(config)
state = jax.eval_shape(lambda s: ppo.init(static, s, 0), settings)
trained = jax.eval_shape(lambda *x: ppo.train(static, *x, 2), settings, state)
assert jax.tree.map(jnp.shape, trained) == jax.tree.map(jnp.shape, state)
jax.eval_shape(lambda *x: evaluation.evaluate(static, *x), settings, state)

env = TherapyEnv()

def play(key):
    _, dyad = env.reset(key, env.default_params)
    return env.step(key, dyad, 3, env.default_params)

jax.eval_shape(play, jax.random.key(0))
"""


def test_training_evaluation_and_environment_are_traced_under_odd_settings():
    odd = {
        "JAX_ENABLE_X64": "1",
        "JAX_NUMPY_DTYPE_PROMOTION": "strict",
        "JAX_NUMPY_RANK_PROMOTION": "raise",
        "JAX_PLATFORMS": "cpu",
    }
    command = [sys.executable, "-c", TRACES]
    done = subprocess.run(
        command, env=os.environ | odd, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
