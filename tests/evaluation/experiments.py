"""Experiments as trainings leave them, made without training."""

from dataclasses import replace
from functools import partial

import jax
from flax import nnx

from jaxtherapy.config import TrainingConfig, save_config
from jaxtherapy.config.settings import PPO
from jaxtherapy.networks.actor_critic import make_networks
from jaxtherapy.storage import policies as weights
from jaxtherapy.storage.progress_log import COLUMNS


@partial(jax.jit, static_argnums=0)
def initial(hidden_size, seed):
    return nnx.state(make_networks(PPO(hidden_size=hidden_size), jax.random.key(seed)), nnx.Param)


def write_policy(path, hidden_size=4, seed=0):
    """Weights as a training writes them, untrained."""
    path.parent.mkdir(parents=True, exist_ok=True)
    params = initial(hidden_size, seed)
    weights.write(path, weights.state_dict(weights.to_named_arrays(params)))


def write_experiment(folder, seeds=(), hidden_size=4, **settings):
    """The folder of a training: its configuration and the weights of each seed."""
    folder.mkdir(parents=True)
    places = {"experiment_name": folder.name, "log_dir": str(folder / "logs")}
    config = TrainingConfig(hidden_size=hidden_size, **places)
    config = replace(config, n_seeds=max(1, len(seeds)), seed=seeds[0] if seeds else 42, **settings)
    save_config(config, folder / "config.yaml")
    for number, place in enumerate([folder / f"seed_{seed}" for seed in seeds] or [folder]):
        write_policy(place / "policy_best.pth", hidden_size, seed=number)
    return folder


def write_log(path, steps=(512, 1024, 1536)):
    """A log with a row for each of these steps."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [",".join(str(step if name == "step" else 0.5) for name in COLUMNS) for step in steps]
    path.write_text("\n".join([",".join(COLUMNS), *rows]) + "\n")
    return path
