"""What is drawn is where the evaluation says it is, and beside the right name."""

import numpy as np
import pytest
from matplotlib.colors import same_color

from jaxtherapy.reporting import selection
from jaxtherapy.reporting.figures import outcomes
from jaxtherapy.reporting.figures.looks import looks
from tests.reporting.drawn import drawn

SCALE = {"success": 100, "sessions_to_success": 1, "reward": 1, "final_rs": 1}
"""Shares of therapies are drawn in per cent."""


def lines_of(axes, n_points):
    """Position, x and colour of the lines with so many points, from the top down."""
    lines = [line for line in axes.lines if line.get_marker() != "." and line.get_ls() != "--"]
    found = []
    for line in lines:
        x, y = line.get_xdata(), line.get_ydata()
        if len(x) == n_points:
            assert len(set(y)) == 1 and min(axes.get_xlim()) <= min(x) <= max(x)
            assert max(x) <= max(axes.get_xlim())
            found.append((y[0], list(x), line.get_color()))
    assert axes.yaxis_inverted()
    return sorted(found, key=lambda each: each[0])


def assert_drawn(axes, rows, scale, colors):
    """A dot at each estimate and a bar from its low to its high end, in the order of the rows."""
    dots, bars = lines_of(axes, 1), lines_of(axes, 2)
    assert len(dots) == len(bars) == len(rows)
    for dot, bar, row, color in zip(dots, bars, rows, colors, strict=True):
        assert dot[0] == bar[0]
        assert dot[1] == pytest.approx([scale * row.estimate])
        assert bar[1] == pytest.approx([scale * row.low, scale * row.high])
        assert same_color(dot[2], color) and same_color(bar[2], color)
    return [dot[0] for dot in dots]


def names_beside(axes):
    return dict(zip(axes.get_yticks(), [t.get_text() for t in axes.get_yticklabels()], strict=True))


def test_comparisons_have_every_metric_of_every_therapist(told):
    names = [each.id for each in told.therapists]
    label = {each.id: each.label for each in told.therapists}
    panels = outcomes.comparison(told).panels
    assert [panel.title for panel in panels] == [each.label for each in told.metrics]
    for panel, metric in zip(panels, told.metrics, strict=True):
        rows = {row.therapist: row.metrics[metric.id] for row in told.outcomes if row.cell == "all"}
        axes = drawn(panel)
        colors = [looks(told)[name].color for name in names]
        where = assert_drawn(axes, [rows[n] for n in names], SCALE[metric.id], colors)
        assert names_beside(axes) == dict(zip(where, [label[name] for name in names], strict=True))
        assert axes.get_xlabel().startswith("%") == (metric.id == "success")


def test_differences_are_filled_where_they_are_significant(told):
    label = {each.id: each.label for each in told.therapists}
    panels = outcomes.differences(told).panels
    for panel, metric in zip(panels, ("success", "reward", "final_rs"), strict=True):
        rows = [row for row in told.differences if (row.cell, row.metric) == ("all", metric)]
        axes = drawn(panel)
        colors = [looks(told)[row.therapist].color for row in rows]
        where = assert_drawn(axes, [row.difference for row in rows], SCALE[metric], colors)
        beside = [label[row.therapist] for row in rows]
        assert names_beside(axes) == dict(zip(where, beside, strict=True))
        for line in axes.lines:
            if len(line.get_xdata()) == 1:
                row = rows[int(line.get_ydata()[0])]
                assert (line.get_markerfacecolor() != "none") == row.significant
        zeros = [line for line in axes.lines if line.get_ls() == "--"]
        assert [list(line.get_xdata()) for line in zeros] == [[0, 0]]


def test_cells_have_the_success_of_each_groups_therapist(told):
    (panel,) = outcomes.by_cell(told).panels
    axes = drawn(panel)
    chosen = selection.median_seeds(told)
    assert len(chosen) == 3
    cells = [each.id for each in told.cells]
    rows = {(row.therapist, row.cell): row.metrics["success"] for row in told.outcomes}
    pairs = [(name, cell) for cell in cells for name in chosen]
    colors = [looks(told)[name].color for name, _ in pairs]
    where = assert_drawn(axes, [rows[pair] for pair in pairs], 100, colors)
    # Each dot is nearest to its own cell's name.
    assert [round(place) for place in where] == [cells.index(cell) for _, cell in pairs]
    assert names_beside(axes) == dict(enumerate(each.label for each in told.cells))
    handles, labels = axes.get_legend_handles_labels()
    names = {each.id: each.label for each in told.therapists}
    assert labels == [names[name] for name in chosen]
    assert [line.get_color() for line in handles] == colors[:3]


def test_over_seeds_the_interquartile_mean_has_its_seeds_around_it(told):
    label = {each.id: each.label for each in told.groups}
    look_of = {each.id: looks(told)[each.therapists[0]] for each in told.groups}
    panels = outcomes.across_seeds(told).panels
    for panel, metric in zip(panels, ("success", "reward"), strict=True):
        rows = [row for row in told.seeds if row.metric == metric]
        axes, scale = drawn(panel), SCALE[metric]
        colors = [look_of[row.group].color for row in rows]
        where = assert_drawn(axes, [row.iqm for row in rows], scale, colors)
        beside = [label[row.group] for row in rows]
        assert names_beside(axes) == dict(zip(where, beside, strict=True))
        seeds = [line for line in axes.lines if line.get_marker() == "."]
        assert len(seeds) == len(rows) == 3
        for line, row, place in zip(seeds, rows, where, strict=True):
            np.testing.assert_allclose(line.get_xdata(), scale * np.array(row.iqm_by_seed))
            assert {round(y) for y in line.get_ydata()} == {place}
