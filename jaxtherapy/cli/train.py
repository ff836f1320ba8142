"""Train a therapist: ``python -m jaxtherapy.train --config configs/quickstart.yaml``."""

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import jax
import numpy as np
from rich.console import Console

from jaxtherapy import config as configuration
from jaxtherapy.cli.launch import ends_in_one_line
from jaxtherapy.config import TrainingConfig
from jaxtherapy.config.settings import PPO
from jaxtherapy.devices import capacity as memory
from jaxtherapy.devices import hosts
from jaxtherapy.devices import layout as devices
from jaxtherapy.devices.programs import StoppedWhileCompiling, compile_programs
from jaxtherapy.errors import RunError, is_out_of_memory
from jaxtherapy.ppo.types import Settings, make_settings
from jaxtherapy.reporting.learning_curves import draw_learning_curve
from jaxtherapy.storage import disk_space as disk
from jaxtherapy.storage import resume, run_info
from jaxtherapy.storage.locks import ExperimentLock
from jaxtherapy.storage.resume import Start
from jaxtherapy.storage.run_files import RunFiles
from jaxtherapy.training import trainer as loop
from jaxtherapy.training.display import TrainingDisplay, console
from jaxtherapy.training.signals import StopRequest
from jaxtherapy.training.start import prepare
from jaxtherapy.training.summary import COMPARED, Spent, across_seeds, print_summary
from jaxtherapy.training.trainer import Training


@ends_in_one_line("interrupted; continue from the latest checkpoint with --resume")
def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns its exit code: 0, or 2 for what can't be run, 1 for what broke off."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    config, notes = read_configuration(arguments)
    return train(config, notes, ["python", "-m", "jaxtherapy.train", *arguments])


@cache
def _parser() -> argparse.ArgumentParser:
    return configuration.build_parser("python -m jaxtherapy.train", __doc__ or "")


def read_configuration(arguments: Sequence[str]) -> tuple[TrainingConfig, list[str]]:
    """The configuration in force (flag, then file, then default), and what to tell about it."""
    given = configuration.parse_flags(_parser(), arguments)
    path = given.pop("config", None) or resume.base_config(given)
    config = resume.where_it_lies(configuration.load_config(path, given), given.keys())
    notes = []
    if path is not None:
        in_file = configuration.read_config_file(path)
        for name in given.keys() & in_file.keys() & configuration.SETTINGS.keys():
            before = configuration.checked(name, in_file[name])
            after = configuration.checked(name, given[name])
            if before != after:
                flag = configuration.flag(name)
                old, new = configuration.as_given(before), configuration.as_given(after)
                notes.append(f"{flag} {new} replaces {name}: {old} of {path}")
        given = in_file | given
    for name in given.keys() & configuration.IGNORED.keys():
        notes.append(f"{name} is ignored: {configuration.IGNORED[name]}")
    return config, sorted(notes)


def train(config: TrainingConfig, notes: list[str], command: list[str]) -> int:
    """Runs a whole training; see the module's docstring for the command."""
    config = resume.as_trained(config)
    files = RunFiles.of(config)
    for group in files.groups(config.seeds_at_once):
        resume.find_start(config, group)
    if hosts.are_several(config) and (code := hosts.supervise()) is not None:
        return code
    devices.choose_device(config.device, config)
    out = console(quiet=not hosts.is_first_host())
    try:
        with ExitStack() as held:
            stop = held.enter_context(StopRequest())
            if hosts.is_first_host():
                notes = [*notes, *_hold(files, held)]
            run = Run(config, PPO.of(config), make_settings(config), stop, out, command)
            return _train_all(run, files, notes)
    except BaseException as error:
        if jax.process_count() > 1:  # leaving in good order would wait for hosts that are gone
            hosts.leave(error)
        raise


@dataclass(frozen=True)
class Run:
    """What stays the same for all groups of seeds."""

    config: TrainingConfig
    ppo: PPO
    settings: Settings
    stop: StopRequest
    out: Console
    command: list[str]


