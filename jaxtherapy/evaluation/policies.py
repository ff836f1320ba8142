"""Trained policies: where their files are, what is known of their training, and how to read them.

Files are found without JAX, so that commands can answer before they load it.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from jaxtherapy.config import TrainingConfig, load_config
from jaxtherapy.config.settings import PPO
from jaxtherapy.errors import RunError
from jaxtherapy.storage.logs import find_log


@dataclass(frozen=True)
class PolicyFile:
    """A file of weights, the group of its seeds, and its experiment's folder, if known."""

    file: Path
    group: str
    experiment: Path | None = None
    seed: int | None = None

    @property
    def config(self) -> TrainingConfig | None:
        """What it was trained with."""
        return config_of(self.experiment) if self.experiment else None

    @property
    def log(self) -> str | None:
        """The training's CSV log, if it is there."""
        if self.experiment is None or self.seed is None:
            return None
        found = find_log(self.experiment, self.seed)
        return None if found is None else str(found)


def find_policies(path: Path, which: str) -> list[PolicyFile]:
    """The policies that a path means: a ``.pth`` file, or an experiment's folder with its seeds.

    Raises:
        RunError: there is none, or its name can't be written down.
    """
    if not str(path.absolute()).isprintable():
        raise RunError(f"{str(path)!r} has characters in its name that can't be shown; rename it")
    if path.is_file():
        experiment = _experiment_of(path.parent)
        name = f"{path.parent.name}/{path.stem}" if experiment else path.stem
        return [PolicyFile(path, name, experiment, _seed_of(path.parent, experiment))]
    if not path.is_dir():
        raise RunError(f"{path} does not exist; give a .pth file or an experiment's folder")
    name = f"policy_{which}.pth"
    label = path.resolve().name + ("" if which == "best" else f" ({which})")
    seeds = (each for each in path.glob("seed_*") if re.fullmatch(r"seed_[0-9]+", each.name))
    folders = sorted(seeds, key=lambda folder: (len(folder.name), folder.name))
    folders = [folder for folder in folders if folder.is_dir()] or [path]
    missing = [folder / name for folder in folders if not (folder / name).is_file()]
    if missing:
        raise RunError(f"{missing[0]} does not exist; give an experiment's folder or a .pth file")
    return [
        PolicyFile(
            folder / name, label, _experiment_of(folder), _seed_of(folder, _experiment_of(path))
        )
        for folder in folders
    ]


def find_all(paths: Sequence[Path], which: str, reserved: Collection[str] = ()) -> list[PolicyFile]:
    """The policies of several paths; each path is a group of its own name, none of ``reserved``."""
    found: list[PolicyFile] = []
    for path in paths:
        policies = find_policies(path, which)
        name = unused(policies[0].group, {policy.group for policy in found} | set(reserved))
        found += [replace(policy, group=name) for policy in policies]
    return found


def unused(name: str, taken: Collection[str]) -> str:
    """The name, with a number after it if it is taken."""
    number, candidate = 2, name
    while candidate in taken:
        number, candidate = number + 1, f"{name} #{number}"
    return candidate


def config_of(experiment: Path) -> TrainingConfig:
    """The configuration that an experiment was trained with."""
    return load_config(experiment / "config.yaml")


def _experiment_of(folder: Path) -> Path | None:
    """The folder with ``config.yaml`` that weights in ``folder`` belong to."""
    for each in (folder, folder.parent) if folder.name.startswith("seed_") else (folder,):
        if (each / "config.yaml").is_file():
            return each
    return None


def _seed_of(folder: Path, experiment: Path | None) -> int | None:
    match = re.fullmatch(r"seed_(\d+)", folder.name)
    if match:
        return int(match[1])
    return config_of(experiment).seed if experiment else None


def read_policy(
    file: Path, config: TrainingConfig | None, deterministic: bool | None = None
) -> tuple[PPO, Any]:
    """A file's weights, and what their program depends on: architecture, precision, sampling.

    Raises:
        RunError: the file can't be read, or its weights are so large that answers overflow.
    """
    from jaxtherapy.networks.actor_critic import param_shapes
    from jaxtherapy.storage import policies as weights
    from jaxtherapy.storage.trained_policy import ppo_of

    checkpoint = weights.read(file)
    ppo = ppo_of(checkpoint, config)
    if deterministic is not None:
        ppo = ppo.replace(eval_deterministic=deterministic)
    advice = f"put the config.yaml that they were trained with beside {file}"
    params = weights.from_named_arrays(checkpoint.weights, param_shapes(ppo), advice)
    if _largest_logit(checkpoint.weights) > float(np.finfo(np.float32).max):
        raise RunError(f"{file} has weights so large that its answers overflow; use another file")
    return ppo, params


def _largest_logit(arrays: Mapping[str, np.ndarray]) -> float:
    """A bound of the actor's logits, whatever it sees: layer by layer, in float64."""
    size = {name: np.abs(array.astype(float)) for name, array in arrays.items()}
    actor = [name for name in size if name.startswith("actor.")]
    bound = max([1.0, *(size[name].max() for name in actor if "embed" in name)])
    for name in (name for name in actor if name.endswith(".bias")):
        layer = name.removesuffix("bias")
        kernel = size.get(f"{layer}kernel")  # of other views and encoders, inputs first
        reach = size[f"{layer}weight"].sum(1) if kernel is None else kernel.sum(0)
        bound = max(1.0, reach.max()) * bound + size[name].max()
    return float(bound)
