"""A training at its start: folders locked, memory planned, state and logs in place."""

import os
import shutil
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxtherapy import config as configuration
from jaxtherapy.config import TrainingConfig
from jaxtherapy.config.settings import PPO
from jaxtherapy.devices import capacity, hosts, layout
from jaxtherapy.devices.programs import Programs
from jaxtherapy.errors import RunError
from jaxtherapy.ppo.optimizer import adam_state, with_adam_state
from jaxtherapy.ppo.types import Settings, TrainState
from jaxtherapy.storage import overwrite, policies
from jaxtherapy.storage.checkpoints import Checkpoints
from jaxtherapy.storage.files import write_atomically
from jaxtherapy.storage.locks import ExperimentLock
from jaxtherapy.storage.logs import claim
from jaxtherapy.storage.progress import NEVER, Progress
from jaxtherapy.storage.progress_log import ProgressLog
from jaxtherapy.storage.resume import Start
from jaxtherapy.storage.run_files import RunFiles
from jaxtherapy.training import early_stopping
from jaxtherapy.training.saving import Saver


def lock(files: RunFiles, held: ExitStack) -> list[str]:
    """Keeps other runs out until the end of this one. Returns what the user should know."""
    try:
        locks = ExperimentLock(files.output), ExperimentLock(files.log, f".{files.name}.lock")
        notes = [held.enter_context(each).note for each in locks]
        files.sweep()
    except OSError as error:
        raise RunError(
            f"can't write to {error.filename or files.output}: {error.strerror}; choose other "
            "folders with --output-dir and --log-dir"
        ) from None
    return list(filter(None, notes))[:1]


def planned(config: TrainingConfig, ppo: PPO, settings: Settings) -> tuple[TrainingConfig, str]:
    """With as many seeds at once as fit into memory, and what follows from that.

    A run that is continued keeps its groups, and one seed needs no plan.
    Raises RunError: not even one seed fits."""
    if config.n_seeds == 1 or config.resume or config.resume_from:
        return config, ""
    plan = capacity.plan(
        ppo,
        settings,
        config.n_seeds,
        config.seeds_at_once,
        -int(hosts.largest(-capacity.available_bytes())[0]),
        len(layout.usable_devices(config.n_seeds)),
    )
    if plan.n_groups > 1:
        config = replace(config, seeds_at_once=plan.seeds_at_once)
    return config, str(plan)


def first_state(start: Start, programs: Programs) -> tuple[TrainState, Progress]:
    """Made anew, or read from where the run starts."""
    n_seeds = programs.template.n_updates.shape[0]
    if start.orbax_folder is None:
        state, progress = programs.init(), Progress(best_reward=[NEVER] * n_seeds)
        if start.pth is None:
            return state, progress
        return from_weights(start.pth, state, progress, programs.sharding)
    with Checkpoints(start.orbax_folder) as checkpoints:
        state, progress = checkpoints.restore(
            start.orbax_step, programs.template, programs.sharding
        )
    if not start.in_place:
        progress.csv_rows = 0
        progress.forget_evaluations()  # its own policy_best.pth is still to come
    return state, progress


def prepare_folders(
    config: TrainingConfig, files: RunFiles, start: Start, progress: Progress, saver: Saver
) -> None:
    """Makes or rewinds folders, checkpoints and logs; changes ``progress`` to what they say.

    With several hosts, which share the folders, the first makes and removes what there is one of.
    """
    hosts.wait_for_all("read")
    recorded = configuration.dump_config(config).encode()
    if hosts.is_first_host():
        _make_folders(config, files, start, recorded)
    hosts.wait_for_all("folders made")
    if start.in_place and start.orbax_folder is not None:
        _rewind(config, files, start, progress, saver)
    else:
        for i in saver.own:
            ProgressLog(files.csv(files.seeds[i])).create()
    # On resumption only now, when nothing can be refused any more; a finished run keeps its own.
    if hosts.is_first_host() and start.in_place and not progress.is_done(config.total_timesteps):
        write_atomically(files.config, recorded)


def _make_folders(config: TrainingConfig, files: RunFiles, start: Start, recorded: bytes) -> None:
    if not start.in_place and config.overwrite and files.is_first_group:
        overwrite.plan(files).carry_out()
    files.create()
    for seed, log in start.logs:  # a copied experiment gets a log of its own
        shutil.copyfile(log, files.csv(seed))
    claim(files)
    files.checkpoints.mkdir(parents=True, exist_ok=True)  # Orbax comes later
    if start.in_place:
        return
    if start.source is not None:  # tells where to start again, for seeds without a checkpoint yet
        write_atomically(files.started_from, os.fsencode(f"{start.source}\n"))
    else:
        files.started_from.unlink(missing_ok=True)
    write_atomically(files.config, recorded)


def _rewind(
    config: TrainingConfig, files: RunFiles, start: Start, progress: Progress, saver: Saver
) -> None:
    """Drops what is later than the checkpoint: it will be made again."""
    logs = {files.seeds[i]: ProgressLog(files.csv(files.seeds[i])) for i in saver.own}
    best = dict(zip(files.seeds, progress.best_reward, strict=True))
    n_rows = progress.csv_rows
    stale = [
        seed
        for seed, log in logs.items()
        if log.has_better_after(n_rows, best[seed])
        # Else the same evaluations come again, and the same best policy.
        and (start.new_timeline or files.of_group((seed,)).later_weights(start.orbax_step))
    ]
    for log in logs.values():
        log.check(n_rows)
    # Latest first and the log last: whenever a kill comes, the latest checkpoint left has its
    # rows, and the log still tells which best policies are of dropped steps.
    if hosts.is_first_host():
        steps = saver.checkpoints.steps()
        saver.checkpoints.delete(each for each in reversed(steps) if each > start.orbax_step)
    files.of_group(tuple(logs)).remove_after(start.orbax_step, stale, keep=not config.overwrite)
    hosts.wait_for_all("later steps dropped")
    saver.checkpoints.reload()
    for log in logs.values():
        log.rewind(n_rows)
    progress.best_reward = [
        reward if files.best(seed).exists() else NEVER for seed, reward in best.items()
    ]
    if start.new_yardstick:
        progress.forget_evaluations()
    progress.ended_early = early_stopping.still(config, progress)


def from_weights(
    pth: policies.Checkpoint, state: TrainState, progress: Progress, sharding: TrainState
) -> tuple[TrainState, Progress]:
    """A fresh state with the weights, Adam's state and counters of a ``.pth`` file."""
    n_seeds = state.n_updates.shape[0]

    def like(named: policies.Arrays, placed: Any) -> Any:
        one = policies.from_named_arrays(named, jax.tree.map(lambda x: x[0], state.params))
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
        progress.n_updates = pth.epoch
    return state, progress
