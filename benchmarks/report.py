"""One table and one JSON file for each kind of run."""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.hardware import ROOT
from benchmarks.rows import Row, shown

RESULTS = ROOT / "benchmarks" / "results"


class Report:
    """What has been measured on one machine, part by part, and the files it is kept in."""

    def __init__(self, folder: Path, name: str, hardware: dict[str, Any]) -> None:
        self.json = folder / f"{name}.json"
        self.markdown = folder / f"{name}.md"
        self.hardware = hardware
        self.parts: dict[str, dict[str, Any]] = self._earlier()

    def _earlier(self) -> dict[str, dict[str, Any]]:
        """Parts measured before on this machine, with these versions, from this commit."""
        try:
            earlier = json.loads(self.json.read_text())
            return earlier["parts"] if earlier["hardware"] == self.hardware else {}
        except (OSError, ValueError, KeyError):
            return {}

    def add(self, part: str, rows: list[Row], seconds: float) -> None:
        """Takes a part in, instead of an earlier one of its name, and writes both files."""
        self.parts[part] = {
            "seconds": round(seconds, 1),
            "rows": [finite(asdict(each)) for each in rows],
        }
        self.json.parent.mkdir(parents=True, exist_ok=True)
        contents = {"hardware": self.hardware, "parts": self.parts}
        self.json.write_text(json.dumps(contents, indent=1, ensure_ascii=False) + "\n")
        self.markdown.write_text(self.as_markdown())

    def rows(self) -> list[tuple[str, Row]]:
        """All rows with their parts."""
        return [
            (part, Row(**not_none(fields)))
            for part, record in self.parts.items()
            for fields in record["rows"]
        ]

    def as_markdown(self) -> str:
        """The table, under what it was measured on."""
        lines = [f"{headline(self.hardware)}", ""]
        lines += ["| part | case | what | median | range | unit | note |"]
        lines += ["|---|---|---|--:|--:|---|---|"]
        for part, each in self.rows():
            cells = (part, each.case, each.metric, shown(each.value), spread(each))
            lines.append(f"| {' | '.join(cells)} | {each.unit} | {each.note} |")
        return "\n".join(lines) + "\n"

    def show(self) -> None:
        """The table on the terminal."""
        table = Table(title=headline(self.hardware), title_justify="left")
        for name in ("part", "case", "what"):
            table.add_column(name)
        table.add_column("median", justify="right")
        table.add_column("range", justify="right")
        table.add_column("unit")
        for part, each in self.rows():
            cells = (part, each.case, each.metric, shown(each.value), spread(each))
            table.add_row(*cells, each.unit)
        console = Console()
        console = console if console.is_terminal else Console(width=140)
        console.print(table)
        console.print(f"written: {self.json}, {self.markdown}", soft_wrap=True)


def finite(fields: dict[str, Any]) -> dict[str, Any]:
    """JSON has no infinity: what was never reached is null."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in fields.items()
    }


def not_none(fields: dict[str, Any]) -> dict[str, Any]:
    """And back."""
    return {name: math.inf if value is None else value for name, value in fields.items()}


def spread(each: Row) -> str:
    """Minimum and maximum, where something was repeated."""
    return f"{shown(each.low)}–{shown(each.high)}" if each.samples > 1 else ""


def headline(hardware: dict[str, Any]) -> str:
    """Machine, versions and source in a line."""
    versions = ", ".join(f"{name} {number}" for name, number in hardware["versions"].items())
    machine = [*hardware["gpu"], f"{hardware['cpu']} ({hardware['cores']} cores)"]
    return f"{'; '.join(machine)}; Python {hardware['python']}, {versions}; {hardware['commit']}"
