"""Where a run starts from: nothing, a checkpoint with its Orbax twin, or a ``.pth`` alone."""

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jaxtherapy.config import (
    SETTINGS,
    ConfigError,
    TrainingConfig,
    config_as_dict,
    load_config,
)
from jaxtherapy.errors import RunError
from jaxtherapy.storage import policies as weights
from jaxtherapy.storage.run_files import RunFiles, step_in

FIXED_ON_RESUME = (
    "seed",
    "n_seeds",
    "seeds_at_once",
    "n_envs",
    "hidden_size",
    "shared_trunk",
    "mechanism",
)
"""What shapes the stored state or is part of it; everything else may change on the way."""

YARDSTICK = {
    *(name for name, about in SETTINGS.items() if about.group == "Clients"),
    *("eval_episodes", "eval_deterministic"),
}
"""What evaluation rewards depend on beside the therapist."""


@dataclass(frozen=True)
class Start:
    """What to begin with.

    Attributes:
        orbax_folder, orbax_step: the checkpoint to continue exactly, if any.
        in_place: whether that is this experiment's own, rather than another's to branch off.
        pth: weights (and perhaps Adam and counters) to continue from, if any.
        source: the file or folder that was given, absolute, unless this is in place.
        new_yardstick: whether clients or evaluation are other ones than before, so that earlier
            evaluation rewards say nothing about later ones.
        note: what the user should know about it.
    """

    orbax_folder: Path | None = None
    orbax_step: int = -1
    in_place: bool = False
    pth: weights.Checkpoint | None = None
    source: Path | None = None
    new_yardstick: bool = False
    note: str = ""


def experiment_folder(path: Path) -> Path:
    """The experiment that a file or folder given to ``--resume-from`` belongs to."""
    folder = path if path.is_dir() else path.parent
    while re.fullmatch(r"[0-9]+|seeds_[0-9]+_[0-9]+", folder.name) and "checkpoints" in (
        folder.parent.name,
        folder.parent.parent.name,
    ):
        folder = folder.parent
    if folder.name == "checkpoints":
        folder = folder.parent
    return folder.parent if re.fullmatch(r"seed_\d+", folder.name) else folder


def base_config(given: dict[str, Any]) -> Path | None:
    """The configuration to resume with when no ``--config`` is given: the experiment's own."""
    try:
        if given.get("resume_from"):
            candidate = _config_beside(Path(str(given["resume_from"])))
        elif str(given.get("resume", "false")).lower() in ("true", "yes", "on"):
            candidate = load_config(None, given).output_path / "config.yaml"
        else:
            return None
        return candidate if candidate and candidate.is_file() else None
    except ConfigError:
        raise
    except (OSError, ValueError):  # find_start says what is wrong
        return None


def _config_beside(path: Path) -> Path | None:
    """The configuration of the experiment that a path belongs to.

    That of a ``.pth`` file only in a folder that a run or convert made: anywhere else, a
    ``config.yaml`` beside it may be about anything.
    """
    folder = experiment_folder(path)
    made_here = path.is_dir() or any(
        (folder / name).exists() for name in ("run.json", "checkpoints")
    )
    return folder / "config.yaml" if made_here else None


def as_trained(config: TrainingConfig) -> TrainingConfig:
    """With the groups of the run to continue, where the configuration leaves them open."""
    if not (config.resume or config.resume_from) or config.seeds_at_once is not None:
        return config
    try:
        trained_with = load_config(_config_beside(Path(config.resume_from or config.output_path)))
    except (ConfigError, OSError, ValueError):  # find_start says what is wrong
        return config
    return replace(config, seeds_at_once=trained_with.seeds_at_once)


def orbax_steps(folder: Path, part: str = "") -> list[int]:
    """Steps of the complete checkpoints below an experiment's folder, without opening them."""
    checkpoints = folder / "checkpoints" / part
    if not checkpoints.is_dir():
        return []
    return sorted(
        int(path.name)
        for path in checkpoints.iterdir()
        if path.name.isascii() and path.name.isdecimal() and path.is_dir()
    )


