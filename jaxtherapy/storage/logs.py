"""Which log is an experiment's own, wherever its folder is now: when it is continued, evaluated,
reported or replaced.

A run leaves ``.NAME.owner`` beside its log, so that of two copies of an experiment one has it.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from jaxtherapy.config import TrainingConfig
from jaxtherapy.storage import run_info
from jaxtherapy.storage.experiment import config_of, latest_progress, log_name, read_record
from jaxtherapy.storage.files import write_atomically
from jaxtherapy.storage.run_files import RunFiles, step_in

Log = dict[str, list[float]]
"""The columns of a log."""

_NEEDED = ("step", "train_reward_mean", "test_reward_mean")


def read_log(path: Path) -> Log | None:
    """The columns of a log as numbers; ``None`` if it is no such file, or has no rows."""
    columns = _columns(path)
    return columns if columns and columns["step"] else None


def _columns(path: Path) -> Log | None:
    try:
        head, *rows = path.read_text(encoding="utf-8").split("\n")[:-1]
        names = head.split(",")
        cells = [[float(cell) for cell in row.split(",")] for row in rows]
        table = np.array(cells, float).reshape(len(rows), len(names))
    except (OSError, ValueError):
        return None
    columns: Log = dict(zip(names, table.T.tolist(), strict=True))
    grows = "step" in columns and columns["step"] == sorted(columns["step"])
    return columns if grows and columns.keys() >= set(_NEEDED) else None


def find_log(
    folder: Path, seed: int | None, known: Path | None = None, *, any_later: bool = False
) -> Path | None:
    """The CSV log of one seed: beside the experiment first, and none whose steps don't fit.

    Args:
        folder, seed: of the experiment, which may be gone.
        known: where the log was once; tried after those beside the experiment.
        any_later: takes it though only another copy came as far as its last rows.
    """
    return next(_fitting(folder, seed, known, any_later), None)


def log_folder(folder: Path, recorded: TrainingConfig) -> Path:
    """Where the log of an experiment, moved or copied, goes on: nobody else's is disturbed."""
    name, log = recorded.experiment_name, recorded.log_path
    if recorded.output_path.resolve() == folder.resolve() and (
        Path(recorded.log_dir).is_absolute() or not Path(recorded.output_dir).is_absolute()
    ):  # nothing has moved
        return folder if is_anothers(log, folder, recorded) else log
    own_name = RunFiles.of(recorded).csv(recorded.seed).name
    for found in _fitting(folder, recorded.seed, None, any_later=True):
        if found.name == own_name and not is_anothers(found.parent, folder, recorded):
            return _from_here(found.parent)
    beside = folder.absolute().parent.parent / "logs" / name
    return folder if (beside / own_name).exists() else _from_here(beside)


def claim(files: RunFiles) -> None:
    """Notes whose log it is from now on."""
    path = files.log / f".{files.name}.owner"
    owner = os.fsencode(f"{files.output.resolve()}\n{files.log.resolve()}\n")
    if not path.is_file() or path.read_bytes() != owner:
        write_atomically(path, owner)


def is_anothers(log: Path, folder: Path, recorded: TrainingConfig) -> bool:
    """Whether another experiment that is there writes the log in the folder ``log``."""
    owner = _owner(log, recorded.experiment_name)
    if owner is None:  # of version 0.1
        if log.resolve() != recorded.log_path.resolve():
            return False
        owner = recorded.output_path.resolve()
    return owner != folder.resolve() and read_record(owner) is not None


def _owner(log: Path, name: str) -> Path | None:
    try:
        owner, place, _ = os.fsdecode((log / f".{name}.owner").read_bytes()).split("\n")
    except (OSError, ValueError):
        return None
    if Path(place).resolve() != log.resolve():  # copied with the log
        return None
    return Path(owner).resolve()  # which may be a link by now, to where its files were moved


def _from_here(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _fitting(folder: Path, seed: int | None, known: Path | None, any_later: bool) -> Iterator[Path]:
    """The logs whose rows can be of an experiment, as far as its folder can tell."""
    config, progress = config_of(folder), latest_progress(folder, seed)
    run = run_info.read(folder / "run.json")
    for path in _candidates(folder, seed, known, config):
        columns = _columns(path) if path.is_file() else None
        if columns is None:
            continue
        steps = columns["step"]
        if progress is not None:
            fits = sum(step <= progress.step for step in steps) == progress.csv_rows
        else:
            fits = _reaches(steps, folder, seed, config)
        if not fits:
            continue
        last = steps[-1] if steps else 0
        if run.get("status") == "finished":
            is_of_another = run.get("steps", last) != last
        else:  # the last rows may be a copy's
            later = progress is not None and last > progress.step
            is_of_another = later and config and is_anothers(path.parent, folder, config)
        if any_later or not is_of_another:
            yield path


def _candidates(
    folder: Path, seed: int | None, known: Path | None, config: TrainingConfig | None
) -> Iterator[Path]:
    folder, own = folder.absolute(), None
    logs = folder.parent.parent / "logs"
    if config is not None and seed is not None:
        own = RunFiles.of(config).csv(seed)
        if config.output_path.is_absolute() == own.is_absolute():  # both may have moved together
            beside = os.path.relpath(own, config.output_path)
            yield Path(os.path.normpath(folder / beside))
        yield logs / config.experiment_name / own.name
    for each in (seed, None):
        yield logs / folder.name / log_name(folder.name, each)
    yield from (path for path in (known, own) if path is not None)


def _reaches(
    steps: list[float], folder: Path, seed: int | None, config: TrainingConfig | None
) -> bool:
    """Whether rows are of this experiment's updates and go as far as its weights."""
    if not steps or (config and any(step % config.steps_per_update for step in steps)):
        return False
    found = [step_in(path.name) for path in folder.glob("*.pth")]
    found += [step_in(path.name) for path in folder.glob(f"seed_{seed}/*.pth")]
    return all(step is None or step <= steps[-1] for step in found)
