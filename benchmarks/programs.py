"""The compiled programs of PPO, as the training command makes them, with nothing around them."""

import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxtherapy.agents import ppo as algorithm
from jaxtherapy.agents.ppo import PPO, Settings, TrainState
from jaxtherapy.config import TrainingConfig, load_config
from jaxtherapy.training.setup import make_ppo, make_settings

CONFIGS = Path(__file__).parents[1] / "configs"
DEFAULT = "default.yaml"
THROUGHPUT = "quickstart.yaml"
STRATEGY = "rl_vs_complementary.yaml"


class Training(NamedTuple):
    """One configuration and number of seeds, compiled."""

    config: TrainingConfig
    ppo: PPO
    settings: Settings
    train: Any
    state: TrainState
    compile_seconds: float
    n_seeds: int

    @property
    def steps_per_update(self) -> int:
        """Of all seeds."""
        return self.n_seeds * self.ppo.steps_per_update

    def advance(self, n_updates: int, state: TrainState) -> TrainState:
        """``n_updates`` further; ``state`` is donated."""
        return self.train(self.settings, state, np.int32(n_updates))


def load(name: str, overrides: dict[str, Any]) -> TrainingConfig:
    """A configuration of the project with a few settings replaced."""
    return load_config(CONFIGS / name, overrides)


def initial_state(ppo: PPO, settings: Settings, n_seeds: int) -> TrainState:
    """Of seeds 42, 43, …"""
    start = jax.jit(jax.vmap(partial(algorithm.init, ppo), in_axes=(None, 0)))
    return start(settings, 42 + jnp.arange(n_seeds, dtype=jnp.int32))


def compile_training(config: TrainingConfig, n_seeds: int = 1) -> Training:
    """Compiles ``ppo.train`` over seeds, donating its state. The clock covers tracing as well."""
    ppo, settings = make_ppo(config), make_settings(config)
    state = initial_state(ppo, settings, n_seeds)
    function = jax.vmap(partial(algorithm.train, ppo), in_axes=(None, 0, None))
    start = time.perf_counter()
    jitted = jax.jit(function, donate_argnums=1)
    compiled = jitted.lower(settings, state, jax.ShapeDtypeStruct((), jnp.int32)).compile()
    return Training(config, ppo, settings, compiled, state, time.perf_counter() - start, n_seeds)


def compile_evaluation(training: Training) -> Any:
    """The evaluation of every seed."""
    function = jax.vmap(partial(algorithm.evaluate, training.ppo), in_axes=(None, 0))
    return jax.jit(function).lower(training.settings, training.state).compile()
