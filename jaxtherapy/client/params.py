"""Who the clients are: every number of them a leaf of one pytree."""

import dataclasses
import os
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jaxtherapy.client.mechanisms import MECHANISMS
from jaxtherapy.client.patterns import PATTERNS, pattern_weights
from jaxtherapy.client.utilities import U_MAX, U_MIN, utility_bounds
from jaxtherapy.config import ConfigError, TrainingConfig, load_config
from jaxtherapy.config.declare import Setting
from jaxtherapy.config.distributions import Distribution
from jaxtherapy.config.leaves import as_leaves
from jaxtherapy.config.settings import ClientNumbers, ClientSettings
from jaxtherapy.config.yaml_files import known_keys


@dataclass(frozen=True)
class ClientParams(ClientNumbers):
    """Everything a researcher may vary about clients: the numbers of
    :class:`~jaxtherapy.config.settings.ClientNumbers`, and the fields below. All leaves but
    those of ``STATIC`` can be swept; each is a Python number, a scalar array, or, among the former,
    a :class:`~jaxtherapy.config.distributions.Distribution` from which each client draws its own.

    Attributes:
        mechanism: how memory shapes expectations, one of ``MECHANISMS``. Static.
        pattern_weights: (7,) mixture weights over ``PATTERNS``; need not be normalised.
        exact_anticomplement: stuck patterns answer pool acts with their anticomplement
            (a later revision of the model) instead of with a uniform draw from a pool.
        u_min, u_max: (8, 8) bounds of the utility draw; equal bounds fix the matrix.
        stop_at_success: whether therapy ends with success. Static.
    """

    mechanism: str = "frequency_amplifier"
    pattern_weights: Any = dataclasses.field(default_factory=lambda: np.ones(len(PATTERNS)))
    exact_anticomplement: Any = False
    u_min: Any = dataclasses.field(default_factory=lambda: U_MIN)
    u_max: Any = dataclasses.field(default_factory=lambda: U_MAX)
    stop_at_success: bool = True

    def __post_init__(self) -> None:
        if self.mechanism not in MECHANISMS:
            raise ValueError(f"mechanism {self.mechanism!r} is not one of {', '.join(MECHANISMS)}")

    def numbers_of(self, dyad: Any) -> "ClientParams":
        """The numbers of this dyad's client, those that it drew among them."""
        return self.replace(**dyad.drawn) if dyad.drawn else self

    @property
    def max_steps_in_episode(self) -> Any:
        """gymnax's name for ``max_sessions``."""
        return self.max_sessions


STATIC = ("mechanism", "stop_at_success")
"""What shapes the program."""


def leaves_of(part: type[ClientParams]) -> list[str]:
    """The names of all that can be swept."""
    return [field.name for field in dataclasses.fields(part) if field.name not in STATIC]


jax.tree_util.register_dataclass(ClientParams, leaves_of(ClientParams), STATIC)


def check_params(params: ClientParams) -> None:
    """Refuses numbers that no client can have, as configurations do.
    Raises ValueError: one line that names the number and what is allowed."""
    for field in dataclasses.fields(ClientNumbers):
        about, given = field.metadata["setting"], getattr(params, field.name)
        for each in given.support if isinstance(given, Distribution) else [given]:
            _check_number(field.name, about, np.asarray(each))
    leaves = params.pattern_weights, params.u_min, params.u_max
    weights, u_min, u_max = (np.asarray(leaf, np.float32) for leaf in leaves)
    if not (np.all(weights >= 0) and 0 < weights.sum() < np.inf):
        raise ValueError("pattern_weights must be at least 0, and one of them above")
    if not 0 < np.ptp([u_min, u_max]) < np.inf:
        raise ValueError("u_min and u_max must be numbers, and not all the same")


def _check_number(name: str, about: Setting, value: np.ndarray) -> None:
    if value.shape != ():
        raise ValueError(f"{name} has shape {value.shape}; vmap over clients that differ")
    bound = f"above {about.above:g}" if about.above > -np.inf else f"from {about.minimum:g}"
    # In float32, where a bound may be rounded beyond itself.
    low, high, above = np.array([about.minimum, about.maximum, about.above], np.float32)
    if not low <= value <= high or value <= above:
        raise ValueError(f"{name} is {value}, must be {bound} to {about.maximum:g}")


def client_params(settings: ClientSettings) -> ClientParams:
    """The clients of these settings, every number an array (float32, int32 or bool)."""
    u_min, u_max = utility_bounds(settings.utility_matrix)
    return ClientParams(
        **as_leaves(ClientNumbers, settings),
        mechanism=settings.mechanism,
        pattern_weights=np.asarray(pattern_weights(settings.patterns), np.float32),
        exact_anticomplement=np.bool_(settings.anticomplement == "exact"),
        u_min=np.asarray(u_min, np.float32),
        u_max=np.asarray(u_max, np.float32),
        stop_at_success=settings.stop_at_success,
    )


def clients_of(
    config: TrainingConfig | str | os.PathLike[str] | None = None, **settings: Any
) -> ClientParams:
    """Clients by name: those of a configuration, or the default ones, with some settings replaced.

    Args:
        config: of a training, or its file. Schedules are at their end.
        **settings: of clients, as in a file: ``threshold=0.6, patterns=["cold_stuck"]``.

    Raises:
        ConfigError: one line that names the setting, its value and what is allowed.
    """
    known, names = known_keys(settings), [each.name for each in dataclasses.fields(ClientSettings)]
    for name in known.keys() - set(names):
        raise ConfigError(f"{name} is no setting of clients; these are: {', '.join(names)}")
    base = config if isinstance(config, TrainingConfig) else load_config(config)
    return client_params(dataclasses.replace(base, **known).at_end())
