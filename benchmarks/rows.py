"""What every part of the suite returns: rows, each one measured number."""

import json
from dataclasses import asdict, dataclass
from statistics import median


@dataclass(frozen=True)
class Row:
    """One measured number: the median of ``samples`` and their range.

    Attributes:
        case: what was measured, under which settings.
        metric: what of it.
        value, low, high: median, minimum and maximum of the samples.
        note: what one has to know to read the number.
    """

    case: str
    metric: str
    value: float
    unit: str
    low: float
    high: float
    samples: int = 1
    note: str = ""


def row(case: str, metric: str, samples: float | list[float], unit: str, note: str = "") -> Row:
    """The row of one number or of repeated measurements."""
    values = list(samples) if isinstance(samples, list) else [samples]
    return Row(case, metric, median(values), unit, min(values), max(values), len(values), note)


def shown(value: float) -> str:
    """Three significant digits, thousands grouped."""
    if value != value or value in (float("inf"), float("-inf")):
        return "–"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def line(row: Row) -> str:
    """The row as a line of progress."""
    spread = f" ({shown(row.low)} to {shown(row.high)})" if row.samples > 1 else ""
    note = f"  [{row.note}]" if row.note else ""
    return f"  {row.case}: {row.metric} {shown(row.value)} {row.unit}{spread}{note}"


def dump(rows: list[Row]) -> str:
    """JSON of rows."""
    return json.dumps([asdict(row) for row in rows])


def load(text: str) -> list[Row]:
    """Rows from their JSON."""
    return [Row(**fields) for fields in json.loads(text)]
