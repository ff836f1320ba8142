"""Several hosts that train one experiment together, through JAX's distributed runtime.

They share the file system. Each writes its own seeds; the first writes what there is one of.
"""

import contextlib
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NoReturn

import jax
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import PyTree

from jaxtherapy.config import TrainingConfig
from jaxtherapy.errors import INTERRUPTED, RunError, is_out_of_memory, signals_named

HEARTBEAT_SECONDS = 20
"""After this silence a host counts as lost."""

JOIN_SECONDS = 120
"""How long hosts may take to find each other."""

LOST = (
    "another host was lost, or the connection to it; start all of them again with --resume (on as "
    "many hosts and devices as you like) to continue from the latest checkpoint"
)


# --- coming and going -------------------------------------------------------------------------


def are_several(config: TrainingConfig) -> bool:
    """Whether this process is told to be one of several."""
    return config.distributed or config.coordinator is not None


def _how_to_join(config: TrainingConfig) -> str:
    """What to do, which is not what was done."""
    if config.coordinator is None:
        return "give --coordinator HOST:PORT --n-hosts N --host-index I on each of them"
    return (
        f"start all {config.n_hosts} of them, each with a --host-index of its own, where "
        f"{config.coordinator} is the first one's address"
    )


def supervise(config: TrainingConfig) -> int | Callable[[], object]:
    """Goes on in a child process, so that its end can be explained; where none can be forked, in
    this one.

    When the first host is lost, JAX's runtime ends the others on the spot, from a thread of its
    own: only another process can still say what to do.

    Returns:
        In the child what to call when the hosts have found each other; in the parent, later, the
        exit code.
    """
    if not hasattr(os, "fork"):  # Windows
        return lambda: None
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # JAX has no threads yet that a fork could break
        child = os.fork()
    if child == 0:
        os.close(reading)
        return partial(os.write, writing, b"!")
    os.close(writing)
    # Ctrl-C at a terminal reaches the child as well: it must not hear it twice and not save.
    instead: dict[int, int] = {signal.SIGINT: signal.SIGTERM}
    for number in signals_named("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2"):
        signal.signal(number, lambda sent, frame: os.kill(child, instead.get(sent, sent)))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    joined = bool(os.read(reading, 1))
    if code == -signal.SIGABRT:
        failed = f"error: not all hosts were there after {JOIN_SECONDS} s; {_how_to_join(config)}"
        print(f"error: {LOST}" if joined else failed, file=sys.stderr)
        return 1 if joined else 2
    if not joined and code in (-signal.SIGINT, -signal.SIGTERM):
        print("interrupted before anything began", file=sys.stderr)
    return code if code >= 0 else 128 - code


@contextlib.contextmanager
def _silent_runtime() -> Iterator[None]:
    """Without the pages that JAX's runtime prints before it ends the process."""
    sys.stderr.flush()
    before, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(nowhere)


def join_hosts(config: TrainingConfig) -> None:
    """Makes this process one of several: as told, or as the cluster's scheduler announces it.
    Raises RunError: nothing is announced, or the coordinator does not answer."""
    if jax.distributed.is_initialized():
        return
    try:
        with _silent_runtime():
            jax.distributed.initialize(
                config.coordinator,
                config.n_hosts,
                config.host_index,
                initialization_timeout=JOIN_SECONDS,
                heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            )
    except Exception as error:  # each way of finding hosts fails in its own way
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise RunError(f"can't join the other hosts: {reason}; {_how_to_join(config)}") from None


def is_first_host() -> bool:
    """Whether this process writes what there is only one of."""
    return jax.process_index() == 0


def leave(error: BaseException) -> NoReturn:
    """Ends this process at once, saying why: an orderly end would wait for hosts that are gone."""
    code = 1
    if isinstance(error, RunError):
        print(f"error: {error}", file=sys.stderr)
        code = error.exit_code
    elif isinstance(error, KeyboardInterrupt):
        print("interrupted; continue from the latest checkpoint with --resume", file=sys.stderr)
        code = INTERRUPTED
    else:
        traceback.print_exception(error)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


# --- talking ----------------------------------------------------------------------------------


def _together(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """What all hosts take part in.

    Raises:
        RunError: one is gone.
        JaxRuntimeError: this one is out of memory.
    """
    try:
        return function(*arguments, **options)
    except Exception as error:  # ValueError, JaxRuntimeError …: each transport has its own
        if isinstance(error, jax.errors.JaxRuntimeError) and is_out_of_memory(error):
            raise
        reason = " ".join(str(error).split())[:120]
        raise RunError(f"{LOST} ({reason})", exit_code=1) from None


def fetch(tree: PyTree) -> PyTree:
    """All of it, as NumPy arrays, on every host."""
    if jax.process_count() == 1:
        return jax.device_get(tree)
    return _together(multihost_utils.process_allgather, tree, tiled=True)


def largest(*values: float) -> list[float]:
    """The largest of each over all hosts, so that all decide alike."""
    if jax.process_count() == 1:
        return list(values)
    everywhere = _together(multihost_utils.process_allgather, np.array(values, np.float32))
    return [float(value) for value in np.max(everywhere, axis=0)]


def wait_for_all(place: str) -> None:
    """Returns when every host is here."""
    if jax.process_count() > 1:
        _together(multihost_utils.sync_global_devices, place)
