"""What all commands share: how they start, and how they end when something is wrong.

Imports the standard library and the errors alone. A command's module does likewise, apart from
:mod:`jaxtherapy.config`: it makes its parser at once, and imports what is heavy where it runs,
``with importing():``, so that ``--help`` is quick and Ctrl-C is answered all the time.
"""

import contextlib
import errno
import gc
import importlib
import os
import signal
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from functools import partial, wraps
from types import FrameType
from typing import Any, ParamSpec

from jaxtherapy.errors import INTERRUPTED, ConfigError, LastingStream, RunError, signals_named

_LAUNCHED = ContextVar("launched", default=False)
"""Whether a command has this process to itself."""

_ENDING = signals_named("SIGTERM", "SIGHUP")

P = ParamSpec("P")


class Ended(KeyboardInterrupt):
    """A signal asked the command to end."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = 128 + number


def ends_in_one_line(interrupted: str) -> Callable[[Callable[P, int]], Callable[P, int]]:
    """Makes a command's ``main`` end in one line and an exit code where it raises what we
    expect; ``interrupted`` answers Ctrl-C, unless the KeyboardInterrupt has its own text."""

    def decorate(main: Callable[P, int]) -> Callable[P, int]:
        @wraps(main)
        def wrapped(*args: P.args, **kwargs: P.kwargs) -> int:
            try:
                return main(*args, **kwargs)
            except (ConfigError, RunError) as error:
                return _say(f"error: {error}", getattr(error, "exit_code", 2))
            except KeyboardInterrupt as error:
                code = error.exit_code if isinstance(error, Ended) else INTERRUPTED
                return _say(str(error) or interrupted, code)

        return wrapped

    return decorate


def command(
    build_parser: Callable[[], ArgumentParser], interrupted: str
) -> Callable[[Callable[[Namespace], None]], Callable[[Sequence[str] | None], int]]:
    """Makes what runs with parsed arguments a command's ``main``, which takes them as text (None:
    those of this process) and returns an exit code: 0, 2 for what can't be run, 1 for what broke
    off. The arguments have the whole command line too, as ``command``."""

    def decorate(run: Callable[[Namespace], None]) -> Callable[[Sequence[str] | None], int]:
        @ends_in_one_line(interrupted)
        def main(argv: Sequence[str] | None = None) -> int:
            parser, arguments = build_parser(), sys.argv[1:] if argv is None else list(argv)
            given = parser.parse_args(arguments)
            given.command = [*parser.prog.split(), *arguments]
            run(given)
            return 0

        return main

    return decorate


@contextlib.contextmanager
def if_interrupted(told: str) -> Iterator[None]:
    """While open, Ctrl-C has this answer."""
    try:
        yield
    except KeyboardInterrupt as error:
        error.args = (told,)
        raise


def _say(line: str, code: int) -> int:
    with contextlib.suppress(OSError, ValueError, AttributeError):  # nobody can be told
        print(line, file=sys.stderr, flush=True)
    return code


def launch(command: str, room: str = "jaxtherapy.cli") -> int:
    """Imports a command's module of a room and runs its ``main``, as the whole of this process.

    Output that can't be written breaks nothing off, for what counts is in files: a disk that is
    full is told at the end, a reader who left (``| head``) is not. What goes wrong ends the process
    at once, after its line: threads of libraries that are still at work would add traces to it.
    """
    _mend_streams()
    _hear_signals(tidily=command != "train")  # training saves
    gc.set_threshold(100_000)  # tracing makes millions of objects that stay
    output: Any = LastingStream(sys.stdout)
    launched = _LAUNCHED.set(True)
    try:
        with contextlib.redirect_stdout(output):
            code = _run(f"{room}.{command}")
    except SystemExit as end:  # of --help
        if end.code:
            raise
        code = 0
    finally:
        _LAUNCHED.reset(launched)
    lost = _end(output)
    if lost is not None and lost.errno != errno.EPIPE:
        code = code or _say(f"error: can't write to standard output: {lost.strerror}", 1)
    if code:
        os._exit(code)
    return code


@ends_in_one_line("interrupted before anything began")
def _run(module: str) -> int:
    with importing():
        main: Callable[[], int] = importlib.import_module(module).main
    return main()


def _end(output: LastingStream) -> OSError | None:
    """Flushes; what can't be written is dropped, so that Python's own end does not fail."""
    output.flush()
    if output.error is not None:
        with contextlib.suppress(OSError, ValueError):  # no real file
            os.dup2(os.open(os.devnull, os.O_WRONLY), output.fileno())
    return output.error


def _mend_streams() -> None:
    """Closed standard streams become empty ones, and none fails for want of a character."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:  # else a file that is opened later would be taken for it
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))
        elif name != "stdin" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _hear_signals(tidily: bool) -> None:
    """A cluster's warning before the end kills no command; nothing is left half-done by an end."""
    heard: dict[int, Any] = dict.fromkeys(signals_named("SIGUSR1", "SIGUSR2"), signal.SIG_IGN)
    if tidily:
        heard |= dict.fromkeys(_ENDING, _end_tidily)
    for number, handler in heard.items():
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, handler)


def _end_tidily(number: int, frame: FrameType | None) -> None:
    raise Ended(number)


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """While open, Ctrl-C and what else raises exceptions end the process at once, in one line.

    Half-imported libraries could turn an exception into others or swallow it. Where a signal is
    ignored or has another handler, and where ``main`` was merely called, it stays as it is.
    """
    raising = {}
    if _LAUNCHED.get():
        handlers = {each: signal.getsignal(each) for each in (signal.SIGINT, *_ENDING)}
        known = signal.default_int_handler, _end_tidily
        raising = {each: handler for each, handler in handlers.items() if handler in known}
    for number in raising:
        signal.signal(number, _leave)
    try:
        yield
    except ValueError as error:  # JAX reads its settings when it is imported, and quotes them
        quoted = str(error).replace('"', "'")
        for name, value in os.environ.items():
            if name.startswith("JAX_") and f"'{value}'" in quoted:
                raise RunError(f"{name}={value} can't be used; unset it") from None
        raise
    finally:
        for number, handler in raising.items():
            signal.signal(number, handler)


def _leave(number: int, frame: FrameType | None) -> None:
    with contextlib.suppress(OSError):
        os.write(2, b"interrupted before anything began\n")
    os._exit(128 + number)


def main_of(command: str) -> Callable[[Sequence[str] | None], int]:
    """A command's ``main``, whose module is imported when it is called."""

    def main(argv: Sequence[str] | None = None) -> int:
        imported: Callable[..., int] = importlib.import_module(f"jaxtherapy.cli.{command}").main
        return imported(argv)

    return main


# The console scripts.
train = partial(launch, "train")
evaluate = partial(launch, "evaluate")
report = partial(launch, "report")
curves = partial(launch, "curves")
play = partial(launch, "play")
coded = partial(launch, "coded")
convert = partial(launch, "convert")
sweep = partial(launch, "sweep")
power = partial(launch, "power")
sensitivity = partial(launch, "sensitivity")
