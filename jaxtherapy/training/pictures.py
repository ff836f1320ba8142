"""The learning curve, as a picture beside the CSV."""

import io
from pathlib import Path

import matplotlib.figure
import matplotlib.ticker
import numpy as np

from jaxtherapy.training.files import write_atomically
from jaxtherapy.training.progress_log import COLUMNS, ProgressLog

# Okabe & Ito (2008): told apart with any colour vision.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#555555"


def _table(log: ProgressLog) -> dict[str, np.ndarray]:
    rows = np.array([[float(cell) for cell in row] for row in log.rows()]).reshape(-1, len(COLUMNS))
    return dict(zip(COLUMNS, rows.T, strict=True))


def draw_learning_curve(log: ProgressLog, title: str, path: Path) -> None:
    """Reward, success and dropout against steps."""
    table = _table(log)
    figure = matplotlib.figure.Figure(figsize=(8, 6), layout="constrained")
    rewards, rates = figure.subplots(2, 1, sharex=True)
    rewards.plot(table["step"], table["train_reward_mean"], color=GREY, lw=1, alpha=0.7)
    rewards.plot(table["step"], table["test_reward_mean"], color=BLUE, lw=2)
    rates.plot(table["step"], table["test_success_rate"], color=GREEN, lw=2)
    rates.plot(table["step"], table["test_dropout_rate"], color=ORANGE, lw=2, ls="--")
    rewards.set_ylabel("reward per therapy")
    rewards.legend(["training", "evaluation"], frameon=False)
    rates.set_ylabel("share of therapies")
    rates.set_ylim(-0.02, 1.02)
    rates.legend(["success", "dropout"], frameon=False)
    rates.set_xlabel("environment steps")
    rates.xaxis.set_major_formatter(matplotlib.ticker.EngFormatter(sep=" "))
    rewards.set_title(title, parse_math=False)
    for axes in (rewards, rates):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    write_atomically(path, picture.getvalue())
