"""What all commands share: how they start, and how they end when something is wrong.

Imports the standard library alone, so that Ctrl-C is answered while everything else is imported.
"""

import importlib
import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from types import FrameType
from typing import ParamSpec

INTERRUPTED = 130
"""The exit code that shells give a command ended by Ctrl-C."""

P = ParamSpec("P")


def ends_in_one_line(interrupted: str) -> Callable[[Callable[P, int]], Callable[P, int]]:
    """Makes a command's ``main`` end in one line and an exit code where it raises what we expect.

    Args:
        interrupted: what Ctrl-C is answered with, unless the KeyboardInterrupt has its own text.
    """

    def decorate(main: Callable[P, int]) -> Callable[P, int]:
        @wraps(main)
        def wrapped(*args: P.args, **kwargs: P.kwargs) -> int:
            # Only now: the commands have imported JAX already, `launch` must not wait for it.
            from jaxtherapy.config import ConfigError
            from jaxtherapy.errors import RunError

            try:
                return main(*args, **kwargs)
            except ConfigError as error:
                print(f"error: {error}", file=sys.stderr)
                return 2
            except RunError as error:
                print(f"error: {error}", file=sys.stderr)
                return error.exit_code
            except KeyboardInterrupt as error:
                print(str(error) or interrupted, file=sys.stderr)
                return INTERRUPTED

        return wrapped

    return decorate


def launch(command: str) -> int:
    """Imports a command's module and runs its ``main``; Ctrl-C on the way is one line.

    The process ends at once: nothing has begun, and half-imported libraries could turn an
    exception into others or swallow it. Where Ctrl-C is ignored or has a handler, it stays so.

    What goes wrong later ends the process at once too, after its line: threads of libraries that
    are still at work would add traces to it, or crash.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)
    main: Callable[[], int] = importlib.import_module(f"jaxtherapy.cli.{command}").main
    signal.signal(signal.SIGINT, before)
    code = main()
    if code:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _leave(number: int, frame: FrameType | None) -> None:
    os.write(2, b"interrupted before anything began\n")
    os._exit(INTERRUPTED)


def train() -> int:
    """``jaxtherapy-train``."""
    return launch("train")


def evaluate() -> int:
    """``jaxtherapy-evaluate``."""
    return launch("evaluate")


def report() -> int:
    """``jaxtherapy-report``."""
    return launch("report")


def play() -> int:
    """``jaxtherapy-play``."""
    return launch("play")


def convert() -> int:
    """``jaxtherapy-convert``."""
    return launch("convert")
