"""What differs from the settings that an experiment was trained with, and whether it may."""

from pathlib import Path
from typing import Any

from jaxtherapy.config import (
    SETTINGS,
    ConfigError,
    TrainingConfig,
    as_given,
    config_as_dict,
    load_config,
)
from jaxtherapy.errors import RunError

FIXED_ON_RESUME = (
    *("seed", "n_seeds", "seeds_at_once", "n_envs", "mechanism", "stop_at_success"),
    *("hidden_size", "shared_trunk", "actor_view", "critic_view", "encoder"),
)
"""What shapes the stored state or is part of it; beside these, only what clients draw can't change
on the way."""

EVALUATED = ("eval_episodes", "eval_deterministic")


def yardstick(config: TrainingConfig) -> dict[str, Any]:
    """What evaluation rewards depend on beside the therapist."""
    names = (name for name, about in SETTINGS.items() if about.of_clients)
    evaluated = config.for_evaluation()
    return {name: getattr(evaluated, name) for name in (*names, *EVALUATED)}


def refuse_other_draws(before: TrainingConfig, now: TrainingConfig) -> None:
    """Refuses to draw other numbers than before: clients under way would lack or keep theirs.
    Raises ConfigError: a number became a distribution, or the other way round."""
    for name in sorted({*before.drawn} ^ {*now.drawn}):
        was, kind = as_given(getattr(before, name)), ("a number", "a distribution")
        raise ConfigError(
            f"{name} was {was} and can't become {as_given(getattr(now, name))} on the way, because "
            f"clients under way have drawn their numbers; let it be {kind[name in before.drawn]}"
        )


def changes_since(experiment: Path, config: TrainingConfig) -> tuple[dict[str, str], bool]:
    """By setting: what differs from the one that the checkpoint was trained with, in words; and
    whether evaluation rewards can't be compared with those before.
    Raises RunError: something that can't change, or there is nothing to tell what it was."""
    path = experiment / "config.yaml"
    if not path.is_file():
        raise RunError(
            f"{experiment} has checkpoints, but no config.yaml to say what they are of; put it "
            f"back, or continue from a copy of one of its .pth files elsewhere"
        )
    try:
        trained_with = load_config(path)
        for name in FIXED_ON_RESUME:
            then, wanted = getattr(trained_with, name), getattr(config, name)
            if then != wanted:
                raise RunError(
                    f"{name} was {then} when {experiment} was trained and can't become {wanted} on "
                    "resumption, because the stored state depends on it; leave it as it was"
                )
        refuse_other_draws(trained_with, config)
    except ConfigError as error:
        raise RunError(f"{experiment} can't be continued: {error}") from None
    before, now = config_as_dict(trained_with), config_as_dict(config)
    places = ("experiment_name", "output_dir", "log_dir", "device")
    changes = {
        name: f"{name} was {before[name]}, is {now[name]}"
        for name in now
        if before[name] != now[name] and name not in places
    }
    return changes, yardstick(trained_with) != yardstick(config)


def check_schedules(source: Path, step: int, n_updates: int, config: TrainingConfig) -> None:
    """Refuses schedules where updates don't tell the step: they count updates, and would jump.
    Raises RunError: this configuration's updates are not those of ``source``."""
    expected = n_updates * config.steps_per_update
    if step != expected and config.schedules:
        raise RunError(
            f"{source} is at step {step} after {n_updates} updates, which are {expected} steps "
            "here: schedules count updates, and would jump; set n_steps and batch_size as they "
            "were, or give numbers instead of schedules"
        )


def ended_schedules(config: TrainingConfig, step: int) -> list[str]:
    """What no longer changes, though it is a schedule, in words."""
    return [
        f"the schedule of {name} has ended at step {each.over:,}: it stays {each.end:g}; a longer "
        "'over' stretches it"
        for name, each in config.schedules.items()
        if each.over <= step < config.total_timesteps
    ]
