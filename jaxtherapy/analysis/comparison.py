"""Several therapists on the same clients."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from jaxtherapy.agents.ppo import PPO, EvalResult, evaluate_therapist
from jaxtherapy.client.dyad import Dyad, Therapist
from jaxtherapy.client.person import ClientParams


def compare(
    ppo: PPO, clients: ClientParams, key: PRNGKeyArray, therapists: Sequence[Therapist]
) -> EvalResult:
    """Every therapist's outcomes on the evaluation clients of ``key``, with a leading axis.

    The therapists take turns in one compiled program, which holds the client's dynamics once.
    """

    branches = [
        lambda key, dyad, clients, each=each: jnp.asarray(each(key, dyad, clients), jnp.int8)
        for each in therapists
    ]

    def outcome(which: Int[Array, ""]) -> EvalResult:
        def therapist(key: PRNGKeyArray, dyad: Dyad, clients: ClientParams) -> Int[Array, ""]:
            return jax.lax.switch(which, branches, key, dyad, clients)

        return evaluate_therapist(ppo, clients, key, therapist)

    return jax.lax.map(outcome, jnp.arange(len(therapists)))
