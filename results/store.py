"""Where rows land: one JSON file per table, one line per row, written whole or not at all."""

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from jaxtyping import Bool

from jaxtherapy.errors import RunError
from jaxtherapy.storage.files import write_atomically
from results.rows import Row

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Record:
    """What a row came to.

    Attributes:
        definition: of the row when it was measured.
        therapies: held so far; clients 0, 1, 2 …
        success: of each client, as bits in base64: rows are compared client by client.
        totals: over therapies: ``dropouts``, ``sessions``, ``sessions_of_successes``, ``reward``.
        seconds: that it took; ``training_seconds``: in the training, from compiling on.
        about: the map that was found, the course of therapy.
        measured, commit, device: when, with which code, on what.
    """

    definition: str
    therapies: int = 0
    success: str = ""
    totals: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    training_seconds: float | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    measured: str = ""
    commit: str | None = None
    device: str = ""

    @property
    def successes(self) -> Bool[np.ndarray, " therapies"]:
        """Client by client."""
        packed = np.frombuffer(base64.b64decode(self.success), np.uint8)
        return np.unpackbits(packed, count=self.therapies).astype(bool)


def packed(success: Bool[np.ndarray, " therapies"]) -> str:
    """As :attr:`Record.success` holds them."""
    return base64.b64encode(np.packbits(success).tobytes()).decode()


def _one_line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def state(row: Row, record: Record | None) -> str:
    """``done``, ``missing``, ``stale`` (defined otherwise by now) or ``begun``."""
    if record is None:
        return "missing"
    if record.definition != row.definition():
        return "stale"
    return "done" if record.therapies >= row.therapies else "begun"


class Store:
    """The records of all rows, by id."""

    def __init__(self, folder: Path = DATA) -> None:
        self.folder = folder

    def _file(self, table: str) -> Path:
        return self.folder / f"{table}.json"

    def _read(self, table: str) -> dict[str, Record]:
        path = self._file(table)
        try:
            found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
            return {id: Record(**each) for id, each in found.items()}
        except (ValueError, TypeError, AttributeError) as error:
            raise RunError(
                f"{path} is damaged ({error}); mend it, or move it away to measure its rows anew"
            ) from None

    def records(self) -> dict[str, Record]:
        """All that there are.

        Raises:
            RunError: a file is damaged.
        """
        tables = [path.stem for path in sorted(self.folder.glob("*.json"))]
        return {id: each for table in tables for id, each in self._read(table).items()}

    def write(self, row: Row, record: Record) -> None:
        """Adds or replaces a row's; what other processes added to its table stays."""
        table = row.id.partition("/")[0]
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / f".{table}.lock"):
            records = self._read(table) | {row.id: record}
            lines = (
                f"{_one_line(id)}: {_one_line(asdict(each))}"
                for id, each in sorted(records.items())
            )
            text = "{\n" + ",\n".join(lines) + "\n}\n"
            write_atomically(self._file(table), text.encode())
