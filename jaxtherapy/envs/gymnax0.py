"""What trainers written for gymnax 0.x expect."""

from typing import Any

import jax.numpy as jnp
from gymnax.environments import spaces
from jaxtyping import Array, Bool, Float, Float32, Int, PRNGKeyArray

from jaxtherapy.client.dyad import Dyad
from jaxtherapy.client.params import ClientParams
from jaxtherapy.envs.flat import N_FLAT, flatten
from jaxtherapy.envs.therapy import TherapyEnv


class Gymnax0Wrapper:
    """Observations of 409 numbers, and steps that return five values: the end is one flag.

    A trainer that bootstraps where a therapy was merely cut off finds ``truncated`` and
    ``final_observation`` in ``info``.
    """

    def __init__(self, env: TherapyEnv) -> None:
        self._env = env

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # while it is copied
            raise AttributeError(name)
        return getattr(self._env, name)

    def reset(
        self, key: PRNGKeyArray, params: ClientParams | None = None
    ) -> tuple[Float32[Array, "409"], Dyad]:
        """A new client, who acts first."""
        seen, state = self._env.reset(key, params)
        return flatten(seen), state

    def step(
        self,
        key: PRNGKeyArray,
        state: Dyad,
        action: Int[Array, ""],
        params: ClientParams | None = None,
    ) -> tuple[Float32[Array, "409"], Dyad, Float[Array, ""], Bool[Array, ""], dict[str, Any]]:
        """One session; after the last one the observation and the state are a new client's."""
        seen, state, reward, terminated, truncated, info = self._env.step(
            key, state, action, params
        )
        info["final_observation"] = flatten(info["final_observation"])
        return flatten(seen), state, reward, jnp.logical_or(terminated, truncated), info

    def observation_space(self, params: ClientParams | None = None) -> spaces.Box:
        """All within [0, 1]."""
        return spaces.Box(0.0, 1.0, (N_FLAT,), jnp.float32)
