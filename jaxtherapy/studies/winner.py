"""The settings of learning that did best, ready to train with."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from jaxtherapy.config import TrainingConfig
from jaxtherapy.studies.settings import TRAINED, Sweep
from jaxtherapy.studies.table import Row


def winner(sweep: Sweep, rows: Sequence[Row]) -> tuple[TrainingConfig, float] | None:
    """The settings of the point that gains most over the reference, mean of its seeds, and how
    much; None where no number of learning varies, or all runs diverged.

    The highest of many gains is so by luck too: with these settings a seed is trained that the
    sweep has not seen, which meets other clients, and tells what they are worth.
    """
    gains: dict[int, list[float]] = {}
    for row in rows:
        if row["therapist"] == TRAINED and row["status"] == "finished":
            gains.setdefault(row["point"], []).append(row["difference"])
    if not gains or all(axis.about.of_clients for axis in sweep.axes):
        return None
    best = max(gains, key=lambda point: float(np.mean(gains[point])))
    config, name = sweep.run_points[best].config, f"{sweep.name}_winner"
    config = replace(config, experiment_name=name, seed=config.seed + sweep.seeds)
    return config, float(np.mean(gains[best]))
