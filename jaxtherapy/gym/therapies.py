"""Many clients side by side, in one program."""

import os
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from jaxtherapy.client.octants import N_OCTANTS
from jaxtherapy.client.params import clients_of
from jaxtherapy.config import TrainingConfig
from jaxtherapy.gym import programs
from jaxtherapy.gym.observations import observation_space, shown


class Therapies(VectorEnv[Any, Any, np.ndarray]):
    """``num_envs`` clients, each in a therapy of its own; thousands cost little more than one.

    A therapy that ends is followed by a new client within the same step: the observation and
    ``info`` are the new client's; where ``info["_final_obs"]`` is true, ``info["final_obs"]`` and
    ``info["final_info"]`` are those of the end. Terminations and truncations tell which end it was.

    ``reset(seed=s)`` gives the clients the seeds ``s``, ``s + 1``, …: each client goes through the
    therapies that ``gymnasium.make`` goes through with its seed. A sequence names them one by one.

    Args:
        num_envs: how many.
        config, flat, **settings: as in :class:`~jaxtherapy.gym.therapy.Therapy`.
    """

    metadata = {  # noqa: RUF012
        "render_modes": [],
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    def __init__(
        self,
        num_envs: int = 1,
        config: TrainingConfig | str | os.PathLike[str] | None = None,
        *,
        flat: bool = False,
        render_mode: None = None,
        **settings: Any,
    ) -> None:
        if num_envs < 1:
            raise ValueError(f"num_envs is {num_envs}, must be at least 1")
        if render_mode is not None:
            raise ValueError("many clients are not drawn; gymnasium.make draws one")
        self.num_envs, self._flat = num_envs, flat
        self._params = jax.device_put(clients_of(config, **settings))
        self.single_action_space = spaces.Discrete(N_OCTANTS)
        self.single_observation_space = observation_space(flat)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self._clients: programs.Clients | None = None

    def reset(
        self,
        *,
        seed: int | Sequence[int] | None = None,  # type: ignore[override]
        options: dict[str, Any] | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """New clients, who act first."""
        if seed is not None or self._clients is None:
            start: Any = self._seeds(seed), np.full(self.num_envs, -1, np.int32)
        else:
            start = self._clients.seeds, self._clients.number
        self._clients, opened = programs.open_therapies(*start, self._params)
        self._opened = jax.tree.map(np.array, opened)
        return shown(self._opened.observation, self._flat), dict(self._opened.info)

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One session with every client."""
        if self._clients is None:
            raise RuntimeError("call reset() before step()")
        acts = programs.checked_acts(actions, (self.num_envs,))
        self._clients, packed = programs.hold_sessions(self._clients, acts, self._params)
        told = programs.unpacked(np.asarray(packed), self._opened)
        over, final = told.terminated | told.truncated, {}
        if over.any():
            final = self._final(over, told)
            self._clients, opened = programs.replace_ended(self._clients, over, self._params)
            now = jax.tree.map(np.asarray, opened)
            for old, new in zip(*map(jax.tree.leaves, (told[0::4], now)), strict=True):
                old[over] = new[over]
        seen = shown(told.observation, self._flat)
        return seen, told.reward, told.terminated, told.truncated, told.info | final

    def _seeds(self, seed: int | Sequence[int] | None) -> np.ndarray:
        if seed is None or isinstance(seed, int | np.integer):
            super().reset(seed=None if seed is None else int(seed))
            first = self.np_random_seed
            assert first is not None
            return np.array([(first + i) % 2**32 for i in range(self.num_envs)], np.uint32)
        if len(seed) != self.num_envs:
            raise ValueError(f"{len(seed)} seeds for {self.num_envs} clients; give as many")
        if any(not isinstance(each, int | np.integer) or each < 0 for each in seed):
            raise ValueError(f"seed is {seed!r}, must be whole numbers from 0 on")
        return np.array([int(each) % 2**32 for each in seed], np.uint32)

    def _final(self, over: np.ndarray, told: programs.Told) -> dict[str, Any]:
        """Of ended therapies, in the shape of Gymnasium's own vector environments."""
        last = np.full(self.num_envs, None, object)
        for i in np.flatnonzero(over):
            last[i] = shown(jax.tree.map(lambda leaf, i=i: leaf[i], told.observation), self._flat)
        known = {name: np.where(over, values, 0) for name, values in told.info.items()}
        known = {name: each.astype(told.info[name].dtype) for name, each in known.items()}
        known |= {f"_{name}": over for name in told.info}
        return {
            "final_obs": last,
            "_final_obs": over,
            "final_info": known,
            "_final_info": over,
        }
