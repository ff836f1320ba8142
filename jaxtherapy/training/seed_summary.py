"""A run of several seeds as a CSV file and a table: what training does, whatever the seed."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.table import Table
from rich.text import Text

from jaxtherapy.evaluation.across_seeds import AcrossSeeds, Ranking, across_seeds, rank_seeds
from jaxtherapy.evaluation.statistics import FEWEST_SEEDS
from jaxtherapy.storage.files import write_atomically
from jaxtherapy.storage.progress_log import Row

METRICS = {
    "test_reward": "test_reward_mean",
    "test_success_rate": "test_success_rate",
    "test_dropout_rate": "test_dropout_rate",
    "test_length": "test_length_mean",
}
"""The summary's name of each metric, and its column in the logs."""

SUMMARY_COLUMNS = (
    "epoch",
    "step",
    "n_seeds",
    *(f"{metric}_{statistic}" for metric in METRICS for statistic in AcrossSeeds._fields),
)

Rows = Mapping[int, Sequence[Row]]
"""The rows of each seed's log; all seeds were evaluated at the same steps."""


def _column(rows: Rows, name: str) -> np.ndarray:
    """(seeds, evaluations) of one column."""
    return np.array([[row[name] for row in of_seed] for of_seed in rows.values()], float)


def _steps(rows: Rows) -> np.ndarray:
    """The steps at which all seeds were evaluated.
    Raises ValueError: there is no seed, or not all have the same steps."""
    steps = [[row["step"] for row in of_seed] for of_seed in rows.values()]
    if not steps:
        raise ValueError("there is no seed to summarise")
    if any(each != steps[0] for each in steps):
        raise ValueError("the seeds' logs have different steps")
    return np.array(steps[0], float)


# --- CSV ------------------------------------------------------------------------------------


def write_summary(rows: Rows, path: Path) -> None:
    """Writes ``SUMMARY_COLUMNS``, a row for each evaluation; the same rows give the same bytes.

    ``nan`` where there is nothing to say: the spread of one seed, the interval of fewer than five.
    Raises OSError: the folder is gone, read-only or full; ``path`` is as it was."""
    steps = _steps(rows)
    epochs = _column(rows, "epoch")[0]
    statistics = [across_seeds(_column(rows, column)) for column in METRICS.values()]
    numbers = np.stack([column for metric in statistics for column in metric], axis=1)
    lines = [",".join(SUMMARY_COLUMNS)]
    for epoch, step, row in zip(epochs, steps, numbers, strict=True):
        cells = [f"{epoch:.0f}", f"{step:.0f}", str(len(rows)), *(f"{x:.7g}" for x in row)]
        lines.append(",".join(cells))
    write_atomically(path, ("\n".join(lines) + "\n").encode())


# --- table ----------------------------------------------------------------------------------


def ranking(rows: Rows) -> Ranking:
    """The best, median and worst seed by the reward of the last evaluation."""
    return rank_seeds({seed: of_seed[-1]["test_reward_mean"] for seed, of_seed in rows.items()})


def seeds_table(rows: Rows) -> Table:
    """The best, median and worst seed by final reward, and all seeds with intervals."""
    steps = _steps(rows)
    seeds = f"{len(rows):,} seed{'s' * (len(rows) > 1)}"
    table = Table(title=f"The last evaluation of {seeds}", title_justify="left")
    table.add_column("")
    table.add_column("seed", justify="right")
    for column in ("reward", "success", "dropout", "sessions"):
        table.add_column(column, justify="right")
    if not len(steps):
        return table
    last = {seed: of_seed[-1] for seed, of_seed in rows.items()}
    for name, seed in ranking(rows)._asdict().items():
        cells = [_number(metric, last[seed][column]) for metric, column in METRICS.items()]
        table.add_row(name, str(seed), *cells)
    table.add_section()
    # Text, whose brackets are brackets on any console: markup would swallow them.
    cells = [_with_interval(last, metric, column) for metric, column in METRICS.items()]
    name = "IQM\n[95 % interval]" if len(rows) >= FEWEST_SEEDS else "IQM"
    table.add_row(*map(Text, (name, "all", *cells)))
    return table


def _number(metric: str, value: float) -> str:
    return f"{value:.1%}" if metric.endswith("_rate") else f"{value:.1f}"


def _with_interval(last: Mapping[int, Row], metric: str, column: str) -> str:
    across = across_seeds(np.array([[row[column]] for row in last.values()]))
    iqm, low, high = (
        _number(metric, float(x[0])) for x in (across.iqm, across.iqm_low, across.iqm_high)
    )
    return iqm if len(last) < FEWEST_SEEDS else f"{iqm}\n[{low}, {high}]"
