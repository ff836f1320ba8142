"""How therapies end: by metric, against the reference, by cell and across seeds."""

from typing import TYPE_CHECKING

import numpy as np

from jaxtherapy.evaluation.results import DifferenceRow, Evaluation, MetricInfo, SeedsRow
from jaxtherapy.reporting.drawing import GREY, Panel, Picture
from jaxtherapy.reporting.figures.looks import (
    Look,
    as_array,
    draw_dot,
    legend_columns,
    looks,
    name_rows,
    row_height,
    shown_names,
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


def _scale(metric: MetricInfo) -> float:
    return 100.0 if metric.is_share else 1.0


def comparison(evaluation: Evaluation) -> Picture:
    """Every metric of every therapist, with intervals."""
    return Picture(
        "comparison",
        "Comparison",
        f"Averages over all cells with {level(evaluation.settings['confidence'])} intervals; every "
        f"therapist treats the same {evaluation.settings['episodes']:,} clients per cell. Sessions "
        "to success are those of successes only, so of other clients where a therapist succeeds "
        "with others.",
        tuple(_comparison_of(evaluation, metric) for metric in evaluation.metrics),
        3,
    )


def _comparison_of(evaluation: Evaluation, metric: MetricInfo) -> Panel:
    estimates = {name: row[metric.id] for name, row in evaluation.overall.items()}
    told = (f"{evaluation.labels[n]} {interval(e, metric)}" for n, e in estimates.items())
    better = f" ({metric.better} is better)" if metric.better else ""

    def draw(axes: "Axes") -> None:
        look_of = looks(evaluation)
        for place, (name, estimate) in enumerate(estimates.items()):
            draw_dot(axes, place, estimate, look_of[name], _scale(metric))
        name_rows(axes, shown_names(evaluation, list(estimates)))
        unit = metric.unit
        if metric.is_share:
            unit = "% of therapies" + unit.removeprefix("share of therapies")
        # From the right end: beside long names little room is left below the axis itself.
        axes.set_xlabel(unit + better, loc="right")

    alt = f"Dots with intervals of {metric.label}{better}: {'; '.join(told)}."
    return Panel(metric.label, alt, draw, (4.0, row_height(len(estimates))))


def differences(evaluation: Evaluation) -> Picture | None:
    """Paired differences to the reference."""
    panels = []
    for name in DIFFERENCES:
        rows, metric = evaluation.overall_differences(name), evaluation.metrics_by_id.get(name)
        if rows and metric is not None:
            panels.append(_differences_in(evaluation, rows, metric))
    if not panels:
        return None
    reference = evaluation.settings["reference"]
    return Picture(
        "differences",
        f"Paired differences to {evaluation.labels.get(reference, reference)}",
        "The same clients for both. Filled: significant after Holm's correction; hollow: not.",
        tuple(panels),
    )


def _differences_in(
    evaluation: Evaluation, rows: dict[str, DifferenceRow], metric: MetricInfo
) -> Panel:
    reference = evaluation.settings["reference"]
    told = "; ".join(
        f"{evaluation.labels[name]} {interval(row.difference, metric, True)}"
        f"{', significant' if row.significant else ''}"
        for name, row in rows.items()
    )

    def draw(axes: "Axes") -> None:
        look_of, scale = looks(evaluation), _scale(metric)
        for place, (name, row) in enumerate(rows.items()):
            draw_dot(axes, place, row.difference, look_of[name], scale, filled=row.significant)
        axes.axvline(0, color=GREY, lw=1, ls="--")
        name_rows(axes, shown_names(evaluation, list(rows)))
        axes.set_xlabel("percentage points" if metric.is_share else metric.unit, loc="right")

    return Panel(
        f"{metric.label}, minus {short(evaluation.labels.get(reference, reference))}",
        f"Dots with intervals of paired differences in {metric.label} to {reference}: {told}.",
        draw,
        (4.0, row_height(len(rows))),
    )


def by_cell(evaluation: Evaluation) -> Picture | None:
    """Success of every group's therapist in every cell."""
    cells, estimates = evaluation.cells, evaluation.estimates
    if not 1 < len(cells) <= MOST_DRAWN_CELLS:
        return None
    chosen = median_seeds(evaluation)
    names, all_looks = shown_names(evaluation, chosen), looks(evaluation)
    # A line for each part: parts can be told apart, shortened wholes could not.
    told = ["\n".join(short(part) for part in cell.label.split(", ")) for cell in cells]

    def draw(axes: "Axes") -> None:
        for at, (name, label) in enumerate(zip(chosen, names, strict=True)):
            shift = (at - (len(chosen) - 1) / 2) * 0.7 / max(1, len(chosen))
            for place, cell in enumerate(cells):
                success = estimates[name, cell.id]["success"]
                label = label if place == 0 else ""
                draw_dot(axes, place + shift, success, all_looks[name], 100, label=label)
        name_rows(axes, told)
        axes.set_xlabel("success, % of therapies")
        axes.set_xlim(-2, 102)
        figure = axes.get_figure(root=True)
        assert figure is not None
        figure.legend(loc="outside lower center", ncols=legend_columns(axes, 57))

    best = []
    for cell in cells:
        values = {name: estimates[name, cell.id]["success"].estimate or 0.0 for name in chosen}
        leader = max(values, key=lambda name: values[name])
        share = number(values[leader], evaluation.metrics_by_id["success"])
        best.append(f"{cell.label}: {evaluation.labels[leader]} {share} %")
    n_lines = 1 + max(label.count("\n") for label in told)
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


def across_seeds(evaluation: Evaluation) -> Picture | None:
    """Interquartile means with the seeds around them."""
    if not any(row.n_seeds > 1 for row in evaluation.seeds):
        return None
    all_looks, groups = looks(evaluation), evaluation.groups_by_id
    look_of = {name: all_looks[group.therapists[0]] for name, group in groups.items()}
    panels = []
    for metric in dict.fromkeys(row.metric for row in evaluation.seeds):
        rows = [row for row in evaluation.seeds if row.metric == metric]
        panels.append(_across_seeds_in(evaluation, rows, look_of))
    return Picture(
        "seeds",
        "Over seeds",
        "Interquartile mean over seeds and cells with its interval; small dots are each seed's "
        "over its cells. " + SEEDS_NOTE,
        tuple(panels),
        3,
    )


def _across_seeds_in(
    evaluation: Evaluation, rows: list[SeedsRow], look_of: dict[str, Look]
) -> Panel:
    """The groups in one metric."""
    metric = evaluation.metrics_by_id[rows[0].metric]
    names = [evaluation.groups_by_id[row.group].label for row in rows]
    told = "; ".join(
        f"{name} {interval(row.iqm, metric)} ({row.n_seeds} seed{'s' if row.n_seeds > 1 else ''})"
        for name, row in zip(names, rows, strict=True)
    )

    def draw(axes: "Axes") -> None:
        for place, row in enumerate(rows):
            look, seeds = look_of[row.group], as_array(row.iqm_by_seed) * _scale(metric)
            heights = np.full(len(seeds), place + 0.18)
            axes.plot(seeds, heights, ".", color=look.color, alpha=0.6)
            draw_dot(axes, place, row.iqm, look, _scale(metric))
        name_rows(axes, list(map(short, names)))
        axes.set_xlabel("% of therapies" if metric.is_share else metric.unit, loc="right")

    height = max(1.9, 1.0 + 0.3 * len(rows))
    alt = f"Interquartile means of {metric.label}: {told}."
    return Panel(f"{metric.label} over seeds", alt, draw, (4.0, height))
