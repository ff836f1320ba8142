"""Several therapists on the same clients."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from jaxtherapy.client.params import ClientParams
from jaxtherapy.client.simulation import simulate
from jaxtherapy.client.therapists import Answer, Therapist, as_therapist, taking_turns
from jaxtherapy.config.settings import PPO
from jaxtherapy.envs.outcomes import total_reward
from jaxtherapy.ppo.evaluation import eval_result
from jaxtherapy.ppo.types import EvalResult


class Comparison(NamedTuple):
    """Of therapists along a leading axis; client by client in ``rewards``."""

    result: EvalResult
    rewards: Float[Array, "therapists clients"]


def compare(
    ppo: PPO, clients: ClientParams, key: PRNGKeyArray, therapists: Sequence[Therapist | Answer]
) -> Comparison:
    """Every therapist on the ``eval_episodes`` clients that belong to ``key``.

    The therapists take turns in one compiled program, which holds the client's dynamics once.
    """

    everyone = [as_therapist(each) for each in therapists]

    def outcome(which: Int[Array, ""]) -> Comparison:
        ended = simulate(key, clients, taking_turns(everyone, which), ppo.eval_episodes)
        return Comparison(eval_result(ended, clients), total_reward(ended, clients))

    return jax.lax.map(outcome, jnp.arange(len(everyone)))
