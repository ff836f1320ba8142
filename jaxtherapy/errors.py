"""Errors that end a run, each with one line that says what to do."""

import difflib
import json
import math
import reprlib
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

INTERRUPTED = 130
"""The exit code that shells give a command ended by Ctrl-C."""


class ConfigError(ValueError):
    """A setting that can't be used; the message is one line that says what is allowed."""


class RunError(RuntimeError):
    """The run can't start or go on; the message is one line, and the exit code is ``exit_code``."""

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@contextmanager
def extra(name: str, needed_by: str) -> Iterator[None]:
    """While open, what can't be imported ends in one line that says which extra has it."""
    try:
        yield
    except ImportError as error:
        raise RunError(
            f"{needed_by} needs {error.name}: pip install 'jaxtherapy[{name}]'"
        ) from None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device had no room, whatever part of JAX says so."""
    return "RESOURCE_EXHAUSTED" in str(error) or "out of memory" in str(error).lower()


def shown(value: Any) -> str:
    """A value, short and on one line, whatever it is."""
    try:
        return reprlib.repr(value)
    except Exception:  # hostile __repr__ or an integer too long to print
        return f"a {type(value).__name__}"


def nearest(name: Any, known: Iterable[str]) -> str:
    """``; did you mean …?`` where one of the known names is close; else nothing."""
    match = difflib.get_close_matches(str(name)[:100], list(known), 1)
    return f"; did you mean {match[0]}?" if match else ""


def json_line(event: str, **told: Any) -> str:
    """An object of JSON on one line; numbers that JSON lacks become null."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plain(each) for name, each in value.items()}
        if isinstance(value, list | tuple):
            return [plain(each) for each in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return json.dumps({"event": event} | plain(told))


class LastingStream:
    """A stream whose reader may leave and whose disk may fill: the work behind it goes on.

    Attributes:
        error: why something could not be written, if it could not.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.error: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Writes what can be written."""
        try:
            self._try("write", text)
        except UnicodeEncodeError:
            encoding = self._stream.encoding
            self._try("write", text.encode(encoding, "replace").decode(encoding))
        return len(text)

    def flush(self) -> None:
        """Flushes what can be flushed."""
        self._try("flush")

    def _try(self, method: str, *arguments: str) -> None:
        try:
            if self._stream is not None:
                getattr(self._stream, method)(*arguments)
        except OSError as error:
            self.error = self.error or error
        except UnicodeEncodeError:
            raise
        except ValueError:  # it is closed
            pass


def signals_named(*names: str) -> tuple[signal.Signals, ...]:
    """Those of these signals that the platform has: Windows lacks most."""
    return tuple(getattr(signal, name) for name in names if hasattr(signal, name))
