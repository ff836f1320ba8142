"""What can go wrong while training, in one line each."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

from jaxtherapy.config import TrainingConfig
from jaxtherapy.config.settings import PPO
from jaxtherapy.devices import capacity, hosts
from jaxtherapy.errors import RunError, is_out_of_memory
from jaxtherapy.storage import run_info
from jaxtherapy.storage.run_files import RunFiles


@contextlib.contextmanager
def in_one_line(config: TrainingConfig, files: RunFiles, info: dict[str, Any]) -> Iterator[None]:
    """Turns what can go wrong into one line, which ``run.json`` has too.

    Args:
        config, files: of the seeds that are trained together.
        info: what ``run.json`` says; empty where there is none yet.
    """
    try:
        yield
    except RunError as error:
        _record(files, info, error)
        raise
    except OSError as error:
        raise cannot_write(error, files.output) from None
    except jax.errors.JaxRuntimeError as error:
        failure = _runtime_error(error, config, len(files.seeds))
        _record(files, info, failure)
        raise failure from None
    except Exception as error:  # a callback's, say
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        _record(files, info, RunError(reason))
        raise


def _record(files: RunFiles, info: dict[str, Any], error: RunError) -> None:
    if info:
        with contextlib.suppress(OSError):
            failed = {"status": "failed", "reason": str(error), "ended": run_info.now()}
            run_info.write(files.run, info | failed)


def _runtime_error(error: Exception, config: TrainingConfig, n_seeds: int) -> RunError:
    if is_out_of_memory(error):
        resumed = bool(config.resume or config.resume_from)
        return capacity.out_of_memory(PPO.of(config), n_seeds, resumed)
    reason = " ".join(str(error).split())[:200]
    if jax.process_count() > 1:
        return RunError(f"{hosts.LOST} ({reason})", exit_code=1)
    return RunError(f"the device reported: {reason}", exit_code=1)


def cannot_write(error: OSError, folder: Path) -> RunError:
    """One line for a full disk, a read-only or vanished folder."""
    path = error.filename or folder
    return RunError(
        f"can't write {path}: {error.strerror or error}; what was saved before is intact: make "
        "room or put the folder back, then continue with --resume",
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
