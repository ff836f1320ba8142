"""The therapist as it is now, on clients that are always the same."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Int, PRNGKeyArray, PyTree

from jaxtherapy.client.dyad import Dyad, sessions_to_success
from jaxtherapy.client.expectations import choose_act
from jaxtherapy.client.params import ClientParams
from jaxtherapy.client.simulation import simulate
from jaxtherapy.client.therapists import Answer, Therapist
from jaxtherapy.config.settings import PPO
from jaxtherapy.envs.observations import VIEWS
from jaxtherapy.envs.outcomes import total_reward
from jaxtherapy.fast.promotion import ordinary
from jaxtherapy.fast.random_bits import uniforms
from jaxtherapy.networks.actor_critic import with_weights
from jaxtherapy.ppo.running_statistics import statistics_of
from jaxtherapy.ppo.schedules import settings_at
from jaxtherapy.ppo.types import EvalResult, Settings, TrainState


def policy_therapist(ppo: PPO, params: PyTree) -> Therapist:
    """The trained therapist: samples its acts, or takes the most likely one."""
    actor = with_weights(ppo, params).actor.prepared()

    def act(key: PRNGKeyArray, memory: Any, view: PyTree) -> tuple[Any, Int[Array, ""]]:
        logits = actor(view)
        if ppo.eval_deterministic:
            return memory, jnp.argmax(logits)
        return memory, choose_act(uniforms(key, 1)[0], logits)

    view = VIEWS[ppo.actor_view]
    return Therapist(act, see=view.observe, counts=view.counts)


@ordinary
def evaluate_therapist(
    ppo: PPO, clients: ClientParams, key: PRNGKeyArray, therapist: Therapist | Answer
) -> EvalResult:
    """Any therapist on the ``eval_episodes`` clients that belong to ``key``."""
    return eval_result(simulate(key, clients, therapist, ppo.eval_episodes), clients)


@ordinary
def eval_result(ended: Dyad, clients: ClientParams) -> EvalResult:
    """Of therapies that have ended, along a leading axis."""
    rewards = total_reward(ended, clients)
    length = ended.time.astype(jnp.float32)
    to_success = sessions_to_success(ended).astype(jnp.float32)
    return EvalResult(
        reward_mean=jnp.mean(rewards),
        reward_std=jnp.std(rewards),
        length_mean=jnp.mean(length),
        success_rate=jnp.mean(ended.success),
        dropout_rate=jnp.mean(ended.dropped_out),
        sessions_to_success=statistics_of(to_success, ended.success).mean,
    )


@ordinary
def evaluate(ppo: PPO, settings: Settings, state: TrainState) -> EvalResult:
    """The therapist as it is now, on the evaluation clients of its seed."""
    clients = settings_at(ppo, settings, state.n_updates).evaluated
    therapist = policy_therapist(ppo, state.params)
    return evaluate_therapist(ppo, clients, state.eval_key, therapist)


def evaluation_key(seed: Int[ArrayLike, ""]) -> PRNGKeyArray:
    """The key of a seed's evaluation clients."""
    return jax.random.split(jax.random.key(seed), 4)[3]
