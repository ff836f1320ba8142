"""A therapist without weights that a policy learns from: a baseline, which may know all."""

import jax
from jaxtyping import Array, Int8, PRNGKeyArray

from jaxtherapy.client.baselines import BASELINES
from jaxtherapy.client.dyad import Dyad
from jaxtherapy.client.params import ClientParams
from jaxtherapy.client.therapists import Therapist, as_therapist
from jaxtherapy.config.settings import PPO
from jaxtherapy.errors import ConfigError


def teacher_of(ppo: PPO) -> Therapist | None:
    """By name; None where there is none.

    Raises:
        ConfigError: no baseline has the name, or it has a memory.
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
    if jax.tree.leaves(teacher.begin(ClientParams())):
        raise ConfigError(f"teacher {ppo.teacher} has a memory; name one that has none")
    return teacher


def advice(
    ppo: PPO, key: PRNGKeyArray, dyads: Dyad, clients: ClientParams
) -> Int8[Array, " envs"] | None:
    """What the teacher would do in each dyad; None where there is none."""
    teacher = teacher_of(ppo)
    if teacher is None:
        return None

    def ask(dyad: Dyad) -> Int8[Array, ""]:
        params = clients.numbers_of(dyad)
        _, act = teacher.act(key, teacher.begin(params), teacher.see(dyad, params))
        return act.astype("int8")

    return jax.vmap(ask)(dyads)
