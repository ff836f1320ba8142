"""Which training log belongs to an experiment."""

import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np

from jaxtherapy.config import ConfigError, TrainingConfig, load_config
from jaxtherapy.storage import run_info
from jaxtherapy.storage.run_files import RunFiles, step_in

Log = dict[str, list[float]]
"""The columns of a log."""

_NEEDED = ("step", "train_reward_mean", "test_reward_mean")


def find_log(experiment: Path, seed: int | None, known: Path | None = None) -> Path | None:
    """The CSV log of one seed: beside the experiment first, and none whose steps don't fit.

    Args:
        experiment: its folder; may be gone.
        seed: of the training, if known.
        known: where the log was once; tried after those beside the experiment.
    """
    for path in _candidates(experiment, seed, known):
        log = read_log(path) if path.is_file() else None
        if log is not None and fits(log, experiment, seed):
            return path
    return None


def read_log(path: Path) -> Log | None:
    """The columns of a log as numbers; ``None`` if it is no such file."""
    try:
        head, *rows = path.read_text(encoding="utf-8").split("\n")[:-1]
        table = np.array([[float(cell) for cell in row.split(",")] for row in rows])
        columns: Log = dict(zip(head.split(","), table.T.tolist(), strict=True))
    except (OSError, ValueError):
        return None
    usable = all(columns.get(name) for name in _NEEDED)
    return columns if usable and _grows(columns["step"]) else None


def fits(log: Log, experiment: Path, seed: int | None) -> bool:
    """Whether a log's steps can be those of an experiment, as far as its folder can tell."""
    steps, config = log["step"], _config_of(experiment)
    if config is not None and any(step % config.steps_per_update for step in steps):
        return False
    found = [step_in(path.name) for path in experiment.glob("*.pth")]
    found += [step_in(path.name) for path in experiment.glob(f"seed_{seed}/*.pth")]
    if any(step is not None and step > steps[-1] for step in found):
        return False
    run = run_info.read(experiment / "run.json")
    return run.get("status") != "finished" or run.get("steps", steps[-1]) == steps[-1]


def _grows(values: list[float]) -> bool:
    return all(before <= after for before, after in pairwise(values))


def _config_of(experiment: Path) -> TrainingConfig | None:
    try:
        return load_config(experiment / "config.yaml")
    except ConfigError:
        return None


def _candidates(experiment: Path, seed: int | None, known: Path | None) -> Iterator[Path]:
    config = _config_of(experiment)
    own = None
    if config is not None and seed is not None:
        own = RunFiles.of(config).csv(seed)
        if config.output_path.is_absolute() == own.is_absolute():
            # Both may have moved together.
            beside = os.path.relpath(own, config.output_path)
            yield Path(os.path.normpath(experiment.absolute() / beside))
    folder = experiment.absolute()
    logs = folder.parent.parent / "logs" / folder.name
    for suffix in (f"_seed{seed}", ""):
        yield logs / f"{folder.name}{suffix}_progress.csv"
    yield from (path for path in (known, own) if path is not None)
