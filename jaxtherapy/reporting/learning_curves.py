"""Learning curves: a training's own picture, of one seed or many, and those of a report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxtherapy.evaluation.results import Evaluation
from jaxtherapy.reporting.drawing import BLUE, GREEN, GREY, ORANGE, PALETTE, Panel, Picture, draw
from jaxtherapy.reporting.formats import printable, short
from jaxtherapy.reporting.selection import MOST_FOLLOWED
from jaxtherapy.storage.files import write_atomically
from jaxtherapy.storage.logs import Log
from jaxtherapy.storage.progress_log import Row

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


STYLES = ("-", "--", ":", "-.")
"""Tell more trainings apart than there are colours."""


def _draw_line(axes: "Axes", logs: Sequence[Log], line: Line) -> None:
    """One seed as a line; many as thin ones, over them their interquartile mean and its interval.

    Seeds that were evaluated at different steps have no mean.
    """
    logs = [log for log in logs if line.column in log]
    if not logs:
        return
    steps = logs[0]["step"]
    together = all(log["step"] == steps for log in logs)
    middle: Any = logs[0][line.column]
    look: Any = {"marker": "o" if len(steps) == 1 else ""}  # a line of one point shows nothing
    if len(logs) > 1:
        from matplotlib.collections import LineCollection

        # Few are told apart, a thousand become a shade.
        opacity = float(np.clip(2 / np.sqrt(len(logs)), 0.04, 0.5)) if together else 0.5
        curves = [np.column_stack([log["step"], log[line.column]]) for log in logs]
        thin: Any = {"linewidths": 0.7, "alpha": opacity, "zorder": 1}
        axes.add_collection(LineCollection(curves, colors=line.color, **thin))
        axes.autoscale_view()
        if not together:
            return
        from jaxtherapy.evaluation.across_seeds import across_seeds

        across = across_seeds(np.array([log[line.column] for log in logs], float))
        middle = across.iqm
        if np.isfinite(across.iqm_low).any():
            ends = across.iqm_low, across.iqm_high
            axes.fill_between(steps, *ends, color=line.color, alpha=0.35, lw=0, zorder=3)
        # White beneath, so that the mean stands out from a thousand seeds.
        axes.plot(steps, middle, color="white", lw=4.5, zorder=2.5, **look)
    look |= {"lw": 1, "alpha": 0.7} if line is TRAINING and len(logs) == 1 else {"lw": 2.5}
    axes.plot(steps, middle, color=line.color, ls=line.style, zorder=4, **look)


def _draw_lines(axes: "Axes", logs: Sequence[Log], lines: Sequence[Line], unit: str) -> None:
    """The lines, their unit, and a legend."""
    for line in lines:
        _draw_line(axes, logs, line)
    _name_steps(axes)
    axes.set_ylabel(unit)
    if lines is RATES:
        axes.set_ylim(-0.02, 1.02)
    _legend(axes, {line.label: {"color": line.color, "ls": line.style} for line in lines})


def _name_steps(axes: "Axes") -> None:
    """``500 k`` rather than 500 000."""
    from matplotlib.ticker import EngFormatter

    axes.xaxis.set_major_formatter(EngFormatter(sep=" "))


def _legend(axes: "Axes", entries: Mapping[str, Mapping[str, Any]]) -> None:
    """What each label's line looks like."""
    from matplotlib.lines import Line2D

    looks: list[dict[str, Any]] = [
        {"color": BLUE, "lw": 2.5} | dict(look) for look in entries.values()
    ]
    axes.legend([Line2D([], [], **look) for look in looks], list(entries))


def draw_training(
    rows: Mapping[int, Sequence[Row]], title: str, path: Path, as_seeds: bool | None = None
) -> None:
    """Writes :func:`curves_as_png` to a file; where that raises OSError, ``path`` is as it was."""
    write_atomically(path, curves_as_png(rows, title, as_seeds))


def curves_as_png(
    rows: Mapping[int, Sequence[Row]], title: str, as_seeds: bool | None = None
) -> bytes:
    """Reward, success and dropout against steps, of the rows of each seed's log.

    ``as_seeds``: whether evaluations alone are drawn, with their interquartile mean and its
    interval; None: where there are several. Raises PictureError.
    """
    as_seeds = len(rows) > 1 if as_seeds is None else as_seeds
    logs = [_columns(of_seed) for of_seed in rows.values()]
    rewards = (EVALUATION,) if as_seeds else (TRAINING, EVALUATION)

    def paint(figure: "Figure") -> None:
        paint_training(figure, logs, rewards, printable(title))

    size = 8, 6.5 if as_seeds else 6
    return draw(title, size, paint, {"png": {"dpi": 120}}, **{"font.size": 10})["png"]


