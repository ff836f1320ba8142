"""One run at a time in a folder."""

import contextlib
import errno
from pathlib import Path

from filelock import FileLock, SoftFileLock, Timeout

from jaxtherapy.errors import RunError

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
"""What file systems without locks answer: some NFS and Lustre."""


class ExperimentLock:
    """Held while a run writes to a folder under a name; a second run is refused.

    The kernel drops the lock when its process ends, however it ends. What was made for it goes
    again when nothing has come of the run. Where the file system has no locks, ``note`` says so.
    """

    def __init__(self, folder: Path, name: str = ".lock") -> None:
        self._folder, self._file = folder, folder / name
        # Kept, and no marker file instead of a lock: that would outlive a run that is killed.
        # filelock's FileLock is a soft one where the platform has no locks.
        has_locks = FileLock is not SoftFileLock
        self._lock = FileLock(self._file, preserve_lock_file=True) if has_locks else None
        self.note = ""
        self._made: list[Path] = []
        self._is_new = False

    def __enter__(self) -> "ExperimentLock":
        folders = self._folder, *self._folder.parents
        self._made = [each for each in folders if not each.exists()]
        self._is_new = not self._file.exists()
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            if self._lock is None:
                raise NotImplementedError
            self._lock.acquire(blocking=False)
        except Timeout:
            raise RunError(
                f"another run is writing to {self._folder}; wait for it, or give this one another "
                "name"
            ) from None
        except (OSError, NotImplementedError) as error:
            if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
                raise
            self.note = (
                f"{self._folder} is on a file system without locks: nothing but you keeps a second "
                "run from writing there"
            )
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # another run's lock is there
            if all(path.name.endswith(".lock") for path in self._folder.iterdir()):
                if self._is_new:
                    self._file.unlink(missing_ok=True)
                for each in self._made:
                    each.rmdir()
        if self._lock is not None:
            self._lock.release()
