"""A therapist without weights that a policy learns from: a baseline or the planner.

It may know all. What it remembers begins anew with each rollout: it is no part of the state.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Int8, PRNGKeyArray, PyTree

from jaxtherapy.client.baselines import BASELINES, no_baseline
from jaxtherapy.client.dyad import Dyad
from jaxtherapy.client.params import ClientParams
from jaxtherapy.client.therapists import Therapist, as_therapist
from jaxtherapy.config.settings import PPO
from jaxtherapy.envs.planner import Planner
from jaxtherapy.errors import ConfigError

PLANNER = "planner"
_PLANNER = Planner(interval=22)
"""Who plans half as often as by default costs half and reaches nearly as much (docs/results.md)."""

_TEACHERS = 0x5445
"""Sets what a teacher draws apart from what policy and client draw in the same session."""


def teacher_of(ppo: PPO) -> Therapist | None:
    """By name; None where there is none.
    Raises ConfigError: no baseline has the name, or it counts exchanges."""
    if ppo.teacher is None:
        return None
    if ppo.teacher == PLANNER:
        return _PLANNER.therapist()
    try:
        teacher = as_therapist(BASELINES[ppo.teacher])
    except KeyError:
        raise ConfigError(f"teacher {no_baseline(ppo.teacher, PLANNER)}") from None
    if teacher.counts:
        raise ConfigError(f"teacher {ppo.teacher} counts exchanges; name one that does not")
    return teacher


def begin(ppo: PPO, clients: ClientParams) -> PyTree:
    """What the teacher remembers of each client before a rollout: nothing yet."""
    teacher = teacher_of(ppo)
    memory = () if teacher is None else teacher.begin(clients)
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (ppo.n_envs, *jnp.shape(x))), memory)


def advice(
    ppo: PPO, key: PRNGKeyArray, dyads: Dyad, clients: ClientParams, memory: PyTree
) -> tuple[PyTree, Int8[Array, " envs"] | None]:
    """What the teacher would do in each dyad, and what it remembers then; None where there is no
    teacher. It begins anew with each client."""
    teacher = teacher_of(ppo)
    if teacher is None:
        return memory, None

    def ask(number: Int[Array, ""], dyad: Dyad, memory: PyTree) -> tuple[PyTree, Int8[Array, ""]]:
        params, own = clients.numbers_of(dyad), jax.random.fold_in(stream, number)
        first = partial(jnp.where, dyad.time == 0)
        memory = jax.tree.map(first, teacher.begin(params), memory)
        memory, act = teacher.act(own, memory, teacher.see(dyad, params))
        return memory, jnp.asarray(act, jnp.int8)

    stream = jax.random.fold_in(key, _TEACHERS)
    return jax.vmap(ask)(jnp.arange(ppo.n_envs), dyads, memory)