def _parts(folder: Path) -> list[str]:
    """The groups of an experiment; the empty one is that of all seeds."""
    return ["", *(path.name for path in (folder / "checkpoints").glob("seeds_*"))]


def find_start(config: TrainingConfig, files: RunFiles, again: bool = False) -> Start:
    """Decides where to start, touching nothing.

    Args:
        config, files: of the run.
        again: this experiment began from there already, but has no checkpoint of its own yet.

    Raises:
        RunError: there is something that would be overwritten, nothing to resume, or a mismatch.
    """
    if config.resume_from is not None and config.resume:
        raise RunError("both --resume and --resume-from are given; keep one")
    if config.resume and config.overwrite:
        raise RunError(
            "--resume continues what --overwrite would replace; keep one, or say with "
            "--resume-from which checkpoint to go back to"
        )
    if config.resume_from is None and not config.resume:
        try:
            exists = files.exists()
        except OSError as error:
            raise _unreadable(files.output, error) from None
        if exists and not config.overwrite:
            raise RunError(
                f"{files.output} holds an experiment already; continue it with "
                f"--resume-from {files.output}, replace it with --overwrite, or choose another "
                "--experiment-name"
            )
        return Start()
    source = files.output if config.resume_from is None else Path(config.resume_from)
    try:
        if not source.exists():
            raise RunError(f"{source} does not exist; there is nothing to resume")
        if source.is_dir():
            start = _from_folder(source, config, files, again)
        else:
            start = _from_file(source, config, files, again)
        return start if start.in_place or start.source else replace(start, source=source.absolute())
    except OSError as error:
        raise _unreadable(source, error) from None


def _unreadable(path: Path, error: OSError) -> RunError:
    return RunError(f"{error.filename or path} can't be read: {error.strerror or error}")


def _from_folder(folder: Path, config: TrainingConfig, files: RunFiles, again: bool) -> Start:
    experiment = experiment_folder(folder)
    steps = orbax_steps(experiment, files.part)
    if steps:
        return _exact(experiment, steps[-1], config, files, again)
    if any(orbax_steps(experiment, part) for part in _parts(experiment)):
        _changes_since(experiment, config)  # of other seeds or groups, or these have yet to begin
    if _is_own(experiment, files) and files.config.exists() and not again:
        if files.have_weights() and not files.checkpoints.exists():  # a run makes the folder first
            raise RunError(
                f"{folder} has weights, but no checkpoints to resume; continue from one of its "
                ".pth files with another --experiment-name, or start anew with --overwrite"
            )
        starting_over = "no checkpoint had been written yet: starting over"
        if not files.started_from.exists():
            return Start(in_place=True, note=starting_over)
        origin = os.fsdecode(files.started_from.read_bytes()).removesuffix("\n")
        start = find_start(replace(config, resume=False, resume_from=origin), files, again=True)
        return replace(start, note=f"{starting_over}, {start.note}")
    raise RunError(f"{folder} holds no checkpoints; give an experiment's folder or a .pth file")


