"""Where a run starts from: nothing, a checkpoint with its Orbax state, or a ``.pth`` alone."""

import os
import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jaxtherapy.config import TrainingConfig, get_default_config, load_config
from jaxtherapy.errors import RunError
from jaxtherapy.storage import overwrite
from jaxtherapy.storage import policies as weights
from jaxtherapy.storage.changes import changes_since, check_schedules, ended_schedules
from jaxtherapy.storage.experiment import (
    config_of,
    experiment_folder,
    orbax_steps,
    parts,
    progress_at,
    read_record,
)
from jaxtherapy.storage.logs import find_log, is_anothers, log_folder
from jaxtherapy.storage.progress import Progress
from jaxtherapy.storage.progress_log import ProgressLog
from jaxtherapy.storage.run_files import RunFiles, step_in, weights_in


@dataclass(frozen=True)
class Start:
    """What to begin with.

    Attributes:
        orbax_folder, orbax_step: the checkpoint to continue exactly, if any.
        reached: what that checkpoint says of its run, where it can be read.
        in_place: whether that is this experiment's own, rather than another's to branch off.
        pth: weights (and perhaps Adam and counters) to continue from, if any.
        source: the file or folder that was given, absolute, unless this is in place.
        new_timeline: whether settings differ from those before, so that what is later than the
            checkpoint will not be made again as it was.
        new_yardstick: whether clients or evaluation are among them, so that earlier evaluation
            rewards say nothing about later ones.
        logs: of the original, whose rows the log of a copied experiment begins with; by seed.
        note: what the user should know about it.
    """

    orbax_folder: Path | None = None
    orbax_step: int = -1
    reached: Progress | None = None
    in_place: bool = False
    pth: weights.Checkpoint | None = None
    source: Path | None = None
    new_timeline: bool = False
    new_yardstick: bool = False
    logs: tuple[tuple[int, Path], ...] = ()
    note: str = ""


# --- the configuration to continue with ---------------------------------------------------------


def source_of(config: TrainingConfig) -> Path:
    """What is to be continued, of a configuration that continues something."""
    given = config.resume_from
    return config.output_path if given is None else Path(given)


def base_config(given: dict[str, Any]) -> Path | None:
    """The configuration to resume with when no ``--config`` is given: the experiment's own."""
    if given.get("resume_from"):
        candidate = _config_beside(Path(str(given["resume_from"])))
    elif str(given.get("resume", "false")).lower() in ("true", "yes", "on", "1", "auto"):
        candidate = load_config(None, given).output_path / "config.yaml"
    else:
        return None
    return candidate if candidate and os.path.isfile(candidate) else None


def _config_beside(path: Path) -> Path | None:
    """The configuration of the experiment that a path belongs to.

    That of a ``.pth`` file only in a folder that a run or convert made: anywhere else, a
    ``config.yaml`` beside it may be about anything.
    """
    try:
        folder = experiment_folder(path)
        signs = (folder / name for name in ("run.json", "checkpoints"))
        made_here = path.is_dir() or any(map(Path.exists, signs))
    except (OSError, ValueError):  # find_start says what is wrong
        return None
    return folder / "config.yaml" if made_here else None


def where_it_lies(config: TrainingConfig, given: Collection[str] = ()) -> TrainingConfig:
    """With the places of the experiment to continue, where no other name or place is given:
    explicitly, or by differing from defaults and from what the experiment was trained with."""
    if not (config.resume or config.resume_from):
        return config
    beside = _config_beside(source_of(config))
    recorded = read_record(beside.parent) if beside else None
    if beside is None or recorded is None:
        return config

    def is_another(name: str) -> bool:
        known = getattr(recorded, name), getattr(get_default_config(), name)
        return name in given or getattr(config, name) not in known

    folder, output, log = beside.parent, config.output_dir, config.log_dir
    if source_of(config).is_dir() and not is_another("experiment_name"):
        config = replace(config, experiment_name=recorded.experiment_name)
    if config.experiment_name != recorded.experiment_name:
        # A folder that was moved is recorded as it is, without the name to replace.
        fixed = "{experiment_name}" not in output and not is_another("output_dir")
        if fixed and recorded.output_path.resolve() == folder.resolve():
            output = str(folder.parent / "{experiment_name}")
            if log == recorded.log_dir == recorded.output_dir:
                log = output
        return replace(config, output_dir=output, log_dir=log)
    if is_another("output_dir") and config.output_path.resolve() != folder.resolve():
        return config
    if config.output_path.resolve() != folder.resolve():
        output = str(folder)
    if not is_another("log_dir"):
        log = str(log_folder(folder, recorded))
        log = recorded.log_dir if Path(log) == recorded.log_path else log
    return replace(config, output_dir=output, log_dir=log)


