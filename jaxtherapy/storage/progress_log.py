"""The CSV log: one row per evaluation, each on the disk before training goes on."""

import errno
import os
from pathlib import Path

from jaxtherapy.errors import RunError, shown
from jaxtherapy.storage.files import write_atomically

COLUMNS = (
    "epoch",
    "step",
    "train_reward_mean",
    "train_reward_std",
    "train_length_mean",
    "test_reward_mean",
    "test_reward_std",
    "test_length_mean",
    "duration",
    "train_success_rate",
    "train_dropout_rate",
    "test_success_rate",
    "test_dropout_rate",
    "test_sessions_to_success",
    "policy_loss",
    "value_loss",
    "entropy",
    "approx_kl",
    "clip_fraction",
    "grad_norm",
    "explained_variance",
    "return_scale",
    "steps_per_second",
)
"""The first nine are what older tools read, in their order."""

Row = dict[str, float]


def _format(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.7g}"


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


class ProgressLog:
    """One CSV file, appended to row by row.

    A row is one write, so that no kill can halve it; where the disk is full the file is cut back
    to the rows that fit.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self) -> None:
        """An empty log: the header alone."""
        write_atomically(self.path, (",".join(COLUMNS) + "\n").encode())

    def append(self, row: Row) -> None:
        """Adds a row.
        Raises OSError: the file is gone, or the disk is full; earlier rows are intact."""
        line = (",".join(_format(row[name]) for name in COLUMNS) + "\n").encode()
        with open(self.path, "r+b", buffering=0) as file:  # anew: a folder may have vanished
            size = file.seek(0, os.SEEK_END)
            try:
                if os.write(file.fileno(), line) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
                os.fsync(file.fileno())
            except OSError:
                file.truncate(size)
                raise

    def rows(self) -> list[list[str]]:
        """The complete rows, as text; what follows the last line break is none."""
        text = self.path.read_text(encoding="utf-8", errors="replace")
        lines = text.split("\n")[:-1]
        return [line.split(",") for line in lines[1:]]

    def numbers(self) -> list[Row]:
        """The same by column, as numbers. Raises RunError: a cell is none, or a row lacks some."""
        rows = self.check(len(self.rows()))
        return [dict(zip(COLUMNS, map(float, row), strict=True)) for row in rows]

    def has_better_after(self, n_rows: int, reward: float) -> bool:
        """Whether an evaluation after the first ``n_rows`` rows earned more than ``reward``.

        Compared as written: a reward that differs in digits that are not written does not count.
        """
        if not self.path.exists():
            return False
        at = COLUMNS.index("test_reward_mean")
        later = [row[at] for row in self.rows()[n_rows:] if len(row) == len(COLUMNS)]
        return any(float(each) > float(_format(reward)) for each in later if _is_number(each))

    def check(self, n_rows: int) -> list[list[str]]:
        """The first ``n_rows`` rows. Raises RunError: the log is missing or has lost rows."""
        if n_rows == 0:
            return []
        if not self.path.exists():
            raise RunError(f"{self.path} is missing; put it back")
        rows = self.rows()
        if any(len(row) != len(COLUMNS) for row in rows[:n_rows]):
            raise RunError(
                f"{self.path} has rows with missing or additional cells; put the original back"
            )
        if len(rows) < n_rows:
            raise RunError(
                f"{self.path} has {len(rows)} rows where the checkpoint knows of {n_rows}; put the "
                "complete file back"
            )
        for number, row in enumerate(rows[:n_rows], 2):  # as an editor counts lines
            for wrong in (cell for cell in row if not _is_number(cell)):
                raise RunError(
                    f"{self.path} has {shown(wrong)} in line {number}, where a number was; put the "
                    "original back"
                )
        return rows[:n_rows]

    def rewind(self, n_rows: int) -> None:
        """Drops all rows but the first ``n_rows``: those since the checkpoint are made again.
        Raises RunError: the log is missing or has lost rows."""
        kept = [",".join(COLUMNS), *(",".join(row) for row in self.check(n_rows))]
        write_atomically(self.path, ("\n".join(kept) + "\n").encode())
