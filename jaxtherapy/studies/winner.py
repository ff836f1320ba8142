"""The settings of learning that did best, ready to train with."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from jaxtherapy.config import TrainingConfig
from jaxtherapy.studies.settings import TRAINED, Sweep
from jaxtherapy.studies.table import Row


def winner(sweep: Sweep, rows: Sequence[Row]) -> tuple[TrainingConfig, float] | None:
    """The training at the point that gains most over the reference, mean of its seeds, and how
    much; None where no number of learning varies, or all runs diverged."""
    gains: dict[int, list[float]] = {}
    for row in rows:
        if row["therapist"] == TRAINED and row["status"] == "finished":
            gains.setdefault(row["point"], []).append(row["difference"])
    if not gains or all(axis.about.of_clients for axis in sweep.axes):
        return None
    best = max(gains, key=lambda point: float(np.mean(gains[point])))
    config = replace(sweep.run_points[best].config, experiment_name=f"{sweep.name}_winner")
    return config, float(np.mean(gains[best]))