def as_trained(config: TrainingConfig) -> TrainingConfig:
    """With the groups of the run to continue, where the configuration leaves them open."""
    if not (config.resume or config.resume_from) or config.seeds_at_once is not None:
        return config
    beside = _config_beside(source_of(config))
    trained_with = config_of(beside.parent) if beside else None
    return config.replace(seeds_at_once=trained_with.seeds_at_once) if trained_with else config


# --- where to start -----------------------------------------------------------------------------


def find_start(config: TrainingConfig, files: RunFiles, again: bool = False) -> Start:
    """Decides where to start, touching nothing. ``again``: this experiment began from there
    already, but has no checkpoint of its own yet.
    Raises RunError: there is something that would be overwritten, nothing to resume, or a
    mismatch."""
    if config.resume_from is not None and config.resume:
        raise RunError("both --resume and --resume-from are given; keep one")
    if config.resume and config.overwrite:
        raise RunError(
            "--resume continues what --overwrite would replace; keep one, or say with "
            "--resume-from which checkpoint to go back to"
        )
    source = source_of(config)
    try:
        if config.resume_from is None and not config.resume:
            if config.overwrite:
                return Start(note=overwrite.plan(files).note)
            if occupied := overwrite.occupied(files):
                raise RunError(occupied)
            return Start()
        if config.resume == "auto" and not files.exists():
            return Start()
        if not source.exists():
            raise RunError(f"{source} does not exist; there is nothing to resume")
        find = _from_folder if source.is_dir() else _from_file
        start = find(source, config, files, again)
        if not start.in_place and config.overwrite:
            note = overwrite.plan(files).note
            start = replace(start, note="; ".join(filter(None, [start.note, note])))
        return start if start.in_place or start.source else replace(start, source=source.absolute())
    except OSError as error:
        path = error.filename or source
        raise RunError(f"{path} can't be read: {error.strerror or error}") from None


def _from_folder(folder: Path, config: TrainingConfig, files: RunFiles, again: bool) -> Start:
    experiment = experiment_folder(folder)
    steps = orbax_steps(experiment, files.part)
    if steps:
        return _exact(experiment, steps[-1], config, files, again)
    if any(orbax_steps(experiment, part) for part in parts(experiment)):
        changes_since(experiment, config)  # of other seeds or groups, or these have yet to begin
    if _is_own(experiment, files) and files.config.exists() and not again:
        weights_there = any(weights_in(files.weights_folder(seed)) for seed in files.seeds)
        if weights_there and not files.checkpoints.exists():  # a run makes the folder first
            raise RunError(
                f"{folder} has weights, but no checkpoints to resume; continue from one of its "
                ".pth files with another --experiment-name, or start anew with --overwrite"
            )
        starting_over = "no checkpoint had been written yet: starting over"
        if not files.started_from.exists():
            return Start(in_place=True, note=starting_over)
        origin = os.fsdecode(files.started_from.read_bytes()).removesuffix("\n")
        start = find_start(replace(config, resume=False, resume_from=origin), files, again=True)
        return replace(start, note=f"{starting_over}, {start.note}")
    what = "give an experiment's folder or a .pth file"
    if config.resume:
        what = "start without --resume, or with --resume auto, which does both"
    raise RunError(f"{folder} holds no checkpoints; {what}")


def _from_file(path: Path, config: TrainingConfig, files: RunFiles, again: bool) -> Start:
    pth = weights.read(path)  # a damaged file is refused even where its Orbax checkpoint is whole
    experiment = experiment_folder(path)
    step = step_in(path.name)
    steps = orbax_steps(experiment, files.part)
    if step is not None and step in steps:
        return _exact(experiment, step, config, files, again)
    behind = step is not None and (not steps or steps[-1] < step)
    if files.part and behind and _is_own(experiment, files) and not again:
        return _from_folder(experiment, config, files, again)  # seeds that had not come so far
    if _is_own(experiment, files) and config.overwrite:
        raise RunError(
            f"{path} lies in the folder that --overwrite would empty; move it, or give another "
            "--experiment-name"
        )
    if not again:
        _refuse_occupied(files, config, f"{path} has no Orbax checkpoint to continue exactly, and ")
    if pth.adam is not None and pth.env_step >= config.total_timesteps:
        raise RunError(
            f"{path} is at step {pth.env_step} already; pass --total-timesteps beyond it"
        )
    if pth.hidden_size != config.hidden_size:
        raise RunError(
            f"{path} has hidden_size {pth.hidden_size}, this configuration {config.hidden_size}; "
            f"pass --hidden-size {pth.hidden_size}"
        )
    if pth.shared_trunk != config.shared_trunk:
        wanted = str(pth.shared_trunk).lower()
        raise RunError(f"{path} has shared_trunk {wanted}; pass --shared-trunk {wanted}")
    check_schedules(path, pth.env_step, pth.epoch, config)
    if pth.adam is None:
        restored = "weights only: Adam's state, counters and return statistics start anew"
    else:
        restored = (
            "weights, Adam's state and counters; clients, random keys and return statistics "
            "could not be restored and start anew"
        )
    note = "; ".join([f"from {path}: {restored}", *ended_schedules(config, pth.env_step)])
    return Start(pth=pth, note=note)


