"""Folders that commands write to: checked before the work, said in a line where it fails."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from jaxtherapy.cli.launch import if_interrupted, importing
from jaxtherapy.config.checks import data_folder
from jaxtherapy.errors import RunError
from jaxtherapy.storage.tables import check_extras, check_tables_are_ours

if TYPE_CHECKING:
    from rich.console import Console


def free_for_data(flag: str, given: str) -> Path:
    """The folder for tables, once it is known that they can be written there.

    Raises:
        RunError: an extra is missing, or files are there that are not ours.
    """
    folder = data_folder(flag, given)
    check_extras()
    with importing():
        from jaxtherapy.evaluation.study_data import FILES
    check_tables_are_ours(folder, FILES)
    return folder


def list_files(paths: Iterable[Path], out: Console) -> None:
    """Says what was written."""
    out.print("\n".join(f"  {path}" for path in paths))


@contextmanager
def drawing_report(folder: Path, out: Console) -> Iterator[None]:
    """Says so; who interrupts it is told how to have it drawn."""
    draw = f"python -m jaxtherapy.report {shlex.quote(str(folder))}"
    told = f"interrupted; draw the report with {draw}"
    with out.status("drawing the report"), if_interrupted(told):
        yield


@contextmanager
def writing_to(folder: Path, advice: str = "") -> Iterator[None]:
    """What the disk says against it is a line, which ends in advice if there is any."""
    try:
        yield
    except OSError as error:
        reason = "; ".join(filter(None, (error.strerror or str(error), advice)))
        raise RunError(f"can't write to {folder}: {reason}", exit_code=1) from None


@contextmanager
def prepared(folder: Path | None, flag: str) -> Iterator[None]:
    """Makes the folder; when the work breaks off, it goes if it is ours and still empty.

    Raises:
        RunError: nothing can be written there, found out before the work and not after it.
    """
    made: list[Path] = []
    if folder is None:
        yield
        return
    try:
        try:
            made += [each for each in (folder, *folder.parents) if not each.exists()]
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):  # no name that a user's file could have
                pass
        except OSError as error:
            reason = f"{error.strerror}; check {flag}"
            raise RunError(f"can't write to {folder}: {reason}") from None
        yield
    except BaseException:
        for each in made:
            with suppress(OSError):  # it was not made, or is not empty
                each.rmdir()
        raise
