"""Learning curves: a training's own picture, of one seed or many, and those of a report."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxtherapy.evaluation.results import Evaluation
from jaxtherapy.reporting.drawing import BLUE, GREEN, GREY, ORANGE, Panel, Picture, draw
from jaxtherapy.reporting.formats import short
from jaxtherapy.reporting.selection import MOST_FOLLOWED
from jaxtherapy.storage.files import write_atomically
from jaxtherapy.storage.logs import Log
from jaxtherapy.storage.progress_log import ProgressLog, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Line:
    """A column of the logs and how it is drawn."""

    column: str
    label: str
    color: str
    style: str = "-"


TRAINING = Line("train_reward_mean", "training", GREY)
REWARD = Line("test_reward_mean", "test", BLUE)
EVALUATION = Line("test_reward_mean", "evaluation", BLUE)
RATES = (
    Line("test_success_rate", "success", GREEN),
    Line("test_dropout_rate", "dropout", ORANGE, "--"),
)


def _draw_line(axes: "Axes", logs: Sequence[Log], line: Line) -> None:
    """One seed as a line; many as thin ones, over them their interquartile mean and its interval.

    Seeds that were evaluated at different steps have no mean.
    """
    logs = [log for log in logs if line.column in log]
    if not logs:
        return
    steps = logs[0]["step"]
    together = all(log["step"] == steps for log in logs)
    marker = "o" if len(steps) == 1 else ""  # a line of one point shows nothing
    if len(logs) > 1:
        from matplotlib.collections import LineCollection

        # Few are told apart, a thousand become a shade.
        opacity = float(np.clip(2 / np.sqrt(len(logs)), 0.04, 0.5))
        curves = [np.column_stack([log["step"], log[line.column]]) for log in logs]
        style: Any = {"linewidths": 0.7, "alpha": opacity if together else 0.5, "zorder": 1}
        axes.add_collection(LineCollection(curves, colors=line.color, **style))
        axes.autoscale_view()
    if not together:
        return
    middle: Any = logs[0][line.column]
    if len(logs) > 1:
        from jaxtherapy.evaluation.across_seeds import across_seeds

        across = across_seeds(np.array([log[line.column] for log in logs], float))
        middle = across.iqm
        band = np.isfinite(across.iqm_low)
        if band.any():
            ends = across.iqm_low, across.iqm_high
            axes.fill_between(steps, *ends, color=line.color, alpha=0.35, lw=0, zorder=3)
        # White beneath, so that the mean stands out from a thousand seeds.
        axes.plot(steps, middle, color="white", lw=4.5, marker=marker, zorder=2.5)
    look: Any = {"color": line.color, "ls": line.style, "marker": marker, "lw": 2.5}
    if line is TRAINING and len(logs) == 1:
        look |= {"lw": 1, "alpha": 0.7}
    axes.plot(steps, middle, zorder=4, **look)


def _finish(axes: "Axes", lines: Sequence[Line], unit: str) -> None:
    """Labels, and a legend of the lines."""
    from matplotlib.lines import Line2D
    from matplotlib.ticker import EngFormatter

    axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
    axes.set_ylabel(unit)
    if unit.startswith("share"):
        axes.set_ylim(-0.02, 1.02)
    handles = [Line2D([], [], color=line.color, lw=2.5, ls=line.style) for line in lines]
    axes.legend(handles, [line.label for line in lines])


# --- of a training --------------------------------------------------------------------------


def draw_learning_curve(log: ProgressLog, title: str, path: Path) -> None:
    """Reward, success and dropout of one seed against steps.

    Raises:
        PictureError: it can't be drawn.
        OSError: the folder is gone, read-only or full; ``path`` is as it was.
    """
    _draw_training([_columns(log.numbers())], (TRAINING, EVALUATION), title, path)


def draw_seed_curves(rows: Mapping[int, Sequence[Row]], title: str, path: Path) -> None:
    """The same of the rows of each seed's log: the seeds, their interquartile mean, its interval.

    Raises:
        PictureError: it can't be drawn.
        OSError: the folder is gone, read-only or full; ``path`` is as it was.
    """
    _draw_training([_columns(of_seed) for of_seed in rows.values()], (EVALUATION,), title, path)


def _columns(rows: Sequence[Row]) -> Log:
    columns = ("step", *(line.column for line in (TRAINING, REWARD, *RATES)))
    return {name: [row[name] for row in rows] for name in columns if not rows or name in rows[0]}


def _draw_training(logs: Sequence[Log], rewards: Sequence[Line], title: str, path: Path) -> None:
    def paint(figure: "Figure") -> None:
        paint_training(figure, logs, rewards, title)

    size = 8, 6 if len(rewards) > 1 else 6.5
    files = {"png": {"dpi": 120}}
    write_atomically(path, draw(path.name, size, paint, files, **{"font.size": 10})["png"])


def paint_training(
    figure: "Figure", logs: Sequence[Log], rewards: Sequence[Line], title: str
) -> None:
    """Rewards above, rates of success and dropout below."""
    above, below = figure.subplots(2, 1, sharex=True)
    above.set_title(title)
    for axes, lines, unit in (
        (above, rewards, "reward per therapy"),
        (below, RATES, "share of therapies"),
    ):
        for line in lines:
            _draw_line(axes, logs, line)
        _finish(axes, lines, unit)
    if len(rewards) == 1:
        _explain(above, len(logs))
    below.set_xlabel("environment steps")


def _explain(axes: "Axes", n_seeds: int) -> None:
    """A legend of what line, band and thin lines are."""
    from matplotlib.lines import Line2D

    from jaxtherapy.evaluation.statistics import FEWEST_SEEDS

    entries = {"the only seed": {"lw": 2.5}}
    if n_seeds > 1:
        entries = {"interquartile mean": {"lw": 2.5}}
        if n_seeds >= FEWEST_SEEDS:
            entries["its 95 % interval"] = {"lw": 9, "alpha": 0.35}
        entries[f"each of {n_seeds:,} seeds"] = {"lw": 0.7, "alpha": 0.7}
    handles = [Line2D([], [], color=BLUE, **look) for look in entries.values()]  # type: ignore[arg-type]
    axes.legend(handles, list(entries))


# --- of a report ----------------------------------------------------------------------------


def learning_curves(evaluation: Evaluation, logs: Mapping[str, Log]) -> Picture | None:
    """Reward, success and dropout against steps, of every group whose logs are found."""
    panels, several = [], False
    for group in evaluation.groups:
        found = [logs[name] for name in group.therapists if logs.get(name, {}).get("step")]
        if not found:
            continue
        many = f" ({len(found)} seeds)" if len(found) > 1 else ""
        several = several or len(found) > 1
        for lines, unit, what in (
            ((TRAINING, REWARD), "reward per therapy", "reward"),
            (RATES, "share of therapies", "success and dropout"),
        ):
            told = "; ".join(_in_words(found[0], line) for line in lines if line.column in found[0])
            alt = (
                f"Line chart of {what} while {group.label}{many} was trained for "
                f"{found[0]['step'][-1]:,.0f} steps. {'First seed: ' if many else ''}{told}."
            )
            draw_panel = _draw_panel(found, lines, unit)
            panels.append(Panel(f"{short(group.label)}{many}: {what}", alt, draw_panel))
    if not panels:
        return None
    return Picture(
        "learning_curves",
        "Learning curves",
        "From the training's own log. Test: evaluations during training on fixed clients."
        + (
            several * " Thin lines: seeds; thick ones: their interquartile mean, with its interval."
        ),
        tuple(panels[: 2 * MOST_FOLLOWED]),
    )


def _in_words(log: Log, line: Line) -> str:
    known = [value for value in log[line.column] if np.isfinite(value)]
    if not known:
        return f"{line.label} unknown"
    return f"{line.label} from {known[0]:.2f} to {known[-1]:.2f}"


def _draw_panel(logs: Sequence[Log], lines: Sequence[Line], unit: str) -> "Callable[[Axes], None]":
    def draw_panel(axes: "Axes") -> None:
        for line in lines:
            _draw_line(axes, logs, line)
        _finish(axes, lines, unit)
        axes.set_xlabel("environment steps")

    return draw_panel