def _is_own(experiment: Path, files: RunFiles) -> bool:
    return experiment.resolve() == files.output.resolve()


def _refuse_occupied(files: RunFiles, config: TrainingConfig, why: str = "") -> None:
    """Never advises to overwrite: what is there need not be what the user has in mind."""
    if config.overwrite or not files.exists():
        return
    path = files.present(any_seed=True)[0]
    where = files.output if path.is_relative_to(files.output) else path
    raise RunError(f"{why}{where} holds an experiment already; choose another --experiment-name")


def _exact(
    experiment: Path, step: int, config: TrainingConfig, files: RunFiles, again: bool
) -> Start:
    changes, new_yardstick = changes_since(experiment, config)
    in_place = _is_own(experiment, files)
    later = [each for each in orbax_steps(experiment, files.part) if each > step]
    if in_place and later and not config.overwrite:
        raise RunError(
            f"{experiment} has {len(later)} checkpoints after step {step}, up to {later[-1]}; "
            "continue the latest with --resume, drop them with --overwrite, or branch off with "
            "another --experiment-name"
        )
    done = step >= config.total_timesteps
    if in_place and done and (later or not all(files.final(seed).exists() for seed in files.seeds)):
        raise RunError(
            f"{experiment} is at step {step} already, without a final policy; pass "
            "--total-timesteps beyond it"
        )
    if not in_place and not again:
        _refuse_occupied(files, config)
    if not in_place and done:
        raise RunError(
            f"{experiment} is at step {step} already; branch off with --total-timesteps beyond it"
        )
    progress = progress_at(experiment, step, files.part)
    if progress:
        check_schedules(experiment, step, progress.n_updates, config)
    notes = [f"continuing at step {step:,}" + ("" if in_place else f", into {files.output}")]
    notes += [*changes.values(), *ended_schedules(config, step)]
    logs: tuple[tuple[int, Path], ...] = ()
    if in_place:
        _check_own_log(experiment, files)
        logs = _original_logs(experiment, files)
        notes += _dropped(step, progress, files, dict(logs), config.overwrite)
        if logs:
            notes.append(f"its log goes on in {files.log}: {logs[0][1]} is the original's")
        if new_yardstick:
            notes.append("policy_best.pth is chosen anew, by evaluations from here on")
    return Start(
        experiment / "checkpoints" / files.part,
        step,
        progress,
        in_place,
        new_timeline=bool(changes),
        new_yardstick=new_yardstick,
        logs=logs,
        note="; ".join(notes),
    )


def _check_own_log(experiment: Path, files: RunFiles) -> None:
    recorded = read_record(experiment)
    if recorded and is_anothers(
        files.log, experiment, replace(recorded, experiment_name=files.name)
    ):
        raise RunError(
            f"the log in {files.log} is another copy's of {experiment}; continue with "
            f"--resume-from {shlex.quote(str(experiment))}, which has a log of its own"
        )


def _original_logs(experiment: Path, files: RunFiles) -> tuple[tuple[int, Path], ...]:
    """The logs of the experiment that this one is a copy of, where it has none of its own."""
    recorded = read_record(experiment)
    if recorded is None:
        return ()
    missing = [seed for seed in files.seeds if not files.csv(seed).exists()]
    found = ((seed, find_log(experiment, seed, any_later=True)) for seed in missing)
    return tuple((seed, log) for seed, log in found if log)


def _dropped(
    step: int,
    progress: Progress | None,
    files: RunFiles,
    copied: Mapping[int, Path],
    overwriting: bool,
) -> list[str]:
    """What going back to a step costs, in words.
    Raises RunError: a log is missing, has lost rows, or has cells that are no numbers."""
    told = []
    if later := files.later_weights(step):
        done = "removed"
        if not overwriting:
            done = (
                f"set aside in later_than_{step}, as no Orbax checkpoint of theirs is there; they "
                "stay until you remove them, whatever keep_checkpoints is"
            )
        told.append(f"{len(later)} checkpoint_*.pth of later steps are {done}")
    logs = [ProgressLog(copied.get(seed, files.csv(seed))) for seed in files.seeds]
    n_rows = progress.csv_rows if progress else 0  # else restoring says what is damaged
    try:
        for log in logs:
            log.check(n_rows)
    except RunError as error:  # a branch takes the whole state along and has a log of its own
        source = shlex.quote(str(files.output))
        raise RunError(
            f"{error}, or branch off with all but the log: --resume-from {source} "
            f"--experiment-name {shlex.quote(files.name + '_2')}"
        ) from None
    there = [log for log in logs if log.path.is_file()]
    if progress and (rows := sum(len(log.rows()) - n_rows for log in there)):
        told.append(f"{rows} later rows of the log are made again")
    return told
