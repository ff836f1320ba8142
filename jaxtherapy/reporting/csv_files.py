"""An evaluation as files: ``evaluation.json`` and three of CSV.

``evaluation.json`` has everything (:mod:`jaxtherapy.evaluation.results`), ``evaluation.csv`` a row
per therapist, cell (and ``all``) and metric: the estimate and the paired difference to the
reference. ``evaluation_seeds.csv`` has the statistics over seeds, ``evaluation_shapes.csv`` every
test of the shape of therapy. Curves, response maps and episodes are in the JSON only.

Names that a spreadsheet would take for a formula begin with an apostrophe in CSV.
"""

import csv
import dataclasses
import io
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxtherapy.evaluation.results import Estimate, Evaluation
from jaxtherapy.reporting.formats import printable
from jaxtherapy.reporting.tables import CONTRASTS, THIRDS, shape_values
from jaxtherapy.storage.files import write_atomically
from jaxtherapy.storage.tables import harmless

_SURROGATE = re.compile("[\ud800-\udfff]")
FILES = ("evaluation.json", "evaluation.csv", "evaluation_seeds.csv", "evaluation_shapes.csv")
CODED_FILES = ("evaluation.json", "evaluation_shapes.csv")

_CELL = ("pattern", "mechanism", "threshold", "entropy", "matrix")
_ENDS = ("", "_low", "_high", "_se")
_COLUMNS = (
    *("therapist", "kind", "seed", "cell", *_CELL, "episodes", "metric"),
    *("estimate", "low", "high", "se", "reference", *(f"difference{end}" for end in _ENDS)),
    *("p", "p_holm", "significant"),
)
_SEED_COLUMNS = (
    *("group", "n_seeds", "metric", "statistic", "over", "estimate", "low", "high", "se"),
    "by_seed",
)
_SHAPE_ESTIMATES = (*THIRDS, *CONTRASTS, *(f"beyond_twin_{name}" for name in CONTRASTS))
_SHAPE_COLUMNS = (
    *("therapist", "outcome", "acts", "measure", "episodes", "pairs_with_twin"),
    *(name + end for name in _SHAPE_ESTIMATES for end in _ENDS[:3]),
    *("p_curvature", "p_high_low_high", "p_beyond_twin", "high_low_high"),
)


def write(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Writes all files, each whole or not at all; earlier ones are replaced.

    Raises:
        OSError: the folder is read-only or full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = to_json(evaluation), to_csv(evaluation), seeds_csv(evaluation), shapes_csv(evaluation)
    files = dict(zip((folder / name for name in FILES), made, strict=True))
    if not evaluation.outcomes:  # of coded therapies
        files = {path: content for path, content in files.items() if path.name in CODED_FILES}
    for path, content in files.items():
        write_atomically(path, content)
    return list(files)


def plain(value: Any) -> Any:
    """Dataclasses, arrays and NumPy numbers as JSON's own types; not finite becomes ``None``.

    Numbers have seven significant digits: all that float32 outcomes carry, and half the file.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, float):
        return float(f"{value:.7g}") if math.isfinite(value) else None
    return value


def to_json(evaluation: Evaluation) -> bytes:
    """The JSON file's contents; of what is not UTF-8 in names, the escapes that we show."""
    text = json.dumps(plain(evaluation), ensure_ascii=False, allow_nan=False)
    return (_SURROGATE.sub(lambda match: "\\" + printable(match[0]), text) + "\n").encode()


def to_csv(evaluation: Evaluation) -> bytes:
    """A row per therapist, cell and metric."""
    therapists = {each.id: each for each in evaluation.therapists}
    cells = {each.id: each for each in evaluation.cells}
    differences = {(d.therapist, d.cell, d.metric): d for d in evaluation.differences}
    rows = []
    for row in evaluation.outcomes:
        who, cell = therapists[row.therapist], cells.get(row.cell)
        about = {"therapist": who.id, "kind": who.kind, "seed": who.seed, "cell": row.cell}
        about |= {name: getattr(cell, name, None) for name in _CELL}
        for metric, estimate in row.metrics.items():
            entry = about | {"episodes": row.episodes, "metric": metric, **vars(estimate)}
            paired = differences.get((row.therapist, row.cell, metric))
            if paired:
                entry |= {name: getattr(paired, name) for name in ("reference", *_COLUMNS[-3:])}
                entry |= _with_ends("difference", paired.difference)
            rows.append(entry)
    return as_csv(_COLUMNS, rows)


def seeds_csv(evaluation: Evaluation) -> bytes:
    """A row per group, metric and statistic: ``iqm``, ``mean``, ``P(above over)``."""
    rows: list[dict[str, Any]] = []
    for row in evaluation.seeds:
        about = {"group": row.group, "n_seeds": row.n_seeds, "metric": row.metric}
        rows += [
            about | {"statistic": "iqm", **vars(row.iqm), "by_seed": row.iqm_by_seed},
            about | {"statistic": "mean", **vars(row.mean), "by_seed": row.by_seed},
        ]
    for better in evaluation.improvement:
        n_seeds = len(evaluation.groups_by_id[better.group].therapists)
        about = {"group": better.group, "n_seeds": n_seeds, "metric": better.metric}
        above = {"statistic": "P(above over)", "over": better.over, **vars(better.probability)}
        rows.append(about | above)
    return as_csv(_SEED_COLUMNS, rows)


def shapes_csv(evaluation: Evaluation) -> bytes:
    """A row per therapist, outcome, kind of act and measure; estimates have three columns."""
    rows = [shape_values(course, each) for course in evaluation.courses for each in course.shapes]
    for row in rows:
        for name in _SHAPE_ESTIMATES:
            row |= _with_ends(name, row[name])
    return as_csv(_SHAPE_COLUMNS, rows)


def _with_ends(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    """An estimate by the names of its columns."""
    return {name + end: getattr(estimate, end[1:] or "estimate", None) for end in _ENDS}


def as_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Values under the columns' names; what is unknown is empty."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(row.get(name)) for name in columns] for row in rows)
    return file.getvalue().encode()


def _cell(value: Any) -> Any:
    """Numbers as they are, lists of them with spaces between, texts made harmless."""
    value = plain(value)
    if isinstance(value, list):
        return " ".join("" if each is None else f"{each}" for each in value)
    return harmless(printable(value)) if isinstance(value, str) else value
