"""What a callback sees of a run, what it may change, and how a checkpoint keeps both."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from jaxtherapy.config import ConfigError, TrainingConfig, config_as_dict
from jaxtherapy.config.settings import ClientNumbers, Hyperparameters
from jaxtherapy.storage.changes import refuse_other_draws
from jaxtherapy.storage.progress import Progress
from jaxtherapy.training.loggers import Row

CHANGEABLE = tuple(
    field.name for part in (Hyperparameters, ClientNumbers) for field in dataclasses.fields(part)
)
"""The numbers that are leaves of the compiled programs."""


@dataclass(frozen=True)
class Change:
    """What a callback wants.

    Attributes:
        stop: whether to save and end here; a text is the reason.
        settings: new values of hyperparameters and client numbers by name, from now on.
    """

    stop: bool | str = False
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class View:
    """A run as a callback sees it.

    Attributes:
        config: in force, with what callbacks have changed.
        seeds: trained together.
        step: environment steps so far, of each.
        state: the callback's own; JSON-able, and saved with every checkpoint.
    """

    config: TrainingConfig
    seeds: tuple[int, ...]
    step: int
    state: dict[str, Any]


Callback = Callable[[View, Row], Change | None]
"""Called after every evaluation. With several hosts, on each: all must want the same."""


def call(callback: Callback, view: View, row: Row, progress: Progress) -> Change:
    """What it wants; what it remembers is in ``progress``, as a checkpoint will give it back.

    Raises:
        ConfigError: a setting that can't have this value, or can't change on the way.
        TypeError: a state that is not JSON-able.
    """
    change = callback(view, row) or Change()
    for name in change.settings:
        if name not in CHANGEABLE:
            raise ConfigError(f"a callback can't change {name}; it may {', '.join(CHANGEABLE)}")
    progress.callback_state = json.loads(json.dumps(view.state))
    return change


def changed(
    config: TrainingConfig, settings: Mapping[str, Any], progress: Progress
) -> TrainingConfig:
    """The configuration with these settings, which are noted in ``progress``.
    Raises ConfigError: a setting that can't have this value, or not on the way."""
    changed = replace(config, **settings)
    refuse_other_draws(config, changed)
    before, after = config_as_dict(config), config_as_dict(changed)
    for name in settings:
        was = progress.changes.get(name, {"was": before[name]})["was"]
        progress.changes[name] = {"was": was, "is": after[name]}
    return changed


def restored(config: TrainingConfig, progress: Progress) -> TrainingConfig:
    """The configuration as callbacks had changed it; what the user has changed since then wins."""
    given = config_as_dict(config)
    kept = {name: each for name, each in progress.changes.items() if each["was"] == given[name]}
    progress.changes = kept
    return replace(config, **{name: each["is"] for name, each in kept.items()})