def _hold(files: RunFiles, held: ExitStack) -> list[str]:
    """Keeps other runs out until the end of this one; says where that is impossible."""
    try:
        locks = ExperimentLock(files.output), ExperimentLock(files.log, f".{files.name}.lock")
        notes = [held.enter_context(lock).note for lock in locks]
        files.sweep()
        return list(filter(None, notes))[:1]
    except OSError as error:
        raise RunError(
            f"can't write to {error.filename or files.output}: {error.strerror}; choose other "
            "folders with --output-dir and --log-dir"
        ) from None


def _train_all(run: Run, files: RunFiles, notes: list[str]) -> int:
    """Trains all groups of seeds (usually one), one after another."""
    config, out = run.config, run.out
    if config.n_seeds > 1 and not (config.resume or config.resume_from):
        plan = memory.plan(
            run.ppo,
            run.settings,
            config.n_seeds,
            config.seeds_at_once,
            -int(hosts.largest(-memory.available_bytes())[0]),
            len(devices.usable_devices(config.n_seeds)),
        )
        notes = [*notes, str(plan)]
        if plan.n_groups > 1:
            config = replace(config, seeds_at_once=plan.seeds_at_once)
            run = replace(run, config=config)
    notes = [*notes, disk.note(run.ppo, run.settings, config)]
    groups = files.groups(config.seeds_at_once)
    mesh = devices.make_mesh(len(groups[0].seeds), run.ppo)
    out.print(
        f"{config.experiment_name} on {devices.describe(mesh)}, "
        f"{config.total_timesteps:,} steps, "
        + (f"seed {config.seed}" if config.n_seeds == 1 else f"{config.n_seeds} seeds")
    )
    # Again, now that other runs are kept out; and for all groups before one of them is touched.
    starts = [resume.find_start(config, group) for group in groups]
    idle = devices.idle(mesh, len(groups[0].seeds))
    for note in filter(None, [idle, *notes, *dict.fromkeys(start.note for start in starts)]):
        out.print(note)
    best: dict[int, float] = {}
    diverged: dict[int, int] = {}
    seconds, steps = 0.0, 0
    for number, (group, start) in enumerate(zip(groups, starts, strict=True), 1):
        if len(groups) > 1:
            first, last = group.seeds[0], group.seeds[-1]
            out.print(f"group {number} of {len(groups)}: seeds {first} … {last}")
        training, fresh = _train_group(run, group, start)
        best |= dict(zip(group.seeds, training.progress.best_reward, strict=True))
        diverged |= training.diverged
        seconds += training.progress.duration
        steps += training.progress.timed_steps * len(group.seeds)
        training.programs = training.state = None  # type: ignore[assignment]  # room for the next
        if not training.finished:
            break
    else:
        if not fresh and run_info.status(files.run) == "finished":
            out.print(
                f"nothing left to do at step {training.progress.step:,}; "
                "train on with a higher --total-timesteps"
            )
            return 0
    hosts.wait_for_all("written")
    if hosts.is_first_host():
        _finish(run, files, training, Spent(seconds, steps), best, diverged)
    hosts.wait_for_all("finished")
    if diverged:
        raise RunError(
            f"{len(diverged)} of {config.n_seeds} seeds diverged and stand at their last good "
            f"state, in every file too: {', '.join(map(str, diverged))}; "
            f"{loop.what_diverged(config)}",
            exit_code=1,
        )
    return 0


