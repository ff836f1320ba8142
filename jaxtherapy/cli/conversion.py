"""From a ``.pth`` file to an experiment, and back."""

import argparse
import os
import shlex
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax

from jaxtherapy import config as configuration
from jaxtherapy.config import TrainingConfig
from jaxtherapy.config.settings import PPO
from jaxtherapy.devices import layout as devices
from jaxtherapy.devices.programs import initial_state
from jaxtherapy.errors import RunError
from jaxtherapy.ppo.types import TrainState, make_settings
from jaxtherapy.storage import policies
from jaxtherapy.storage.changes import check_schedules
from jaxtherapy.storage.checkpoints import Checkpoints
from jaxtherapy.storage.experiment import orbax_steps
from jaxtherapy.storage.files import write_atomically
from jaxtherapy.storage.progress import Progress
from jaxtherapy.storage.progress_log import ProgressLog
from jaxtherapy.storage.run_files import RunFiles
from jaxtherapy.training.start import from_weights

FORMATS = (".pth", policies.SAFETENSORS)


def convert(given: argparse.Namespace) -> str:
    """One way or the other; says what was written."""
    source, target, is_folder = given.source, given.target, given.source.is_dir()
    kind, others = ("a folder", ["config"]) if is_folder else ("a file", ["step", "seed"])
    others += [] if is_folder else ["weights_only"]
    for name in others:
        if getattr(given, name) not in (None, False):
            flag = "--" + name.replace("_", "-")
            raise RunError(f"{flag} has no meaning where {source} is {kind}; leave it out")
    if not source.exists():
        raise RunError(f"{source} does not exist")
    other_format = policies.SAFETENSORS in (source.suffix, target.suffix) and target.suffix
    if not is_folder and not other_format:
        return to_experiment(source, target, given.config)
    if is_folder and target.suffix not in FORMATS:
        raise RunError(f"{target} must end in .pth or .safetensors to convert the folder {source}")
    if target.exists():
        raise RunError(f"{target} exists already; name another file")
    if not is_folder:
        return to_other_format(source, target)
    return to_pth(source, target, given.step, given.seed, given.weights_only)


def to_pth(source: Path, target: Path, step: int | None, seed: int | None, bare: bool) -> str:
    """Writes an Orbax checkpoint as a ``.pth`` or ``.safetensors`` file."""
    if not (source / "config.yaml").is_file():
        raise RunError(f"{source} is no experiment's folder: there is no config.yaml in it")
    config = replace(configuration.load_config(source / "config.yaml"), output_dir=str(source))
    files = RunFiles.of(config)
    seed = files.seeds[0] if seed is None else seed
    if seed not in files.seeds:
        raise RunError(f"{source} has no seed {seed}; it has {files.seeds[0]} to {files.seeds[-1]}")
    group = next(group for group in files.groups(config.seeds_at_once) if seed in group.seeds)
    steps = orbax_steps(source, group.part)
    if not steps or (step is not None and step not in steps):
        raise RunError(f"{source} has no such checkpoint; it has {steps or 'none'}")
    start = partial(initial_state, PPO.of(config), make_settings(config), group.seeds)
    template = jax.eval_shape(start)
    with Checkpoints(group.checkpoints) as checkpoints:
        state, progress = checkpoints.restore(
            steps[-1] if step is None else step, template, devices.on_one_device(template)
        )
    contents = _contents(config, state, group.seeds.index(seed), progress)
    bare = bare or target.suffix == policies.SAFETENSORS
    policies.write(target, contents["model"] if bare else contents)
    return f"{target}: seed {seed} at step {progress.step:,}"


def to_other_format(source: Path, target: Path) -> str:
    """The weights of a ``.pth`` file as ``.safetensors``, or the other way round."""
    if {source.suffix, target.suffix} != set(FORMATS):
        raise RunError(f"{source} and {target} must end in .pth and .safetensors")
    policies.write(target, policies.state_dict(policies.read(source).weights))
    return f"{target}: the weights of {source}"


def _contents(config: TrainingConfig, state: TrainState, index: int, now: Progress) -> Any:
    """Of a ``checkpoint_*.pth``, with the learning rate in force."""
    rate = config.at(now.step).learning_rate
    return policies.of_state(state, index, rate, now.n_updates, now.step, PPO.of(config))


def to_experiment(source: Path, target: Path, config_file: str | None) -> str:
    """Makes an experiment's folder from a ``.pth`` file: what a training that starts here has."""
    if target.suffix == ".pth":
        raise RunError(f"{source} is a .pth file already; name a folder to make an experiment")
    if target.exists() and (not target.is_dir() or os.listdir(target)):
        raise RunError(f"{target} exists already and is not empty; name another folder")
    pth = policies.read(source)
    changes = {
        "experiment_name": target.name or "imported",
        "output_dir": str(target),
        "hidden_size": pth.hidden_size,
        "shared_trunk": pth.shared_trunk,
        "n_seeds": 1,
    }
    config = configuration.load_config(config_file, changes)
    check_schedules(source, pth.env_step, pth.epoch, config)
    files = RunFiles.of(config)
    if files.exists():
        raise RunError(f"{files.present()[0]} belongs to an experiment; name another folder")
    state = initial_state(PPO.of(config), make_settings(config), files.seeds)
    progress = Progress(best_reward=[float("-inf")])
    state, progress = from_weights(pth, state, progress, devices.on_one_device(state))
    files.create()
    write_atomically(files.config, configuration.dump_config(config).encode())
    ProgressLog(files.csv(config.seed)).create()
    contents = _contents(config, state, 0, progress)
    policies.write(files.checkpoint(config.seed, progress.step), contents)
    with Checkpoints(files.checkpoints) as checkpoints:
        checkpoints.save(state, progress)
        checkpoints.wait()
    return (
        f"{target}: step {progress.step:,}, ready for --resume-from {shlex.quote(str(target))}; "
        "clients, random keys and return statistics are fresh"
        + ("" if pth.adam else ", and so is Adam's state")
    )