def _from_file(path: Path, config: TrainingConfig, files: RunFiles, again: bool) -> Start:
    pth = weights.read(path)  # a damaged file is refused even where its twin is whole
    experiment = experiment_folder(path)
    step = step_in(path.name)
    steps = orbax_steps(experiment, files.part)
    if step is not None and step in steps:
        return _exact(experiment, step, config, files, again)
    behind = step is not None and (not steps or steps[-1] < step)
    if files.part and behind and _is_own(experiment, files) and not again:
        return _from_folder(experiment, config, files, again)  # seeds that had not come so far
    if _is_own(experiment, files) and config.overwrite:
        raise RunError(
            f"{path} lies in the folder that --overwrite would empty; move it, or give another "
            "--experiment-name"
        )
    if files.exists() and not config.overwrite and not again:
        raise RunError(
            f"{path} has no Orbax twin to continue exactly, and {files.output} holds an "
            "experiment already; give another --experiment-name, or --overwrite"
        )
    if pth.adam is not None and pth.env_step >= config.total_timesteps:
        raise RunError(
            f"{path} is at step {pth.env_step} already; pass --total-timesteps beyond it"
        )
    if pth.hidden_size != config.hidden_size:
        raise RunError(
            f"{path} has hidden_size {pth.hidden_size}, this configuration {config.hidden_size}; "
            f"pass --hidden-size {pth.hidden_size}"
        )
    if pth.shared_trunk != config.shared_trunk:
        wanted = str(pth.shared_trunk).lower()
        raise RunError(f"{path} has shared_trunk {wanted}; pass --shared-trunk {wanted}")
    if pth.adam is None:
        restored = "weights only: Adam's moments, counters and return statistics start anew"
    else:
        restored = (
            "weights, Adam's moments and counters; clients, random keys and return statistics "
            "could not be restored and start anew"
        )
    return Start(pth=pth, note=f"from {path}: {restored}")


def _is_own(experiment: Path, files: RunFiles) -> bool:
    return experiment.resolve() == files.output.resolve()


def _exact(
    experiment: Path, step: int, config: TrainingConfig, files: RunFiles, again: bool
) -> Start:
    changes = _changes_since(experiment, config)
    in_place = _is_own(experiment, files)
    later = [each for each in orbax_steps(experiment, files.part) if each > step]
    if in_place and later and not config.overwrite:
        raise RunError(
            f"{experiment} has {len(later)} checkpoints after step {step}, up to {later[-1]}; "
            "continue the latest with --resume, drop them with --overwrite, or branch off with "
            "another --experiment-name"
        )
    done = step >= config.total_timesteps
    if in_place and done and (later or not all(files.final(seed).exists() for seed in files.seeds)):
        raise RunError(
            f"{experiment} is at step {step} already, without a final policy; pass "
            "--total-timesteps beyond it"
        )
    if not in_place and files.exists() and not config.overwrite and not again:
        raise RunError(
            f"{files.output} holds an experiment already; choose another --experiment-name or "
            "pass --overwrite"
        )
    if not in_place and done:
        raise RunError(
            f"{experiment} is at step {step} already; branch off with --total-timesteps beyond it"
        )
    note = f"continuing at step {step:,}" + ("" if in_place else f", into {files.output}")
    notes = [note, *changes.values()]
    new_yardstick = not YARDSTICK.isdisjoint(changes)
    if in_place and new_yardstick:
        notes.append("policy_best.pth is chosen anew, by evaluations from here on")
    return Start(
        experiment / "checkpoints" / files.part,
        step,
        in_place,
        new_yardstick=new_yardstick,
        note="; ".join(notes),
    )


def _changes_since(experiment: Path, config: TrainingConfig) -> dict[str, str]:
    """By setting: what differs from the one that the checkpoint was trained with, in words.

    Raises:
        RunError: something that can't change.
    """
    try:
        trained_with = load_config(experiment / "config.yaml")
    except ConfigError:
        return {}  # the shapes are still checked when the checkpoint is read
    for name in FIXED_ON_RESUME:
        then, wanted = getattr(trained_with, name), getattr(config, name)
        if then != wanted:
            raise RunError(
                f"{name} was {then} when {experiment} was trained and can't become {wanted} on "
                "resumption, because the stored state depends on it; leave it as it was"
            )
    before, now = config_as_dict(trained_with), config_as_dict(config)
    places = ("experiment_name", "output_dir", "log_dir", "device")
    return {
        name: f"{name} was {before[name]}, is {now[name]}"
        for name in now
        if before[name] != now[name] and name not in places
    }
