"""The table of a sweep: a row per run and therapist, in ``runs.csv`` as they come, and in
``runs.parquet`` whenever the sweep ends or is interrupted."""

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import compress
from pathlib import Path
from typing import Any

from jaxtherapy.errors import RunError
from jaxtherapy.reporting.csv_files import as_csv
from jaxtherapy.storage.files import write_atomically

Row = dict[str, Any]
Key = tuple[int, int]
"""Point and seed: what makes a run."""

THERAPIST = "therapist"
KEYS = ("point", "seed", THERAPIST)


class Table:
    """Rows on the disk; all of a run are there, or none.

    Args:
        folder: of the sweep.
        columns: all of them, in order; the first are ``KEYS``.
        rows_per_run: as many as there are therapists.
    """

    def __init__(self, folder: Path, columns: Sequence[str], rows_per_run: int) -> None:
        self.csv, self.parquet = folder / "runs.csv", folder / "runs.parquet"
        self.columns, self._rows_per_run = tuple(columns), rows_per_run
        self.rows: list[Row] = []

    def create(self) -> None:
        """Begins anew."""
        write_atomically(self.csv, as_csv(self.columns, []))

    def load(self) -> None:
        """Takes what is there; what a killed write left of a run is made again.

        Raises:
            RunError: the file is no table of this sweep.
        """
        text = read_text(self.csv)
        if text is None:  # killed before the first row
            return self.create()
        if not text.startswith(header := as_csv(self.columns, []).decode()):
            raise RunError(f"{self.csv} has other columns than this sweep; restore it")
        lines, rows = text.splitlines(keepends=True)[1:], parse_rows(text)
        counts = Counter(map(_key, rows))
        whole = [counts[_key(row)] == self._rows_per_run for row in rows]
        self.rows = list(compress(rows, whole))
        kept = header + "".join(compress(lines, whole))
        if kept != text:
            write_atomically(self.csv, kept.encode())
        return None

    @property
    def done(self) -> set[Key]:
        """Runs that are there."""
        return {_key(row) for row in self.rows}

    def append(self, rows: Sequence[Row]) -> None:
        """Adds all rows of some runs, in one write.

        Raises:
            RunError: the disk is full, or the folder gone.
        """
        made = as_csv(self.columns, rows)
        lines = made[made.index(b"\n") + 1 :]
        try:
            with open(self.csv, "ab", buffering=0) as file:
                file.write(lines)
                os.fsync(file.fileno())
        except OSError as error:
            raise RunError(f"can't write to {self.csv}: {error.strerror}", exit_code=1) from None
        self.rows += parse_rows(",".join(self.columns) + "\n" + lines.decode())

    def write_parquet(self, about: Mapping[str, Any]) -> None:
        """All rows in the order of seeds and points; ``about`` is metadata of the schema."""
        import pyarrow as pa
        from pyarrow import parquet

        rows = sorted(self.rows, key=_key)
        columns = {name: _column([row[name] for row in rows]) for name in self.columns}
        table = pa.table(columns)
        table = table.replace_schema_metadata({"jaxtherapy": json.dumps(about)})
        file = io.BytesIO()
        parquet.write_table(table, file)
        write_atomically(self.parquet, file.getvalue())


def read_text(path: Path) -> str | None:
    """A table as it is; None where there is no file.

    Raises:
        RunError: it can't be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path} can't be read: {error}") from None


def parse_rows(text: str) -> list[Row]:
    """The rows of a CSV with a heading, numbers as numbers, what is empty as None; what a killed
    write left of a last one is none."""
    whole = text[: text.rfind("\n") + 1]
    return [
        {name: _value(name, each) for name, each in row.items()}
        for row in csv.DictReader(io.StringIO(whole, newline=""))
    ]


def _value(column: str, text: str) -> Any:
    for kind in () if column == THERAPIST else (int, float):  # a policy may be called 7
        with suppress(ValueError):
            return kind(text)
    return text or None


def _column(values: Iterable[Any]) -> list[Any]:
    """Of one type: all texts where one is."""
    values = list(values)
    if any(isinstance(value, str) for value in values):
        return [None if value is None else str(value) for value in values]
    if any(isinstance(value, float) for value in values):
        return [None if value is None else float(value) for value in values]
    return values


def _key(row: Row) -> Key:
    return row["point"], row["seed"]
