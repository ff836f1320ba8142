"""A therapist without weights that a policy learns from: a baseline, which may know all."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Int8, PRNGKeyArray

from jaxtherapy.client.baselines import BASELINES
from jaxtherapy.client.dyad import Dyad
from jaxtherapy.client.params import ClientParams
from jaxtherapy.client.therapists import Therapist, as_therapist
from jaxtherapy.config.settings import PPO
from jaxtherapy.errors import ConfigError

_TEACHERS = 0x5445
"""Sets what a teacher draws apart from what policy and client draw in the same session."""


def teacher_of(ppo: PPO) -> Therapist | None:
    """By name; None where there is none.

    Raises:
        ConfigError: no baseline has the name, or it remembers or counts something.
    """
    if ppo.teacher is None:
        return None
    try:
        teacher = as_therapist(BASELINES[ppo.teacher])
    except KeyError:
        names = ", ".join(BASELINES)
        raise ConfigError(
            f"teacher {ppo.teacher!r} is no baseline; name one of {names}, or fixed_map: with the "
            "answers to D, WD, W, WS, S, CS, C, CD"
        ) from None
    if teacher.counts or jax.tree.leaves(teacher.begin(ClientParams())):
        raise ConfigError(
            f"teacher {ppo.teacher} has a memory or counts exchanges; name one that does neither"
        )
    return teacher


def advice(
    ppo: PPO, key: PRNGKeyArray, dyads: Dyad, clients: ClientParams
) -> Int8[Array, " envs"] | None:
    """What the teacher would do in each dyad; None where there is none."""
    teacher = teacher_of(ppo)
    if teacher is None:
        return None

    def ask(number: Int[Array, ""], dyad: Dyad) -> Int8[Array, ""]:
        params, own = clients.numbers_of(dyad), jax.random.fold_in(stream, number)
        _, act = teacher.act(own, teacher.begin(params), teacher.see(dyad, params))
        return jnp.asarray(act, jnp.int8)

    stream = jax.random.fold_in(key, _TEACHERS)
    return jax.vmap(ask)(jnp.arange(ppo.n_envs), dyads)
