"""A complete training's settings, checked."""

import dataclasses
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from jaxtherapy.config.checks import checked, expanded
from jaxtherapy.config.distributions import Distribution
from jaxtherapy.config.flags import flag
from jaxtherapy.config.schedules import Schedule
from jaxtherapy.config.settings import PATTERNS, SETTINGS, AllSettings
from jaxtherapy.config.yaml_files import IGNORED, known_keys, read_config_file
from jaxtherapy.errors import ConfigError


@dataclass(frozen=True)
class TrainingConfig(AllSettings):
    """A complete training. Every field is a YAML key and, in kebab-case, a flag.

    Raises:
        ConfigError: a value, or values together, that can't be used.
    """

    def __post_init__(self) -> None:
        for name in SETTINGS:
            object.__setattr__(self, name, checked(name, getattr(self, name)))
        for name, schedule in self.schedules.items():
            if schedule.over is None:  # recorded, so that a longer run keeps the horizon
                timed = dataclasses.replace(schedule, over=self.total_timesteps)
                object.__setattr__(self, name, timed)
        if not self.patterns:
            raise ConfigError("patterns is empty; name at least one of " + ", ".join(PATTERNS))
        self._check_sizes()
        self._check_hosts()
        self._check_views()
        self.for_evaluation()

    def _check_views(self) -> None:
        if self.shared_trunk and self.actor_view != self.critic_view:
            raise ConfigError(
                f"shared_trunk needs one view, but actor_view is {self.actor_view} and critic_view "
                f"{self.critic_view}; make them equal, or leave shared_trunk out"
            )

    def _check_sizes(self) -> None:
        if self.seed + self.n_seeds > 2**31:
            raise ConfigError(
                f"seed + n_seeds may be at most {2**31}, got {self.seed} + {self.n_seeds}"
            )
        if self.n_envs * self.rollout_length > 2**30:
            raise ConfigError(
                f"n_envs × n_steps is {self.n_envs * self.rollout_length}; "
                f"at most {2**30} transitions fit a rollout"
            )
        if self.n_updates >= 2**31:
            raise ConfigError(
                f"total_timesteps needs {self.n_updates} updates, at most {2**31 - 1}; "
                "raise n_envs or n_steps"
            )

    def _check_hosts(self) -> None:
        if self.coordinator is None and not self.distributed:
            for name, value in (("n_hosts", self.n_hosts), ("host_index", self.host_index)):
                if value is not None:
                    raise ConfigError(
                        f"{flag(name)} is given without {flag('coordinator')}; add "
                        f"{flag('coordinator')} HOST:PORT, the address of the first host"
                    )
        if self.coordinator is not None and not re.fullmatch(r".+:[0-9]+", self.coordinator):
            raise ConfigError(f"coordinator is {self.coordinator!r}, it must be HOST:PORT")
        if self.host_index is not None and self.host_index >= (self.n_hosts or 2**31):
            raise ConfigError(
                f"host_index is {self.host_index}, it must be below n_hosts, {self.n_hosts}"
            )

    @property
    def schedules(self) -> dict[str, Schedule]:
        """The settings that change while training, by name."""
        values = {name: getattr(self, name) for name in SETTINGS}
        return {name: each for name, each in values.items() if isinstance(each, Schedule)}

    @property
    def drawn(self) -> tuple[str, ...]:
        """Names of the numbers that each client draws for itself."""
        return tuple(name for name in SETTINGS if isinstance(getattr(self, name), Distribution))

    def for_evaluation(self) -> Self:
        """The same with the clients of evaluations."""
        if self.evaluation is None:
            return self
        return dataclasses.replace(self, evaluation=None, **self.evaluation)

    def at(self, step: int) -> Self:
        """The same with every schedule replaced by its value after so many environment steps."""
        values = {name: each.at(step) for name, each in self.schedules.items()}
        return dataclasses.replace(self, **values)

    def at_end(self) -> Self:
        """The same with every schedule replaced by its value when the training ends."""
        return self.at(self.total_timesteps)

    @property
    def n_updates(self) -> int:
        """Updates of the whole training: as many as it takes to reach ``total_timesteps``."""
        return -(-self.total_timesteps // self.steps_per_update)

    @property
    def output_path(self) -> Path:
        """``output_dir`` with the experiment's name filled in."""
        return self._path(self.output_dir)

    @property
    def log_path(self) -> Path:
        """``log_dir`` with the experiment's name filled in."""
        return self._path(self.log_dir)

    def _path(self, template: str) -> Path:
        return Path(expanded(template).replace("{experiment_name}", self.experiment_name))


def load_config(
    path: str | os.PathLike[str] | None = None, overrides: Mapping[str, Any] | None = None
) -> TrainingConfig:
    """The configuration of a YAML file (or the defaults), with ``overrides`` on top.

    Raises:
        ConfigError: one line naming the key, its value and what is allowed.
    """
    values = read_config_file(path) if path is not None else {}
    values |= known_keys(overrides or {})
    return TrainingConfig(**{name: v for name, v in values.items() if name not in IGNORED})


def load_for_evaluation(
    path: str | os.PathLike[str] | None, overrides: Mapping[str, Any]
) -> TrainingConfig:
    """The evaluation clients of a file (or the default ones), schedules at their end; overrides win
    over them where they are not None. Raises as :func:`load_config`."""
    given = {name: value for name, value in overrides.items() if value is not None}
    return dataclasses.replace(load_config(path).for_evaluation(), **given).at_end()


def get_default_config() -> TrainingConfig:
    """All defaults."""
    return TrainingConfig()
