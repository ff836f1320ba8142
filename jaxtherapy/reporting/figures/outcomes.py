"""How therapies end: by metric, against the reference, by cell and across seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from jaxtherapy.evaluation.results import Estimate, Evaluation, MetricInfo, Numbers
from jaxtherapy.reporting.drawing import GREY, Panel, Picture
from jaxtherapy.reporting.figures.looks import (
    Look,
    as_array,
    draw_dot,
    legend_columns,
    looks,
    name_rows,
)
from jaxtherapy.reporting.formats import interval, level, number, short
from jaxtherapy.reporting.selection import median_seeds

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SEEDS_NOTE = (
    "No interval with fewer than five seeds; with few seeds intervals of interquartile means are "
    "too narrow: what is called 95 % is about 88 % with five and 93 % with eight."
)
MOST_DRAWN_CELLS = 40
DIFFERENCES = ("success", "dropout", "reward", "final_rs")


@dataclass(frozen=True)
class Dot:
    """An estimate beside its name; ``more`` is told of it, ``seeds`` are drawn around it."""

    name: str
    estimate: Estimate
    look: Look
    filled: bool = True
    more: str = ""
    seeds: Numbers | None = None


def _dots(
    title: str,
    alt: str,
    metric: MetricInfo,
    dots: Sequence[Dot],
    unit: str,
    difference: bool = False,
) -> Panel:
    """Named rows of estimates with intervals; differences have a line at zero."""
    scale = 100.0 if metric.is_share else 1.0

    def draw(axes: "Axes") -> None:
        for place, dot in enumerate(dots):
            if dot.seeds:
                heights = np.full(len(dot.seeds), place + 0.18)
                seeds = as_array(dot.seeds) * scale
                axes.plot(seeds, heights, ".", color=dot.look.color, alpha=0.6)
            draw_dot(axes, place, dot.estimate, dot.look, scale, dot.filled)
        if difference:
            axes.axvline(0, color=GREY, lw=1, ls="--")
        name_rows(axes, [short(dot.name) for dot in dots])
        # From the right end: beside long names little room is left below the axis itself.
        axes.set_xlabel(unit, loc="right")

    told = "; ".join(
        f"{dot.name} {interval(dot.estimate, metric, difference)}{dot.more}" for dot in dots
    )
    return Panel(title, f"{alt}: {told}.", draw, (4.0, max(1.9, 1.0 + 0.28 * len(dots))))


def comparison(evaluation: Evaluation) -> Picture | None:
    """Every metric of every therapist, with intervals."""
    if not evaluation.outcomes:
        return None
    labels, look_of, panels = evaluation.labels, looks(evaluation), []
    for metric in evaluation.metrics:
        better = f" ({metric.better} is better)" if metric.better else ""
        dots = [
            Dot(labels[name], row[metric.id], look_of[name])
            for name, row in evaluation.overall.items()
        ]
        unit = metric.unit.replace("share of therapies", "% of therapies") + better
        alt = f"Dots with intervals of {metric.label}{better}"
        panels.append(_dots(metric.label, alt, metric, dots, unit))
    return Picture(
        "comparison",
        "Comparison",
        f"Averages over all cells with {level(evaluation.settings['confidence'])} intervals; every "
        f"therapist treats the same {evaluation.settings['episodes']:,} clients per cell. Sessions "
        "to success are those of successes only, so of other clients where a therapist succeeds "
        "with others.",
        tuple(panels),
        3,
    )


def differences(evaluation: Evaluation) -> Picture | None:
    """Paired differences to the reference."""
    labels, look_of, panels = evaluation.labels, looks(evaluation), []
    reference = labels.get(evaluation.settings["reference"], evaluation.settings["reference"])
    for name in DIFFERENCES:
        metric = evaluation.metrics_by_id.get(name)
        dots = [
            Dot(
                labels[therapist],
                row.difference,
                look_of[therapist],
                filled=row.significant,
                more=", significant" if row.significant else "",
            )
            for therapist, row in evaluation.overall_differences(name).items()
        ]
        if metric is not None and dots:
            title = f"{metric.label}, minus {short(reference)}"
            alt = f"Dots with intervals of paired differences in {metric.label} to {reference}"
            unit = "percentage points" if metric.is_share else metric.unit
            panels.append(_dots(title, alt, metric, dots, unit, difference=True))
    if not panels:
        return None
    return Picture(
        "differences",
        f"Paired differences to {reference}",
        "The same clients for both. Filled: significant after Holm's correction; hollow: not.",
        tuple(panels),
    )


def across_seeds(evaluation: Evaluation) -> Picture | None:
    """Interquartile means with the seeds around them."""
    if not any(row.n_seeds > 1 for row in evaluation.seeds):
        return None
    look_of, groups, panels = looks(evaluation), evaluation.groups_by_id, []
    for name in dict.fromkeys(row.metric for row in evaluation.seeds):
        metric = evaluation.metrics_by_id[name]
        dots = [
            Dot(
                groups[row.group].label,
                row.iqm,
                look_of[groups[row.group].therapists[0]],
                more=f" ({row.n_seeds} seed{'s' if row.n_seeds > 1 else ''})",
                seeds=row.iqm_by_seed,
            )
            for row in evaluation.seeds
            if row.metric == name
        ]
        unit = "% of therapies" if metric.is_share else metric.unit
        alt = f"Interquartile means of {metric.label}"
        panels.append(_dots(f"{metric.label} over seeds", alt, metric, dots, unit))
    return Picture(
        "seeds",
        "Over seeds",
        "Interquartile mean over seeds and cells with its interval; small dots are each seed's "
        "over its cells. " + SEEDS_NOTE,
        tuple(panels),
        3,
    )


def by_cell(evaluation: Evaluation) -> Picture | None:
    """Success of every group's therapist in every cell."""
    cells, estimates, labels = evaluation.cells, evaluation.estimates, evaluation.labels
    if not 1 < len(cells) <= MOST_DRAWN_CELLS:
        return None
    chosen, look_of = median_seeds(evaluation), looks(evaluation)
    # A line for each part: parts can be told apart, shortened wholes could not.
    names = ["\n".join(short(part) for part in cell.label.split(", ")) for cell in cells]

    def draw(axes: "Axes") -> None:
        for at, name in enumerate(chosen):
            shift = (at - (len(chosen) - 1) / 2) * 0.7 / len(chosen)
            for place, cell in enumerate(cells):
                success = estimates[name, cell.id]["success"]
                label = "" if place else short(labels[name])
                draw_dot(axes, place + shift, success, look_of[name], 100, label=label)
        name_rows(axes, names)
        axes.set_xlabel("success, % of therapies")
        axes.set_xlim(-2, 102)
        figure = axes.get_figure(root=True)
        assert figure is not None
        figure.legend(loc="outside lower center", ncols=legend_columns(axes))

    best = []
    for cell in cells:
        values = {name: estimates[name, cell.id]["success"].estimate or 0.0 for name in chosen}
        leader = max(values, key=lambda name: values[name])
        share = number(values[leader], evaluation.metrics_by_id["success"])
        best.append(f"{cell.label}: {labels[leader]} {share} %")
    n_lines = 1 + max(name.count("\n") for name in names)
    height = 1.2 + len(cells) * max(0.15 + 0.15 * n_lines, 0.11 * len(chosen))
    alt = f"Success by cell, the highest of each: {'; '.join(best)}."
    return Picture(
        "cells",
        "For whom",
        "Of each group of seeds the one with the median reward. Every number is in the table "
        "below.",
        (Panel("success by cell", alt, draw, (4.6, height)),),
        1,
    )
