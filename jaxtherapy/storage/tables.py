"""Tables for other programs: CSV and Parquet chunk by chunk, SPSS with labels, and a codebook.

One list of columns makes all of them. PyArrow, pandas and pyreadstat are extras
(:func:`check_extras`).
"""

import importlib.util
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxtherapy.errors import RunError
from jaxtherapy.storage.files import write_atomically, written_beside

if TYPE_CHECKING:
    from jaxtyping import Shaped

_EXTRAS = ("pyarrow", "pandas", "pyreadstat")
_FORMULA = re.compile("(^|;)(?=[-=+@＝＋－＠])")
"""Where one begins; also after a semicolon, which separates cells in many countries."""

CODEBOOK = "codebook.md"
_OURS = "# Codebook of jaxtherapy"

MOST_IN_SPSS = 250_000
"""Rows: an SPSS file can't be written in chunks."""


@dataclass(frozen=True)
class Column:
    """A column, for every file that tells of it.

    Attributes:
        name: in all files.
        meaning: in one line; in SPSS the variable's label.
        read: its values in a chunk, whatever a chunk is.
        unit: of numbers, in words.
        values: what whole numbers stand for; in SPSS the value labels.
        in_words: whether CSV and Parquet hold these words instead of the numbers.
    """

    name: str
    meaning: str
    read: Callable[[Any], "Shaped[np.ndarray, ' n']"]
    unit: str = ""
    values: Mapping[int, str] = field(default_factory=dict)
    in_words: bool = False


def check_extras() -> None:
    """That tables can be written. Raises RunError: an extra is missing."""
    if missing := [name for name in _EXTRAS if importlib.util.find_spec(name) is None]:
        raise RunError(
            f"tables need {', '.join(missing)}; install what is missing with "
            "pip install 'jaxtherapy[studies]'"
        )


def harmless(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return _FORMULA.sub(r"\1'", text)


class TableWriter:
    """Writes a table to ``NAME.csv`` and ``NAME.parquet``; a context.

    The files appear when the context ends. When it ends in an error they do not, and earlier ones
    are as they were. The Parquet file holds the ``metadata`` too.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        columns: Sequence[Column],
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        self._columns, self._metadata = columns, dict(metadata or {})
        self.paths = [folder / f"{name}.{kind}" for kind in ("csv", "parquet")]
        self._files = ExitStack()
        self._writers: list[Any] = []

    def __enter__(self) -> "TableWriter":
        return self

    def write(self, chunk: Any) -> None:
        """Appends the rows of a chunk; the first one decides the columns' types."""
        import pyarrow as pa

        parquet = {each.name: _array(each, chunk) for each in self._columns}
        csv = dict(parquet)
        for name, array in parquet.items():
            if isinstance(array, pa.DictionaryArray):
                words = [harmless(each) for each in array.dictionary.to_pylist()]
                csv[name] = pa.array(words).take(array.indices)
        tables = [pa.table(csv), pa.table(parquet, metadata=self._metadata)]
        if not self._writers:
            self._open([table.schema for table in tables])
        for writer, table in zip(self._writers, tables, strict=True):
            writer.write_table(table)

    def _open(self, schemas: Sequence[Any]) -> None:
        from pyarrow import csv, parquet

        beside = [self._files.enter_context(written_beside(path)) for path in self.paths]
        makers = (csv.CSVWriter, parquet.ParquetWriter)
        for make, path, schema in zip(makers, beside, schemas, strict=True):
            self._writers.append(self._files.enter_context(make(path, schema)))

    def __exit__(self, *error: Any) -> None:
        self._files.__exit__(*error)


def _array(column: Column, chunk: Any) -> Any:
    import pyarrow as pa

    read = np.ascontiguousarray(column.read(chunk))
    if not column.in_words:
        return pa.array(read, from_pandas=True)  # NaN is a missing value
    return pa.DictionaryArray.from_arrays(read.astype(np.int32), list(column.values.values()))


def write_spss(parquet: Path, columns: Sequence[Column], path: Path) -> bool:
    """A table that was written to Parquet as an SPSS file with labels of variables and values;
    returns whether: not if it has more than ``MOST_IN_SPSS`` rows."""
    import pyreadstat
    from pyarrow import parquet as files

    if files.read_metadata(parquet).num_rows > MOST_IN_SPSS:
        return False
    frame = files.read_table(parquet).to_pandas()
    for column in columns:
        values = frame[column.name]
        if column.in_words:
            codes = {word: code for code, word in column.values.items()}
            frame[column.name] = [codes[word] for word in values]
        elif values.dtype == np.float32:
            frame[column.name] = values.astype(float).round(7)  # 0.9, not 0.8999999761581421
    labels: Any = {each.name: dict(each.values) for each in columns if each.values}
    with written_beside(path) as beside:
        pyreadstat.write_sav(
            frame,
            beside,
            column_labels={each.name: each.meaning for each in columns},
            variable_value_labels=labels,
            variable_measure={each.name: "nominal" if each.values else "scale" for each in columns},
        )
    return True


# --- the codebook ---------------------------------------------------------------------------


def write_codebook(
    folder: Path, about: Sequence[str], tables: Mapping[str, Sequence[Column]]
) -> Path:
    """``codebook.md``: what every column of every table in a folder means, for which it vouches.

    Args:
        about: paragraphs before the first table.
        tables: columns by the name of the table's files and a word about its rows.
    """
    lines = [_OURS, *(f"\n{paragraph}" for paragraph in about)]
    for title, columns in tables.items():
        lines += [f"\n## {title}\n", "| column | meaning | unit | values |", "|---|---|---|---|"]
        for each in columns:
            values = each.values.items()
            told = ", ".join(f"{word}" if each.in_words else f"{n}: {word}" for n, word in values)
            cells = (f"`{each.name}`", each.meaning, each.unit, told)
            lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    path = folder / CODEBOOK
    write_atomically(path, ("\n".join(lines) + "\n").encode())
    return path


def check_tables_are_ours(folder: Path, names: Sequence[str]) -> None:
    """That files with these names may be written to a folder, with a codebook. Raises RunError:
    they would replace a file, and there is no codebook of ours that vouches for it."""
    try:
        with open(folder / CODEBOOK, "rb") as file:
            ours = file.read(len(_OURS)) == _OURS.encode()
    except OSError:
        ours = False
    for path in () if ours else (folder / name for name in (*names, CODEBOOK)):
        if path.exists() or path.is_symlink():
            raise RunError(
                f"{path} would be replaced, and no codebook of ours is beside it; choose another "
                f"folder than {folder}, or move the file away"
            )
