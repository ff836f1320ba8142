"""Settings that change while training, as pure functions of the updates so far."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from jaxtherapy.config.schedules import Schedule
from jaxtherapy.config.settings import PPO
from jaxtherapy.ppo.types import Settings

jax.tree_util.register_dataclass(Schedule, ["start", "end", "over"], ["kind"])


def settings_at(ppo: PPO, settings: Settings, n_updates: Int[Array, ""]) -> Settings:
    """The settings in force after so many updates: every schedule replaced by its value.

    Constants stay as they are and cost nothing. A function of the state alone, so neither chunks
    nor interruptions change a number.
    """

    def is_schedule(x: object) -> bool:
        return isinstance(x, Schedule)

    def now(x: Any) -> Any:
        steps = n_updates.astype(jnp.float32) * ppo.steps_per_update if is_schedule(x) else None
        return x if steps is None else x.at(steps, jnp)

    return jax.tree.map(now, settings, is_leaf=is_schedule)
