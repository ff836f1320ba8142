"""What lies in an experiment's folder, and which log is its own, wherever the folder is now."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from jaxtherapy.config import ConfigError, TrainingConfig, load_config, read_config_file
from jaxtherapy.storage.progress_log import ProgressLog

_RECORDED = {"experiment_name", "output_dir", "log_dir", "seed", "n_seeds"}
_PART = re.compile(r"seeds_([0-9]+)_[0-9]+")


def read_record(folder: Path) -> TrainingConfig | None:
    """The configuration that a run of ours left in a folder; None where there is none."""
    path = folder / "config.yaml"
    try:
        return load_config(path) if read_config_file(path).keys() >= _RECORDED else None
    except (ConfigError, OSError, ValueError):
        return None


def experiment_folder(path: Path) -> Path:
    """The experiment that a file or folder given to ``--resume-from`` belongs to."""
    folder = path if path.is_dir() else path.parent
    while (_is_step(folder.name) or _PART.fullmatch(folder.name)) and "checkpoints" in (
        folder.parent.name,
        folder.parent.parent.name,
    ):
        folder = folder.parent
    if folder.name == "checkpoints":
        folder = folder.parent
    return folder.parent if re.fullmatch(r"seed_\d+", folder.name) else folder


def _is_step(name: str) -> bool:
    return name.isascii() and name.isdecimal()


def orbax_steps(folder: Path, part: str = "") -> list[int]:
    """Steps of the complete checkpoints below an experiment's folder, without opening them."""
    checkpoints = folder / "checkpoints" / part
    if not checkpoints.is_dir():
        return []
    return sorted(int(p.name) for p in checkpoints.iterdir() if _is_step(p.name) and p.is_dir())


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


# --- its log ----------------------------------------------------------------------------------


def log_name(experiment_name: str, seed: int | None) -> str:
    """The name of a CSV log; no seed: of an experiment with one seed."""
    return f"{experiment_name}{'' if seed is None else f'_seed{seed}'}_progress.csv"


def log_folder(folder: Path, recorded: TrainingConfig) -> Path:
    """Where an experiment's log is, or would be if it is missing: nowhere else's is disturbed.

    Args:
        folder: of the experiment, wherever it was moved or copied.
        recorded: its configuration.
    """
    if recorded.output_path.resolve() == folder.resolve() and (
        Path(recorded.log_dir).is_absolute() or not Path(recorded.output_dir).is_absolute()
    ):
        return recorded.log_path  # nothing has moved
    beside = _beside(folder, recorded)
    found = log_that_fits(folder, recorded)
    if found is not None and not _is_anothers(found, folder, recorded):
        return found
    return folder if any(_logs(beside, recorded)) else beside


def log_that_fits(folder: Path, recorded: TrainingConfig) -> Path | None:
    """The folder of the log whose rows agree with the checkpoints, if there is one.

    A copy of an experiment finds the log of the original.
    """
    for candidate in (_beside(folder, recorded), recorded.log_path):
        if _fits(candidate, folder, recorded):
            return candidate
    return None


def find_log(folder: Path, recorded: TrainingConfig, seed: int) -> Path | None:
    """The CSV log of one seed of the experiment in ``folder``, if it is there."""
    found = log_that_fits(folder, recorded)
    if found is None:
        return None
    path = found / log_name(recorded.experiment_name, seed if recorded.n_seeds > 1 else None)
    return path if path.is_file() else None


def _beside(folder: Path, recorded: TrainingConfig) -> Path:
    """``logs/NAME`` beside the ``models`` folder that it lies in."""
    path = folder.absolute().parent.parent / "logs" / recorded.experiment_name
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _is_anothers(log: Path, folder: Path, recorded: TrainingConfig) -> bool:
    """Whether ``folder`` is a copy, and the log is where the original writes it."""
    original = recorded.output_path
    return (
        log.resolve() == recorded.log_path.resolve()
        and original.resolve() != folder.resolve()
        and read_record(original) is not None
    )


def _logs(folder: Path, recorded: TrainingConfig) -> Iterator[Path]:
    seeds = range(recorded.seed, recorded.seed + recorded.n_seeds)
    for seed in seeds if recorded.n_seeds > 1 else (None,):
        path = folder / log_name(recorded.experiment_name, seed)
        if path.is_file():
            yield path


def _fits(log: Path, folder: Path, recorded: TrainingConfig) -> bool:
    """Whether logs there have as many rows up to the latest checkpoint as it knows of."""
    if not any(_logs(log, recorded)):
        return False
    for part in parts(folder):
        steps = orbax_steps(folder, part)
        if not steps:
            continue
        about = folder / "checkpoints" / part / str(steps[-1]) / "about" / "metadata"
        match = _PART.fullmatch(part)
        first = int(match[1]) if match else recorded.seed
        name = log_name(recorded.experiment_name, first if recorded.n_seeds > 1 else None)
        try:
            n_rows = json.loads(about.read_text())["progress"]["csv_rows"]
            return ProgressLog(log / name).n_rows_until(steps[-1]) == n_rows
        except (OSError, ValueError, KeyError, TypeError):
            return False
    return True
