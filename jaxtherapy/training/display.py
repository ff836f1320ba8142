"""The console of all commands: it never ends a run, and moves nothing but on a terminal."""

import sys
from typing import Any

from rich.console import Console

from jaxtherapy.errors import LastingStream, json_line


class JsonConsole(Console):
    """Prints what is text as objects of JSON, one per line, and nothing else."""

    def print(self, *objects: Any, **_: Any) -> None:  # type: ignore[override]
        """A message, unless this is quiet; a table is none: what it shows is in an object too."""
        text = " ".join(each.strip() for each in objects if isinstance(each, str))
        if text and not self.quiet:
            print(json_line("message", message=text), file=self.file, flush=True)


def console(quiet: bool = False, as_json: bool = False) -> Console:
    """Standard output; folds nothing when it is not a terminal, and never ends a run.

    Colours and movement are for terminals alone: FORCE_COLOR would fill a log with both.
    """
    stream: Any = LastingStream(sys.stdout)
    # In a notebook it is text too: Rich would make every line an output of its own.
    plain: Any = {"file": stream, "quiet": quiet, "force_jupyter": False}
    if as_json:
        return JsonConsole(**plain, force_terminal=False)
    plain |= {"highlight": False, "markup": False}
    if sys.stdout is not None and sys.stdout.isatty():
        return Console(**plain)
    return Console(**plain, width=200, force_terminal=False)


def format_duration(seconds: float) -> str:
    """``75`` → ``1:15``."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
