"""Curves and bands are those of the right therapists."""

import numpy as np

from jaxtherapy.reporting import selection
from jaxtherapy.reporting.figures import course
from tests.reporting.drawn import drawn


def test_trajectories_are_the_quantiles(told):
    of_one = told.courses[0]
    for panel in course.trajectories(told, of_one, 1).panels:
        part = "rs" if panel.title.startswith("RS") else "bond"
        axis = "by_session" if panel.title.endswith("session by session") else "by_time"
        band = getattr(of_one, axis)["all"]
        band = getattr(band, part)
        axes = drawn(panel)
        curves = {line.get_label(): line for line in axes.lines}
        for name, quantile in (("median", "q50"), ("mean", "mean")):
            np.testing.assert_allclose(curves[name].get_ydata(), getattr(band, quantile))
            x = [0, *of_one.sessions] if axis == "by_session" else of_one.times
            np.testing.assert_allclose(curves[name].get_xdata(), x)
        for area, (low, high) in zip(
            axes.collections, (("q05", "q95"), ("q25", "q75")), strict=True
        ):
            corners = area.get_paths()[0].vertices[:, 1]
            expected = {round(each, 9) for each in getattr(band, low) + getattr(band, high)}
            assert {round(each, 9) for each in corners.tolist()} == expected
        thresholds = [line.get_ydata()[0] for line in axes.lines if line.get_ls() == "--"]
        assert thresholds == ([0.6] if part == "rs" else [])


def test_trajectories_of_all_therapists_have_the_same_scale(told):
    courses = [c for c in told.courses if c.therapist in selection.followed(told)]
    panels = [course.trajectories(told, of_one, 1).panels for of_one in courses]
    for one, other in zip(*panels, strict=True):
        axes = [drawn(one), drawn(other)]
        assert axes[0].get_ylim() == axes[1].get_ylim()
        for each in axes:
            low, high = each.get_ylim()
            assert all(low <= y <= high for line in each.lines for y in line.get_ydata())


def test_curves_are_the_courses_of_the_right_therapists(told):
    courses = told.courses_by_therapist
    measures = [(m, a) for m in ("complementarity", "distance") for a in ("enacted", "heard")]
    for panel, (measure, acts) in zip(course.course_of_all(told).panels, measures, strict=True):
        lines = drawn(panel).lines
        scale = 100 if measure == "complementarity" else 1
        for line, name in zip(lines, selection.followed(told), strict=True):
            curve = getattr(courses[name].by_time["all"], measure)[acts]["any"]
            np.testing.assert_allclose(line.get_ydata(), scale * np.array(curve.value))
            np.testing.assert_allclose(line.get_xdata(), courses[name].times)
