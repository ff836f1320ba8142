"""What is drawn is where the JSON says it is, and beside the right name."""

import numpy as np
import pytest
from matplotlib.colors import same_color
from matplotlib.figure import Figure

from jaxtherapy.reporting import csv_files as exports
from jaxtherapy.reporting import figures, wording
from tests.evaluation.small_evaluation import small_evaluation

SCALE = {"success": 100, "sessions_to_success": 1, "reward": 1, "final_rs": 1}
"""Shares of therapies are drawn in per cent."""


LISTS = {"iqm_by_seed", "by_seed", "value", "mean", "q05", "q25", "q50", "q75", "q95"}


def scrambled(value, generator):
    """Other numbers, no two alike, in every estimate and curve and for every seed."""
    if isinstance(value, list):
        return [scrambled(each, generator) for each in value]
    if not isinstance(value, dict):
        return value
    value = {name: scrambled(each, generator) for name, each in value.items()}
    if value.keys() >= {"estimate", "low", "high"}:
        value |= zip(
            ("low", "estimate", "high"), np.sort(generator.random(3)).tolist(), strict=True
        )
    for name in sorted(
        value.keys()
        & {"iqm_by_seed", "by_seed", "value", "mean", "q05", "q25", "q50", "q75", "q95"}
    ):
        if isinstance(value[name], list):
            value[name] = generator.random(len(value[name])).tolist()
    return value


@pytest.fixture(scope="module")
def told():
    return scrambled(exports.plain(small_evaluation("study")), np.random.default_rng(0))


def drawn(panel):
    axes = Figure(figsize=panel.size).subplots()
    panel.draw(axes)
    return axes


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
        assert dot[1] == pytest.approx([scale * row["estimate"]])
        assert bar[1] == pytest.approx([scale * row["low"], scale * row["high"]])
        assert same_color(dot[2], color) and same_color(bar[2], color)
    return [dot[0] for dot in dots]


def names_beside(axes):
    return dict(zip(axes.get_yticks(), [t.get_text() for t in axes.get_yticklabels()], strict=True))


def test_comparisons_have_every_metric_of_every_therapist(told):
    names = [each["id"] for each in told["therapists"]]
    label = {each["id"]: each["label"] for each in told["therapists"]}
    panels = figures.comparison(told).panels
    assert [panel.title for panel in panels] == [each["label"] for each in told["metrics"]]
    for panel, metric in zip(panels, told["metrics"], strict=True):
        rows = {
            row["therapist"]: row["metrics"][metric["id"]]
            for row in told["outcomes"]
            if row["cell"] == "all"
        }
        axes = drawn(panel)
        colors = [figures.looks(told)[name].color for name in names]
        where = assert_drawn(axes, [rows[n] for n in names], SCALE[metric["id"]], colors)
        assert names_beside(axes) == dict(zip(where, [label[name] for name in names], strict=True))
        assert axes.get_xlabel().startswith("%") == (metric["id"] == "success")


def test_differences_are_filled_where_they_are_significant(told):
    label = {each["id"]: each["label"] for each in told["therapists"]}
    panels = figures.differences(told).panels
    for panel, metric in zip(panels, ("success", "reward", "final_rs"), strict=True):
        rows = [
            row for row in told["differences"] if (row["cell"], row["metric"]) == ("all", metric)
        ]
        axes = drawn(panel)
        colors = [figures.looks(told)[row["therapist"]].color for row in rows]
        where = assert_drawn(axes, [row["difference"] for row in rows], SCALE[metric], colors)
        beside = [label[row["therapist"]] for row in rows]
        assert names_beside(axes) == dict(zip(where, beside, strict=True))
        for line in axes.lines:
            if len(line.get_xdata()) == 1:
                row = rows[int(line.get_ydata()[0])]
                assert (line.get_markerfacecolor() != "none") == row["significant"]
        zeros = [line for line in axes.lines if line.get_ls() == "--"]
        assert [list(line.get_xdata()) for line in zeros] == [[0, 0]]


