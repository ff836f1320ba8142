"""The compiled programs of PPO, as the training command makes them, with nothing around them."""

import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from jaxtherapy.config import TrainingConfig, load_config
from jaxtherapy.config.settings import PPO
from jaxtherapy.devices import layout as devices
from jaxtherapy.devices import programs
from jaxtherapy.ppo import ppo as algorithm
from jaxtherapy.ppo.evaluation import evaluate
from jaxtherapy.ppo.types import Settings, TrainState, make_settings

CONFIGS = Path(__file__).parents[1] / "configs"
DEFAULT = "default.yaml"
THROUGHPUT = "first_steps.yaml"
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
    """Of seeds 42, 43, …, where the training command has them."""
    state = programs.initial_state(ppo, settings, tuple(range(42, 42 + n_seeds)))
    mesh = devices.make_mesh(n_seeds, ppo)
    return jax.device_put(state, devices.state_sharding(mesh, state))


def compile_training(config: TrainingConfig, n_seeds: int = 1) -> Training:
    """Compiles ``ppo.train`` over seeds, donating its state. The clock covers tracing as well."""
    ppo = PPO.of(config)
    settings = programs.stacked([make_settings(config)] * n_seeds)
    state = initial_state(ppo, make_settings(config), n_seeds)
    mesh = devices.make_mesh(n_seeds, ppo)
    function = devices.over_runs(partial(algorithm.train, ppo), mesh, (0, 0, None))
    by_run, everywhere = NamedSharding(mesh, P(devices.RUNS)), NamedSharding(mesh, P())
    sharding = devices.state_sharding(mesh, state)
    settings = jax.device_put(settings, by_run)
    start = time.perf_counter()
    jitted = jax.jit(
        function,
        in_shardings=(by_run, sharding, everywhere),
        out_shardings=sharding,
        donate_argnums=1,
    )
    compiled = jitted.lower(settings, state, jax.ShapeDtypeStruct((), jnp.int32)).compile()
    return Training(config, ppo, settings, compiled, state, time.perf_counter() - start, n_seeds)


def compile_phase(function: Any, ppo: PPO, *arguments: Any) -> Any:
    """A part of PPO over runs, compiled as in training."""
    mesh = devices.make_mesh(jax.tree.leaves(arguments[1])[0].shape[0], ppo)
    batched = devices.over_runs(partial(function, ppo), mesh, (0,) * len(arguments))
    return jax.jit(batched).lower(*arguments).compile()


def compile_evaluation(training: Training) -> Any:
    """The evaluation of every seed."""
    return compile_phase(evaluate, training.ppo, training.settings, training.state)