def _columns(rows: Sequence[Row]) -> Log:
    columns = ("step", *(line.column for line in (TRAINING, REWARD, *RATES)))
    return {name: [row[name] for row in rows] for name in columns if not rows or name in rows[0]}


def paint_training(
    figure: "Figure", logs: Sequence[Log], rewards: Sequence[Line], title: str
) -> None:
    """Rewards above, rates of success and dropout below."""
    above, below = figure.subplots(2, 1, sharex=True)
    above.set_title(title)
    _draw_lines(above, logs, rewards, "reward per therapy")
    _draw_lines(below, logs, RATES, "share of therapies")
    if len(rewards) == 1:
        _legend(above, _of_seeds(len(logs)))
    below.set_xlabel("environment steps")


def _of_seeds(n_seeds: int) -> dict[str, dict[str, Any]]:
    """What line, band and thin lines are."""
    from jaxtherapy.evaluation.statistics import FEWEST_SEEDS

    if n_seeds <= 1:
        return {"the only seed": {}}
    interval = {"its 95 % interval": {"lw": 9, "alpha": 0.35}} if n_seeds >= FEWEST_SEEDS else {}
    each = {f"each of {n_seeds:,} seeds": {"lw": 0.7, "alpha": 0.7}}
    return {"interquartile mean": {}} | interval | each


def draw_together(logs: Mapping[str, Sequence[Log]], path: Path) -> None:
    """Evaluations of several trainings, by name, each with the logs of its seeds. Raises
    PictureError, and OSError where ``path`` can't be written; it is as it was then."""
    n_colors, entries = len(PALETTE), {}
    looks = {
        name: {"color": PALETTE[place % n_colors], "style": STYLES[place // n_colors % len(STYLES)]}
        for place, name in enumerate(logs)
    }
    for name, of_seeds in logs.items():
        seeds = f" ({len(of_seeds)} seeds)" if len(of_seeds) > 1 else ""
        look = {"color": looks[name]["color"], "ls": looks[name]["style"]}
        entries[printable(short(name, 40)) + seeds] = look

    def paint(figure: "Figure") -> None:
        above, below = figure.subplots(2, 1, sharex=True)
        for axes, line in ((above, EVALUATION), (below, RATES[0])):
            for name, of_seeds in logs.items():
                _draw_line(axes, of_seeds, replace(line, **looks[name]))
            _name_steps(axes)
        above.set_ylabel("reward per therapy")
        below.set(ylabel="share of successes", ylim=(-0.02, 1.02), xlabel="environment steps")
        _legend(above, entries)

    kind = path.suffix[1:].lower()
    options = {"dpi": 120} if kind == "png" else {"metadata": {"Date": None}}
    drawn = draw(path.name, (8, 6.5), paint, {kind: options}, **{"font.size": 10})
    write_atomically(path, drawn[kind])


def learning_curves(evaluation: Evaluation, logs: Mapping[str, Log]) -> Picture | None:
    """Reward, success and dropout against steps, of every group whose logs are found."""
    panels, several = [], False
    for group in evaluation.groups:
        found = [logs[name] for name in group.therapists if logs.get(name, {}).get("step")]
        if not found:
            continue
        many = f" ({len(found)} seeds)" if len(found) > 1 else ""
        several = several or bool(many)
        for lines, unit, what in (
            ((TRAINING, REWARD), "reward per therapy", "reward"),
            (RATES, "share of therapies", "success and dropout"),
        ):
            told = "; ".join(_in_words(found[0], line) for line in lines if line.column in found[0])
            alt = (
                f"Line chart of {what} while {group.label}{many} was trained for "
                f"{found[0]['step'][-1]:,.0f} steps. {'First seed: ' if many else ''}{told}."
            )
            draw_panel = partial(_draw_panel, found, lines, unit)
            panels.append(Panel(f"{short(group.label)}{many}: {what}", alt, draw_panel))
    if not panels:
        return None
    seeds = " Thin lines: seeds; thick ones: their interquartile mean, with its interval."
    return Picture(
        "learning_curves",
        "Learning curves",
        "From the training's own log. Test: evaluations during training on fixed clients."
        + seeds * several,
        tuple(panels[: 2 * MOST_FOLLOWED]),
    )


def _draw_panel(logs: Sequence[Log], lines: Sequence[Line], unit: str, axes: "Axes") -> None:
    _draw_lines(axes, logs, lines, unit)
    axes.set_xlabel("environment steps")


def _in_words(log: Log, line: Line) -> str:
    known = [value for value in log[line.column] if np.isfinite(value)]
    if not known:
        return f"{line.label} unknown"
    return f"{line.label} from {known[0]:.2f} to {known[-1]:.2f}"
