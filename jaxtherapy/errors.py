"""Errors that end a run, each with one line that says what to do."""

import difflib
import reprlib
from collections.abc import Iterable
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
