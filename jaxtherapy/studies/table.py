"""The table of a sweep: a row per run and therapist, in ``runs.csv`` as they come, and in
``runs.parquet`` whenever the sweep ends or is interrupted."""

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxtherapy.errors import RunError
from jaxtherapy.reporting.csv_files import as_csv
from jaxtherapy.storage.files import write_atomically

Row = dict[str, Any]
Key = tuple[int, int]
"""Point and seed: what makes a run."""

KEYS = ("point", "seed", "therapist")


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
        try:
            text = self.csv.read_text(encoding="utf-8")
        except FileNotFoundError:  # killed before the first row
            return self.create()
        except (OSError, UnicodeDecodeError) as error:
            raise RunError(f"{self.csv} can't be read: {error}") from None
        if not text.startswith(header := as_csv(self.columns, []).decode()):
            raise RunError(f"{self.csv} has other columns than this sweep; restore it")
        whole = text[: text.rfind("\n") + 1]
        rows = parse_rows(whole)
        counts = Counter(_key(row) for row in rows)
        self.rows = [row for row in rows if counts[_key(row)] == self._rows_per_run]
        if len(self.rows) < len(rows) or whole != text:
            lines = _lines(whole)[1:]
            kept = [
                line
                for line, row in zip(lines, rows, strict=True)
                if counts[_key(row)] == self._rows_per_run
            ]
            write_atomically(self.csv, (header + "".join(kept)).encode())
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


def parse_rows(text: str) -> list[Row]:
    """The rows of a CSV with a heading, numbers as numbers, what is empty as None."""
    return [
        {name: _value(each) for name, each in row.items()}
        for row in csv.DictReader(io.StringIO(text, newline=""))
    ]


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text or None


def _lines(text: str) -> list[str]:
    """One for each row: no cell has a line break."""
    return text.splitlines(keepends=True)


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
