"""What can go wrong in a run, in one line each."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtherapy.config import TrainingConfig
from jaxtherapy.config.settings import PPO
from jaxtherapy.devices import capacity, hosts
from jaxtherapy.devices.programs import StoppedWhileCompiling
from jaxtherapy.errors import RunError, is_out_of_memory
from jaxtherapy.storage import run_info
from jaxtherapy.storage.run_files import RunFiles
from jaxtherapy.training.group import Group


@contextlib.contextmanager
def in_one_line(config: TrainingConfig, files: RunFiles, info: dict[str, Any]) -> Iterator[None]:
    """Turns what can go wrong while training into one line, which ``run.json`` has too, with the
    ``info`` that it has already."""
    try:
        yield
    except BaseException as error:
        failure = _explained(error, config, files)
        if info:
            interrupted = isinstance(error, KeyboardInterrupt | StoppedWhileCompiling)
            _record(files, info, "interrupted" if interrupted else "failed", failure)
        if failure is error:
            raise
        raise failure from None


def _explained(error: BaseException, config: TrainingConfig, files: RunFiles) -> BaseException:
    if isinstance(error, OSError):
        return _cannot_write(error, files.output)
    if not isinstance(error, jax.errors.JaxRuntimeError):
        return error
    if is_out_of_memory(error):
        resumed = bool(config.resume or config.resume_from)
        return capacity.out_of_memory(PPO.of(config), len(files.seeds), resumed)
    reason = " ".join(str(error).split())[:200]
    if jax.process_count() > 1:
        return RunError(f"{hosts.LOST} ({reason})", exit_code=1)
    return RunError(f"the device reported: {reason}", exit_code=1)


def _cannot_write(error: OSError, folder: Path) -> RunError:
    """Of a full disk, a read-only or vanished folder."""
    path = error.filename or folder
    return RunError(
        f"can't write {path}: {error.strerror or error}; what was saved before is intact: make "
        "room or put the folder back, then continue with --resume",
        exit_code=1,
    )


def _record(files: RunFiles, info: dict[str, Any], status: str, error: BaseException) -> None:
    reason = " ".join(str(error).split())[:200]
    if status == "interrupted":
        reason = "Ctrl-C, twice" if isinstance(error, KeyboardInterrupt) else "while compiling"
    elif not isinstance(error, RunError):  # a callback's, say
        reason = f"{type(error).__name__}: {reason}"
    ended = {"status": status, "reason": reason, "ended": run_info.now()}
    with contextlib.suppress(OSError):
        run_info.write(files.run, info | ended)


@contextlib.contextmanager
def at_the_end(folder: Path | None, finished: bool) -> Iterator[None]:
    """The same for tables and pictures, when ``run.json`` has its status already."""
    saved = f" and saved in {folder}" if folder else ""
    try:
        yield
    except KeyboardInterrupt:
        if not finished:
            raise
        later = "; --resume compares therapists" if folder else ""
        raise KeyboardInterrupt(f"interrupted; the training is complete{saved}{later}") from None
    except OSError as error:
        raise _cannot_write(error, folder or Path()) from None
    except jax.errors.JaxRuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise RunError(
            f"out of memory while comparing therapists; the training is complete{saved}: "
            "evaluate it where more memory is free",
            exit_code=1,
        ) from None


# --- divergence -----------------------------------------------------------------------------


def note_diverged(now: Group, diverged: np.ndarray, updates: np.ndarray) -> Iterator[str]:
    """Of several seeds, which stand still from now on; the others go on."""
    for i in np.flatnonzero(diverged):
        seed = now.seeds[i]
        if seed not in now.diverged:
            missing = (now.progress.n_updates - int(updates[i])) * now.config.steps_per_update
            now.diverged[seed] = now.progress.step - missing
            yield (
                f"seed {seed} diverged in the update after step {now.diverged[seed]:,}; it "
                "keeps its last good state, the others go on"
            )


def stop_diverged(now: Group, save: Callable[[], None]) -> RunError:
    """Saves the last good state of the only seed; says what probably happened."""
    progress, where = now.progress, ""
    done = int(np.max(hosts.fetch(now.state.n_updates)))
    progress.step += (done - progress.n_updates) * now.config.steps_per_update
    progress.n_updates = done
    now.state = now.state.replace(diverged=jnp.zeros_like(now.state.diverged))
    if now.saver:
        if progress.step not in now.saved_steps():
            save()
            now.saver.wait()
        where = f". The last good state is in {now.saver.files.output}"
    return RunError(
        f"training diverged in the update after step {progress.step:,}: "
        f"{what_diverged(now.config_now)}{where}",
        exit_code=1,
    )


def some_diverged(diverged: dict[int, int], config: TrainingConfig) -> RunError:
    """Of several seeds that are finished."""
    seeds = ", ".join(map(str, diverged))
    return RunError(
        f"{len(diverged)} of {config.n_seeds} seeds diverged and stand at their last good state, "
        f"in every file too: {seeds}; {what_diverged(config)}",
        exit_code=1,
    )


def what_diverged(config: TrainingConfig) -> str:
    """What happened and why, probably."""
    return f"a loss, gradient or weight is not finite; {likely_cause(config)}"


def likely_cause(config: TrainingConfig) -> str:
    """The setting furthest from where PPO is stable."""
    if config.learning_rate > 3e-3:
        return f"likely cause: learning_rate {config.learning_rate:g} is high, try 3e-4"
    if config.max_grad_norm is None or config.max_grad_norm > 10:
        return f"likely cause: max_grad_norm is {config.max_grad_norm}, try 0.5"
    if config.clip_range > 1 or config.vf_coef > 10 or config.ent_coef > 1:
        return "likely cause: clip_range, vf_coef or ent_coef is far above the defaults"
    if config.precision == "bfloat16":
        return "likely cause: precision bfloat16, try float32"
    return f"try a learning_rate below {config.learning_rate:g}"
