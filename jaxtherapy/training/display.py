"""The console of all commands: it never ends a run, and moves nothing but on a terminal."""

import contextlib
import sys
from typing import Any

from rich.console import Console


def console(quiet: bool = False) -> Console:
    """Standard output; folds nothing when it is not a terminal, and never ends a run.

    Colours and movement are for terminals alone: FORCE_COLOR would fill a log with both.
    """
    stream: Any = _Unbreakable(sys.stdout)
    if sys.stdout is not None and sys.stdout.isatty():
        return Console(file=stream, highlight=False, markup=False, quiet=quiet)
    return Console(
        file=stream, highlight=False, markup=False, width=200, quiet=quiet, force_terminal=False
    )


class _Unbreakable:
    """A stream whose reader may leave or whose disk may fill: training matters more."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Writes what can be written."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            encoding = getattr(self._stream, "encoding", None) or "utf-8"
            self._stream.write(text.encode(encoding, "replace").decode(encoding))
        return len(text)

    def flush(self) -> None:
        """Flushes what can be flushed."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            self._stream.flush()


def format_duration(seconds: float) -> str:
    """``75`` → ``1:15``."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
