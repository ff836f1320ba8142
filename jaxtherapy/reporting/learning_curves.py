"""The learning curve, as a picture beside the CSV."""

import io
from pathlib import Path
from typing import Any

import matplotlib.figure
import matplotlib.ticker
from matplotlib.axes import Axes

from jaxtherapy.reporting.palette import BLUE, GREEN, GREY, ORANGE
from jaxtherapy.storage.progress_log import COLUMNS, ProgressLog
from jaxtherapy.storage.run_files import write_atomically


class LearningCurve:
    """Two axes over environment steps: rewards above, rates of success and dropout below."""

    def __init__(self, title: str, height: float) -> None:
        self._figure = matplotlib.figure.Figure(figsize=(8, height), layout="constrained")
        self.rewards: Axes
        self.rates: Axes
        self.rewards, self.rates = self._figure.subplots(2, 1, sharex=True)
        self.rewards.set_title(title, parse_math=False)
        self.rewards.set_ylabel("reward per therapy")
        self.rates.set_ylabel("share of therapies")
        self.rates.set_ylim(-0.02, 1.02)
        self.rates.set_xlabel("environment steps")
        self.rates.xaxis.set_major_formatter(matplotlib.ticker.EngFormatter(sep=" "))
        for axes in (self.rewards, self.rates):
            axes.grid(alpha=0.25)
            axes.spines[["top", "right"]].set_visible(False)

    def write(self, path: Path) -> None:
        """Draws.

        Raises:
            OSError: the folder is gone, read-only or full; ``path`` is as it was.
        """
        picture = io.BytesIO()
        self._figure.savefig(picture, format="png", dpi=120)
        write_atomically(path, picture.getvalue())


def draw_learning_curve(log: ProgressLog, title: str, path: Path) -> None:
    """Reward, success and dropout of one seed against steps."""
    rows = log.numbers()
    table = {name: [row[name] for row in rows] for name in COLUMNS}
    curve = LearningCurve(title, height=6)
    marker = "o" if len(rows) == 1 else ""  # a line of one point shows nothing
    look: dict[str, Any] = {"lw": 2, "marker": marker}
    curve.rewards.plot(
        table["step"], table["train_reward_mean"], color=GREY, lw=1, marker=marker, alpha=0.7
    )
    curve.rewards.plot(table["step"], table["test_reward_mean"], color=BLUE, **look)
    curve.rewards.legend(["training", "evaluation"], frameon=False)
    curve.rates.plot(table["step"], table["test_success_rate"], color=GREEN, **look)
    curve.rates.plot(table["step"], table["test_dropout_rate"], color=ORANGE, ls="--", **look)
    curve.rates.legend(["success", "dropout"], frameon=False)
    curve.write(path)
