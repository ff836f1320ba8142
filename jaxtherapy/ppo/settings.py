"""From a configuration to what the pure core takes."""

from collections.abc import Callable
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxtherapy.client.client import ClientParams
from jaxtherapy.client.patterns import pattern_weights
from jaxtherapy.client.utilities import NAMED_MATRICES, U_MAX, U_MIN
from jaxtherapy.config import TrainingConfig
from jaxtherapy.ppo.ppo import PPO, Hyperparameters, Settings, TrainState, init


def make_ppo(config: TrainingConfig) -> PPO:
    """Shapes and structure of the program."""
    return PPO(
        n_envs=config.n_envs,
        n_steps=config.rollout_length,
        batch_size=config.batch_size,
        n_epochs=config.n_epochs,
        eval_episodes=config.eval_episodes,
        eval_deterministic=config.eval_deterministic,
        hidden_size=config.hidden_size,
        shared_trunk=config.shared_trunk,
        precision=config.precision,  # type: ignore[arg-type]  # the configuration checked it
    )


def make_clients(config: TrainingConfig) -> ClientParams:
    """The clients of this configuration, every number a float32 (or integer) array."""
    if config.utility_matrix == "random":
        u_min, u_max = U_MIN, U_MAX
    elif isinstance(config.utility_matrix, str):
        u_min = u_max = NAMED_MATRICES[config.utility_matrix]
    else:
        u_min = u_max = np.array(config.utility_matrix)
    number = jnp.float32
    return ClientParams(
        mechanism=config.mechanism,
        pattern_weights=jnp.asarray(pattern_weights(config.patterns), number),
        exact_anticomplement=jnp.bool_(config.anticomplement == "exact"),
        u_min=jnp.asarray(u_min, number),
        u_max=jnp.asarray(u_max, number),
        threshold=number(config.threshold),
        max_sessions=jnp.int32(config.max_sessions),
        entropy=number(config.entropy),
        bond_alpha=number(5.0 if config.bond_alpha is None else config.bond_alpha),
        bond_offset=number(config.bond_offset),
        history_weight=number(config.history_weight),
        bond_power=number(config.bond_power),
        smoothing=number(config.smoothing),
        recency_ratio=number(config.recency_ratio),
        enable_parataxic=jnp.bool_(config.enable_parataxic),
        baseline_accuracy=number(config.baseline_accuracy),
    )


def make_settings(config: TrainingConfig) -> Settings:
    """Clients and hyperparameters, every number a leaf."""
    number = jnp.float32
    return Settings(
        clients=make_clients(config),
        hyperparameters=Hyperparameters(
            learning_rate=number(config.learning_rate),
            gamma=number(config.gamma),
            gae_lambda=number(config.gae_lambda),
            clip_range=number(config.clip_range),
            ent_coef=number(config.ent_coef),
            vf_coef=number(config.vf_coef),
            max_grad_norm=number(np.inf if config.max_grad_norm is None else config.max_grad_norm),
        ),
    )


def state_shapes(ppo: PPO, settings: Settings) -> TrainState:
    """Shapes and dtypes of the state of one seed; nothing is computed."""
    return jax.eval_shape(_init(ppo), settings, jnp.int32(0))


@cache
def _init(ppo: PPO) -> Callable[..., TrainState]:
    """The same function for the same program, so that JAX traces it once."""
    return partial(init, ppo)
