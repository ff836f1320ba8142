"""A training at its start: state made or restored, folders and logs in place."""

import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxtherapy import config as configuration
from jaxtherapy.config import TrainingConfig
from jaxtherapy.devices import hosts
from jaxtherapy.devices import layout as devices
from jaxtherapy.devices.programs import Programs
from jaxtherapy.ppo.optimizer import adam_state, with_adam_state
from jaxtherapy.ppo.types import TrainState
from jaxtherapy.storage import overwrite
from jaxtherapy.storage import policies as weights
from jaxtherapy.storage.checkpoints import Checkpoints, Progress
from jaxtherapy.storage.progress_log import ProgressLog
from jaxtherapy.storage.resume import Start
from jaxtherapy.storage.run_files import RunFiles, write_atomically
from jaxtherapy.training.trainer import Training, save


def prepare(config: TrainingConfig, files: RunFiles, start: Start, programs: Programs) -> Training:
    """The training at its start: state made or restored, folders and logs in place.

    With several hosts, which share the folders, the first makes and removes what there is one of.
    """
    own = devices.own_rows(programs.mesh, len(files.seeds))
    best = [float("-inf")] * len(files.seeds)
    state: TrainState
    if start.orbax_folder is not None:
        checkpoints = Checkpoints(start.orbax_folder)
        state, progress = checkpoints.restore(
            start.orbax_step, programs.template, programs.sharding
        )
        if not start.in_place:
            checkpoints.close()
            progress.csv_rows = 0
            progress.best_reward = best  # its own policy_best.pth is still to come
    else:
        state = programs.init()
        progress = Progress(best_reward=best)
        if start.pth is not None:
            state, progress = from_weights(start.pth, state, progress, programs.sharding)
    elsewhere = start.pth is not None or (start.orbax_folder is not None and not start.in_place)
    hosts.wait_for_all("read")
    recorded = configuration.dump_config(config).encode()
    if hosts.is_first_host():
        if not start.in_place and config.overwrite and files.is_first_group:
            overwrite.plan(files).carry_out()
        files.create()
        start.copy_logs(files)
        if not start.in_place:
            if elsewhere:  # tells where to start again, for seeds that have no checkpoint yet
                write_atomically(files.started_from, os.fsencode(f"{start.source}\n"))
            else:
                files.started_from.unlink(missing_ok=True)
            write_atomically(files.config, recorded)
    hosts.wait_for_all("folders made")
    logs = [ProgressLog(files.csv(files.seeds[i])) for i in own]
    stale = []
    for i, log in zip(own, logs, strict=True):
        if start.in_place and start.orbax_folder is not None:
            if log.has_better_after(progress.csv_rows, progress.best_reward[i]):
                stale.append(files.seeds[i])
            log.check(progress.csv_rows)
        else:
            log.create()
    if start.orbax_folder is None or not start.in_place:
        checkpoints = Checkpoints(files.checkpoints)
    else:
        # Latest first and the log last: whenever a kill comes, the latest checkpoint left has its
        # rows, and the log still tells which best policies are of dropped steps.
        if hosts.is_first_host():
            checkpoints.delete_after(start.orbax_step)
        own_files = files.of_group(tuple(files.seeds[i] for i in own))
        own_files.remove_after(start.orbax_step, stale, keep=not config.overwrite)
        hosts.wait_for_all("later steps dropped")
        checkpoints.reload()
        for log in logs:
            log.rewind(progress.csv_rows)
        for i, seed in enumerate(files.seeds):
            if start.new_yardstick or not files.best(seed).exists():
                progress.best_reward[i] = float("-inf")
    # On resumption only now, when nothing can be refused any more; a finished run keeps its own.
    if hosts.is_first_host() and start.in_place and progress.step < config.total_timesteps:
        write_atomically(files.config, recorded)
    training = Training(config, files, programs, checkpoints, state, progress, own, logs)
    if elsewhere:  # what was read may be gone when this run has to be resumed
        save(training)
        training.writer.wait()
        checkpoints.wait()
    return training


def from_weights(
    pth: weights.Checkpoint, state: TrainState, progress: Progress, sharding: TrainState
) -> tuple[TrainState, Progress]:
    """A fresh state with the weights, Adam's state and counters of a ``.pth`` file."""
    n_seeds = state.n_updates.shape[0]

    def like(named: weights.Arrays, placed: Any) -> Any:
        one = weights.from_named_arrays(named, jax.tree.map(lambda x: x[0], state.params))
        return jax.device_put(jax.tree.map(lambda x: jnp.stack([x] * n_seeds), one), placed)

    state = state.replace(params=like(pth.weights, sharding.params))
    if pth.adam is not None:
        places = adam_state(sharding.opt_state)
        adam = optax.ScaleByAdamState(
            count=jax.device_put(np.full(n_seeds, pth.adam.count, np.int32), places.count),
            mu=like(pth.adam.mean, places.mu),
            nu=like(pth.adam.mean_of_squares, places.nu),
        )
        epochs = np.full(n_seeds, pth.epoch, np.int32)
        state = state.replace(
            opt_state=with_adam_state(state.opt_state, adam),
            n_updates=jax.device_put(epochs, sharding.n_updates),
        )
        progress.step = progress.imported_steps = pth.env_step
        progress.epoch = pth.epoch
    return state, progress
