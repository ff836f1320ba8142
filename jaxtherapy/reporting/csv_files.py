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
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxtherapy.evaluation.results import Estimate, Evaluation
from jaxtherapy.storage.run_files import write_atomically


def plain(value: Any) -> Any:
    """Dataclasses, arrays and NumPy numbers as JSON's own types; not finite becomes ``None``."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return _rounded(value)
    return value


def _rounded(value: float) -> float | None:
    """Seven significant digits: all that float32 outcomes carry, and half the file."""
    return float(f"{value:.7g}") if math.isfinite(value) else None


def to_json(evaluation: Evaluation) -> bytes:
    """The JSON file's contents."""
    text = json.dumps(plain(evaluation), ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


_COLUMNS = (
    *("therapist", "kind", "seed", "cell", "pattern", "mechanism", "threshold", "entropy"),
    *("matrix", "episodes", "metric", "estimate", "low", "high", "se", "reference"),
    *("difference", "difference_low", "difference_high", "difference_se", "p", "p_holm"),
    "significant",
)


def to_csv(evaluation: Evaluation) -> bytes:
    """The CSV file's contents."""
    therapists = {each.id: each for each in evaluation.therapists}
    cells = {each.id: each for each in evaluation.cells}
    differences = {(d.therapist, d.cell, d.metric): d for d in evaluation.differences}
    entries = []
    for row in evaluation.outcomes:
        who, cell = therapists[row.therapist], cells.get(row.cell)
        about: dict[str, Any] = {"therapist": who.id, "kind": who.kind, "seed": who.seed}
        about |= {"cell": row.cell, "episodes": row.episodes}
        if cell is not None:
            about |= {name: getattr(cell, name) for name in _COLUMNS[4:9]}
        for metric, estimate in row.metrics.items():
            entry = about | {"metric": metric} | vars(estimate)
            paired = differences.get((row.therapist, row.cell, metric))
            if paired is not None:
                gap = paired.difference
                entry |= {"reference": paired.reference, "p": paired.p, "p_holm": paired.p_holm}
                entry |= {"significant": paired.significant}
                entry |= {"difference": gap.estimate, "difference_low": gap.low}
                entry |= {"difference_high": gap.high, "difference_se": gap.se}
            entries.append(entry)
    return _as_csv(_COLUMNS, entries)


def _as_csv(columns: Sequence[str], entries: Iterable[dict[str, Any]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n", restval="")
    writer.writeheader()
    for entry in entries:
        writer.writerow({key: plain(value) for key, value in entry.items()})
    return text.getvalue().encode()


def _spread(name: str, estimate: Estimate) -> dict[str, Any]:
    """Columns of an estimate."""
    return {name: estimate.estimate, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


_SEED_COLUMNS = (
    *("group", "n_seeds", "metric", "statistic", "over", "estimate", "low", "high", "se"),
    "by_seed",
)


def seeds_csv(evaluation: Evaluation) -> bytes:
    """A row per group, metric and statistic: ``iqm``, ``mean``, ``P(above over)``."""
    n_seeds = {group.id: len(group.therapists) for group in evaluation.groups}
    entries: list[dict[str, Any]] = []
    for row in evaluation.seeds:
        about: dict[str, Any] = {"group": row.group, "n_seeds": row.n_seeds, "metric": row.metric}
        for statistic, estimate, by_seed in (
            ("iqm", row.iqm, row.iqm_by_seed),
            ("mean", row.mean, row.by_seed),
        ):
            values = " ".join("" if each is None else f"{plain(each)}" for each in by_seed)
            entries.append(about | {"statistic": statistic, "by_seed": values} | vars(estimate))
    for chance in evaluation.improvement:
        about = {"group": chance.group, "n_seeds": n_seeds[chance.group], "metric": chance.metric}
        about |= {"statistic": "P(above over)", "over": chance.over}
        entries.append(about | vars(chance.probability))
    return _as_csv(_SEED_COLUMNS, entries)


_CONTRASTS = ("first_minus_middle", "last_minus_middle", "curvature")
_PARTS = ("first", "middle", "last", *_CONTRASTS, *(f"beyond_twin_{name}" for name in _CONTRASTS))
_SHAPE_COLUMNS = (
    *("therapist", "outcome", "acts", "measure", "episodes", "pairs_with_twin"),
    *(f"{name}{end}" for name in _PARTS for end in ("", "_low", "_high")),
    *("p_curvature", "p_high_low_high", "p_beyond_twin", "high_low_high"),
)


def shapes_csv(evaluation: Evaluation) -> bytes:
    """A row per therapist, outcome, kind of act and measure."""
    entries = []
    for course in evaluation.courses:
        for shape in course.shapes:
            entry: dict[str, Any] = {"therapist": course.therapist}
            for name in ("outcome", "acts", "measure", "episodes"):
                entry[name] = getattr(shape, name)
            for name in ("p_curvature", "p_high_low_high", "high_low_high"):
                entry[name] = getattr(shape, name)
            for name, third in zip(("first", "middle", "last"), shape.thirds, strict=True):
                entry |= _spread(name, third)
            twin = shape.beyond_twin
            for name in _CONTRASTS:
                entry |= _spread(name, getattr(shape, name))
                if twin is not None:
                    entry |= _spread(f"beyond_twin_{name}", getattr(twin, name))
            if twin is not None:
                entry |= {"pairs_with_twin": twin.pairs, "p_beyond_twin": twin.p}
            entries.append(entry)
    return _as_csv(_SHAPE_COLUMNS, entries)


def write(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Writes all files, each whole or not at all; earlier ones are replaced.

    Raises:
        OSError: the folder is read-only or full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        "evaluation.json": to_json(evaluation),
        "evaluation.csv": to_csv(evaluation),
        "evaluation_seeds.csv": seeds_csv(evaluation),
        "evaluation_shapes.csv": shapes_csv(evaluation),
    }
    for name, content in contents.items():
        write_atomically(folder / name, content)
    return [folder / name for name in contents]
