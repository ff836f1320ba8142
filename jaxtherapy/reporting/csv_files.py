"""An evaluation as files: ``evaluation.json`` and three of CSV.

``evaluation.json`` has everything (:mod:`.results`). ``evaluation.csv`` has one row per therapist,
cell (and ``all``) and metric: the estimate with its interval, and the paired difference to the
reference with interval, p-values and significance. ``evaluation_seeds.csv`` has the interquartile
means and means over seeds, and the probabilities of improvement; ``evaluation_shapes.csv`` every
test of the shape of therapy. Curves, response maps and episodes are in the JSON only.
"""

import csv
import dataclasses
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from jaxtherapy.evaluation.results import Evaluation
from jaxtherapy.reporting import tables
from jaxtherapy.reporting.tables import Column, Table
from jaxtherapy.storage.files import write_atomically

FILES = ("evaluation.json", "evaluation.csv", "evaluation_seeds.csv", "evaluation_shapes.csv")

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


def write(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Writes all files, each whole or not at all; earlier ones are replaced.

    Raises:
        OSError: the folder is read-only or full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = to_json(evaluation), to_csv(evaluation), seeds_csv(evaluation), shapes_csv(evaluation)
    for name, content in zip(FILES, made, strict=True):
        write_atomically(folder / name, content)
    return [folder / name for name in FILES]


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
    """The JSON file's contents."""
    text = json.dumps(plain(evaluation), ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def to_csv(evaluation: Evaluation) -> bytes:
    """A row per therapist, cell and metric."""
    therapists = {each.id: each for each in evaluation.therapists}
    cells = {each.id: each for each in evaluation.cells}
    differences = {(d.therapist, d.cell, d.metric): d for d in evaluation.differences}
    rows = []
    for row in evaluation.outcomes:
        who, cell = therapists[row.therapist], cells.get(row.cell)
        about = [who.id, who.kind, who.seed, row.cell]
        about += [None if cell is None else getattr(cell, name) for name in _CELL]
        for metric, estimate in row.metrics.items():
            entry = [*about, row.episodes, metric, *dataclasses.astuple(estimate)]
            paired = differences.get((row.therapist, row.cell, metric))
            if paired is None:
                entry += [None] * 8
            else:
                entry += [paired.reference, *dataclasses.astuple(paired.difference)]
                entry += [paired.p, paired.p_holm, paired.significant]
            rows.append(entry)
    return as_csv(Table("", [Column(name) for name in _COLUMNS], rows))


def seeds_csv(evaluation: Evaluation) -> bytes:
    """A row per group, metric and statistic: ``iqm``, ``mean``, ``P(above over)``."""
    rows: list[list[Any]] = []
    for row in evaluation.seeds:
        for statistic, estimate, by_seed in (
            ("iqm", row.iqm, row.iqm_by_seed),
            ("mean", row.mean, row.by_seed),
        ):
            about = [row.group, row.n_seeds, row.metric, statistic, None]
            values = " ".join("" if each is None else f"{plain(each)}" for each in by_seed)
            rows.append([*about, *dataclasses.astuple(estimate), values])
    for better in evaluation.improvement:
        n_seeds = len(evaluation.groups_by_id[better.group].therapists)
        about = [better.group, n_seeds, better.metric, "P(above over)", better.over]
        rows.append([*about, *dataclasses.astuple(better.probability), None])
    return as_csv(Table("", [Column(name) for name in _SEED_COLUMNS], rows))


def shapes_csv(evaluation: Evaluation) -> bytes:
    """A row per therapist, outcome, kind of act and measure; estimates have three columns."""
    table = tables.shape_tests(evaluation, untested=False)
    columns: dict[str, list[Any]] = {}
    for place, column in enumerate(table.columns):
        values = [row[place] for row in table.rows]
        if column.name not in tables.ESTIMATES:
            columns[column.name] = values
            continue
        for end, part in (("", "estimate"), ("_low", "low"), ("_high", "high")):
            columns[column.name + end] = [getattr(value, part, None) for value in values]
    rows = list(zip(*columns.values(), strict=True))
    return as_csv(Table("", [Column(name) for name in columns], rows))


def as_csv(table: Table) -> bytes:
    """A table's values under its headings; what is unknown is empty."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(table.headings)
    writer.writerows([plain(value) for value in row] for row in table.rows)
    return file.getvalue().encode()
