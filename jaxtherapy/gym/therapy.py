"""One client at a time."""

import os
from typing import Any

import gymnasium
import jax
import numpy as np
from gymnasium import spaces

from jaxtherapy.client.client import share_of_range
from jaxtherapy.client.octants import N_OCTANTS
from jaxtherapy.client.params import clients_of
from jaxtherapy.config import TrainingConfig
from jaxtherapy.gym import programs
from jaxtherapy.gym.observations import observation_space, shown
from jaxtherapy.reporting.circumplex import Scene, as_picture, as_text


class Therapy(gymnasium.Env[Any, np.int64]):
    """One step is one session: the pending client act, answered by the therapist.

    Args:
        config: whose clients come: a training's configuration or its file. Default clients without.
        flat: 409 numbers as the observation instead of a dict.
        render_mode: ``"ansi"`` or ``"rgb_array"``: the circumplex with the client's pending act and
            the therapist's last one, RS and bond.
        **settings: of clients, over the configuration: ``threshold=0.6``.

    After ``reset(seed=s)``, what follows is decided by ``s`` and the acts, in all therapies until
    the next seed. ``info`` has what the therapist does not see; acts that were not done yet are 8.
    """

    metadata = {"render_modes": ["ansi", "rgb_array"], "render_fps": 4}  # noqa: RUF012

    def __init__(
        self,
        config: TrainingConfig | str | os.PathLike[str] | None = None,
        *,
        flat: bool = False,
        render_mode: str | None = None,
        **settings: Any,
    ) -> None:
        self.render_mode, self._flat = render_mode, flat
        self._params = jax.device_put(clients_of(config, **settings))
        self.action_space = spaces.Discrete(N_OCTANTS)
        self.observation_space = observation_space(flat)
        self._clients: programs.Clients | None = None
        self._info: dict[str, Any] = {}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """A new client, who acts first."""
        super().reset(seed=seed)
        if seed is not None or self._clients is None:
            first = self.np_random_seed % 2**32
            start: Any = np.array([first], np.uint32), np.array([-1], np.int32)
        else:
            start = self._clients.seeds, self._clients.number
        self._clients, opened = programs.open_therapies(*start, self._params)
        self._opened = jax.device_get(opened)
        return self._told(self._opened)

    def step(self, action: np.int64) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One session."""
        if self._clients is None:
            raise gymnasium.error.ResetNeeded("call reset() before step()")
        acts = programs.checked_acts(action, ())
        self._clients, packed = programs.hold_sessions(self._clients, acts, self._params)
        told = programs.unpacked(np.asarray(packed), self._opened)
        seen, known = self._told(told)
        ends = bool(told.terminated[0]), bool(told.truncated[0])
        return seen, float(told.reward[0]), *ends, known

    def render(self) -> str | np.ndarray | None:  # type: ignore[override]
        """The circumplex, as text or as an RGB picture."""
        if self.render_mode is None or self._clients is None:
            return None
        dyad = jax.tree.map(lambda leaf: leaf[0], self._clients.dyads)
        numbers, shares = self._params.numbers_of(dyad), share_of_range(dyad.client, dyad.client.rs)
        scene = Scene(
            client_act=int(dyad.client_act),
            therapist_act=self._info["therapist_action"],
            heard_act=self._info["heard_action"],
            session=self._info["session"],
            max_sessions=int(numbers.max_sessions),
            rs=float(shares),
            threshold=float(numbers.threshold),
            bond=self._info["bond"],
        )
        return as_text(scene) if self.render_mode == "ansi" else as_picture(scene)

    def _told(self, told: programs.Opened | programs.Told) -> tuple[Any, dict[str, Any]]:
        self._info = {name: values.item() for name, values in told.info.items()}
        seen = jax.tree.map(lambda leaf: leaf[0], told.observation)
        return shown(seen, self._flat), dict(self._info)
