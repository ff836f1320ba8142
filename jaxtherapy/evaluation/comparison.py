"""Several therapists on the same clients."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from jaxtherapy.client.client import ClientParams
from jaxtherapy.client.dyad import Dyad, Therapist
from jaxtherapy.client.simulation import simulate
from jaxtherapy.envs.rewards import reward
from jaxtherapy.ppo.ppo import PPO, EvalResult, eval_result


class Comparison(NamedTuple):
    """Of therapists along a leading axis; client by client in ``rewards``."""

    result: EvalResult
    rewards: Float[Array, "therapists clients"]


def compare(
    ppo: PPO, clients: ClientParams, key: PRNGKeyArray, therapists: Sequence[Therapist]
) -> Comparison:
    """Every therapist on the ``eval_episodes`` clients that belong to ``key``.

    The therapists take turns in one compiled program, which holds the client's dynamics once.
    """

    branches = [
        lambda key, dyad, clients, each=each: jnp.asarray(each(key, dyad, clients), jnp.int8)
        for each in therapists
    ]

    def outcome(which: Int[Array, ""]) -> Comparison:
        def therapist(key: PRNGKeyArray, dyad: Dyad, clients: ClientParams) -> Int[Array, ""]:
            return jax.lax.switch(which, branches, key, dyad, clients)

        ended = simulate(key, clients, therapist, ppo.eval_episodes)
        return Comparison(eval_result(ended, clients), reward(ended, clients))

    return jax.lax.map(outcome, jnp.arange(len(therapists)))