def test_cells_have_the_success_of_each_groups_therapist(told):
    (panel,) = figures.by_cell(told).panels
    axes = drawn(panel)
    chosen = wording.median_seeds(told)
    assert len(chosen) == 3
    cells = [each["id"] for each in told["cells"]]
    rows = {(row["therapist"], row["cell"]): row["metrics"]["success"] for row in told["outcomes"]}
    pairs = [(name, cell) for cell in cells for name in chosen]
    colors = [figures.looks(told)[name].color for name, _ in pairs]
    where = assert_drawn(axes, [rows[pair] for pair in pairs], 100, colors)
    # Each dot is nearest to its own cell's name.
    assert [round(place) for place in where] == [cells.index(cell) for _, cell in pairs]
    assert names_beside(axes) == dict(enumerate(each["label"] for each in told["cells"]))
    handles, labels = axes.get_legend_handles_labels()
    names = {each["id"]: each["label"] for each in told["therapists"]}
    assert labels == [names[name] for name in chosen]
    assert [line.get_color() for line in handles] == colors[:3]


def test_over_seeds_the_interquartile_mean_has_its_seeds_around_it(told):
    label = {each["id"]: each["label"] for each in told["groups"]}
    looks = {each["id"]: figures.looks(told)[each["therapists"][0]] for each in told["groups"]}
    panels = figures.over_seeds(told).panels
    for panel, metric in zip(panels, ("success", "reward"), strict=True):
        rows = [row for row in told["seeds"] if row["metric"] == metric]
        axes, scale = drawn(panel), SCALE[metric]
        colors = [looks[row["group"]].color for row in rows]
        where = assert_drawn(axes, [row["iqm"] for row in rows], scale, colors)
        beside = [label[row["group"]] for row in rows]
        assert names_beside(axes) == dict(zip(where, beside, strict=True))
        seeds = [line for line in axes.lines if line.get_marker() == "."]
        assert len(seeds) == len(rows) == 3
        for line, row, place in zip(seeds, rows, where, strict=True):
            np.testing.assert_allclose(line.get_xdata(), scale * np.array(row["iqm_by_seed"]))
            assert {round(y) for y in line.get_ydata()} == {place}


def test_trajectories_are_the_quantiles(told):
    course = told["courses"][0]
    for panel in figures.trajectories(told, course, 1).panels:
        part = "rs" if panel.title.startswith("RS") else "bond"
        axis = "by_session" if panel.title.endswith("session by session") else "by_time"
        band = course[axis]["all"][part]
        axes = drawn(panel)
        curves = {line.get_label(): line for line in axes.lines}
        for name, quantile in (("median", "q50"), ("mean", "mean")):
            np.testing.assert_allclose(curves[name].get_ydata(), band[quantile])
            x = [0, *course["sessions"]] if axis == "by_session" else course["times"]
            np.testing.assert_allclose(curves[name].get_xdata(), x)
        for area, (low, high) in zip(
            axes.collections, (("q05", "q95"), ("q25", "q75")), strict=True
        ):
            corners = area.get_paths()[0].vertices[:, 1]
            expected = {round(each, 9) for each in band[low] + band[high]}
            assert {round(each, 9) for each in corners.tolist()} == expected
        thresholds = [line.get_ydata()[0] for line in axes.lines if line.get_ls() == "--"]
        assert thresholds == ([0.6] if part == "rs" else [])


def test_trajectories_of_all_therapists_have_the_same_scale(told):
    courses = [c for c in told["courses"] if c["therapist"] in wording.followed(told)]
    panels = [figures.trajectories(told, course, 1).panels for course in courses]
    for one, other in zip(*panels, strict=True):
        axes = [drawn(one), drawn(other)]
        assert axes[0].get_ylim() == axes[1].get_ylim()
        for each in axes:
            low, high = each.get_ylim()
            assert all(low <= y <= high for line in each.lines for y in line.get_ydata())


def test_curves_are_the_courses_of_the_right_therapists(told):
    courses = {course["therapist"]: course for course in told["courses"]}
    measures = [(m, a) for m in ("complementarity", "distance") for a in ("enacted", "heard")]
    for panel, (measure, acts) in zip(figures.course_of_all(told).panels, measures, strict=True):
        lines = drawn(panel).lines
        scale = 100 if measure == "complementarity" else 1
        for line, name in zip(lines, wording.followed(told), strict=True):
            curve = courses[name]["by_time"]["all"][measure][acts]["any"]
            np.testing.assert_allclose(line.get_ydata(), scale * np.array(curve["value"]))
            np.testing.assert_allclose(line.get_xdata(), courses[name]["times"])
