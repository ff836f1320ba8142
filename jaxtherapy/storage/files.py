"""How files are written: whole or not at all."""

import contextlib
import errno
import operator
import os
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def write_atomically(path: Path, contents: bytes) -> None:
    """Writes beside, flushes to the disk and renames: readers see the old file or the new one.
    Raises OSError: the folder is gone, read-only or full; ``path`` is as it was."""
    with written_beside(path) as beside, open(beside, "wb") as file:
        file.write(contents)
        file.flush()
        os.fsync(file.fileno())
    _sync_folder(path.parent)


@contextlib.contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """A file to write instead, which takes the place of ``path`` unless an error comes up."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield beside
        os.replace(beside, path)
    except OSError as error:
        if error.filename in (None, beside, os.fspath(beside)):
            error.filename = os.fspath(path)  # whoever reads it knows this name
        raise
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


def side_by_side(jobs: Iterable[Callable[[], None]], n_bytes: int = 0) -> None:
    """Does jobs that write files of ``n_bytes`` each, small ones a few at once: most of the time
    they wait for the disk.
    Raises Exception: of the first job that raised one; jobs not begun by then are not done."""
    with ThreadPoolExecutor(4 if n_bytes < 2**26 else 1, "files") as pool:
        for _ in pool.map(operator.call, jobs):  # an error here cancels the others
            pass


def sweep(folder: Path, names: str) -> None:
    """Removes what killed writes of files with these names (a pattern) left in a folder."""
    leftover = re.compile(rf"\.(?:{names})\.[0-9]+\.tmp")
    for path in folder.glob(".*.tmp"):
        if leftover.fullmatch(path.name):
            path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    try:
        handle = os.open(folder, os.O_RDONLY)
    except PermissionError:  # Windows has no handles of folders
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise  # else the file system can't; the file itself is on the disk
    finally:
        os.close(handle)
