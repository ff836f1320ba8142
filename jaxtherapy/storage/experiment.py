"""What lies in an experiment's folder."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from jaxtherapy.config import ConfigError, TrainingConfig, load_config, read_config_file
from jaxtherapy.storage.progress import Progress

_RECORDED = {"experiment_name", "output_dir", "log_dir", "seed", "n_seeds"}
_PART = re.compile(r"seeds_([0-9]+)_([0-9]+)")
_SEED = re.compile(r"seed_[0-9]+")


def config_of(folder: Path) -> TrainingConfig | None:
    """The configuration in a folder; None where there is none, or none that can be used."""
    try:
        return load_config(folder / "config.yaml")
    except ConfigError:
        return None


def read_record(folder: Path) -> TrainingConfig | None:
    """The configuration that a run of ours left in a folder; None where there is none."""
    config = config_of(folder)
    is_ours = config and read_config_file(folder / "config.yaml").keys() >= _RECORDED
    return config if is_ours else None


def experiment_folder(path: Path) -> Path:
    """The experiment that a file or folder given to ``--resume-from`` belongs to."""
    folder = path if path.is_dir() else path.parent
    # An experiment may be called seed_3 or checkpoints: its own folder has the record.
    while not (folder / "config.yaml").is_file() and _is_within(folder):
        folder = folder.parent
    return folder


def _is_within(folder: Path) -> bool:
    """Whether a folder is named as one inside an experiment's."""
    if _is_step(folder.name) or _PART.fullmatch(folder.name):
        return "checkpoints" in (folder.parent.name, folder.parent.parent.name)
    return folder.name == "checkpoints" or _SEED.fullmatch(folder.name) is not None


def _is_step(name: str) -> bool:
    return name.isascii() and name.isdecimal()


def orbax_steps(folder: Path, part: str = "") -> list[int]:
    """Steps of the complete checkpoints below an experiment's folder, without opening them."""
    checkpoints = folder / "checkpoints" / part
    if not checkpoints.is_dir():
        return []
    return sorted(int(p.name) for p in checkpoints.iterdir() if _is_step(p.name) and p.is_dir())


def progress_at(folder: Path, step: int, part: str = "") -> Progress | None:
    """What a checkpoint says of its run; None where that can't be read."""
    path = folder / "checkpoints" / part / str(step) / "about" / "metadata"
    try:
        return Progress.read(json.loads(path.read_text())["progress"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def latest_progress(folder: Path, seed: int | None) -> Progress | None:
    """What the latest checkpoint of a seed (None: of any) says of its run."""
    for part in parts(folder):
        group = _PART.fullmatch(part)
        others = group and seed is not None and not int(group[1]) <= seed <= int(group[2])
        if not others and (steps := orbax_steps(folder, part)):
            return progress_at(folder, steps[-1], part)
    return None


def parts(folder: Path) -> list[str]:
    """The groups of an experiment; the empty one is that of all seeds."""
    found = (path.name for path in (folder / "checkpoints").glob("seeds_*"))
    return ["", *sorted(filter(_PART.fullmatch, found))]


def checkpoint_folders(folder: Path) -> Iterator[Path]:
    """Whatever in ``checkpoints/`` is named as an Orbax checkpoint, whole, half or removed."""
    for part in parts(folder):
        if not (folder / "checkpoints" / part).is_dir():
            continue
        for path in sorted((folder / "checkpoints" / part).iterdir()):
            name = path.name.partition(".orbax-checkpoint-tmp")[0]
            if _is_step(name) or name == ".deleted":
                yield path


def is_checkpoint(path: Path) -> bool:
    """Whether what is named as an Orbax checkpoint is one, of ours."""
    temporary = ".orbax-checkpoint-tmp" in path.name or path.name == ".deleted"
    return path.is_dir() and (temporary or (path / "about").is_dir())


def log_name(experiment_name: str, seed: int | None) -> str:
    """The name of a CSV log; no seed: of an experiment with one seed."""
    return f"{experiment_name}{'' if seed is None else f'_seed{seed}'}_progress.csv"