def _train_group(run: Run, files: RunFiles, start: Start) -> tuple[Training, bool]:
    """Compiles, trains and saves; also returns whether there was anything left to do."""
    config, stop, out = run.config, run.stop, run.out
    clock = time.monotonic()
    try:
        with out.status("compiling"):
            n_evaluations = (config.total_timesteps // config.eval_freq + 1) * len(files.seeds)
            programs = compile_programs(run.ppo, run.settings, files.seeds, stop, n_evaluations)
        compile_seconds = time.monotonic() - clock
        out.print(f"compiled in {compile_seconds:.1f} s")
        training = prepare(config, files, start, programs)
    except StoppedWhileCompiling:
        out.print(f"stopped by {stop.signal_name} before the first update; nothing to save")
        sys.stdout.flush()
        os._exit(0)  # a compiler thread is still at work and can't be asked to stop
    except OSError as error:
        raise loop.cannot_write(error, files.output) from None
    except jax.errors.JaxRuntimeError as error:
        raise _runtime_error(error, config, len(files.seeds)) from None
    try:
        if training.finished:
            return training, False
        info = run_info.describe(training.state.params, run.command)
        info |= {"seeds": list(files.all_seeds), "compile_seconds": round(compile_seconds, 3)}
        _train(training, info, stop, out)
        return training, True
    finally:
        training.writer.close()
        training.checkpoints.close()


def _train(training: Training, info: dict[str, Any], stop: StopRequest, out: Console) -> None:
    """The loop, with ``run.json`` telling how it stands."""
    config, files = training.config, training.files
    try:
        if hosts.is_first_host():
            run_info.write(files.run, info)
        with TrainingDisplay(out, config.total_timesteps, training.progress.step) as display:
            loop.run(training, display, stop)
        training.checkpoints.wait()
    except RunError as error:
        _record_failure(files, info, error)
        raise
    except OSError as error:
        raise loop.cannot_write(error, files.output) from None
    except jax.errors.JaxRuntimeError as error:
        failure = _runtime_error(error, config, len(files.seeds))
        _record_failure(files, info, failure)
        raise failure from None


def _record_failure(files: RunFiles, info: dict[str, Any], error: RunError) -> None:
    if not hosts.is_first_host():
        return
    with contextlib.suppress(OSError):
        failed = {"status": "failed", "reason": str(error), "ended": run_info.now()}
        run_info.write(files.run, info | failed)


def _finish(
    run: Run,
    files: RunFiles,
    training: Training,
    spent: Spent,
    best: dict[int, float],
    diverged: dict[int, int],
) -> None:
    """Pictures, tables, and the end of ``run.json``.

    Args:
        run, files: the whole of it.
        training: of the last group.
        spent: on all groups.
        best: the best evaluation reward of each seed that was trained.
        diverged: the seeds that stood still, and from which step.
    """
    config, out, progress = run.config, run.out, training.progress
    several = config.n_seeds > 1
    try:
        info = run_info.read(files.run)
        info |= {
            "status": "finished" if training.finished else "interrupted",
            "ended": run_info.now(),
            "steps": progress.step,
            "train_seconds": round(spent.seconds, 3),
            "steps_per_second": round(spent.steps_per_second, 1),
            "best_evaluation_reward": [
                best[seed] if np.isfinite(best.get(seed, np.nan)) else None
                for seed in files.all_seeds
            ],
            "diverged": {str(seed): step for seed, step in diverged.items()},
        }
        seed = across_seeds(files, list(best), out) if several else files.seeds[0]
        if training.finished:
            if not several:
                draw_learning_curve(training.logs[0], config.experiment_name, files.picture)
            run_info.write(files.run, info)
            result = print_summary(config, files, seed, progress.step, spent, out)
            info["comparison"] = {"therapists": COMPARED} | {
                name: np.asarray(values).tolist() for name, values in result._asdict().items()
            }
        else:
            out.print(
                f"stopped by {run.stop.signal_name or 'another host'} at step "
                f"{progress.step:,}; everything is saved: continue with --resume-from "
                f"{files.output}"
            )
        run_info.write(files.run, info)
    except OSError as error:
        raise loop.cannot_write(error, files.output) from None
    except jax.errors.JaxRuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise RunError(
            "out of memory while comparing therapists; the training is complete and saved in "
            f"{files.output}: evaluate it where more memory is free",
            exit_code=1,
        ) from None


def _runtime_error(error: Exception, config: TrainingConfig, n_seeds: int) -> RunError:
    if is_out_of_memory(error):
        resumed = bool(config.resume or config.resume_from)
        return memory.out_of_memory(PPO.of(config), n_seeds, resumed)
    reason = " ".join(str(error).split())[:200]
    if jax.process_count() > 1:
        return RunError(f"{hosts.LOST} ({reason})", exit_code=1)
    return RunError(f"the device reported: {reason}", exit_code=1)
