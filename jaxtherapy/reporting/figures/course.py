"""The course of therapy: complementarity, RS and bond along sessions and normalised time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from jaxtherapy.evaluation.results import Band, Course, Curve, Evaluation
from jaxtherapy.reporting.drawing import AMBER, BLUE, GREEN, INK, ORANGE, PURPLE, Panel, Picture
from jaxtherapy.reporting.figures.looks import FEWEST, as_array, legend_below, looks, slug
from jaxtherapy.reporting.formats import level, short
from jaxtherapy.reporting.selection import followed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TIME_LABEL = "share of the therapy's length"
SHARE_LABEL = "complementary acts, %"


@dataclass(frozen=True)
class Line:
    """A curve and how it is drawn; ``share``: in per cent."""

    label: str
    curve: Curve
    color: str
    style: str
    share: bool = True

    def draw(self, axes: "Axes", x: Sequence[float]) -> None:
        """With its band, where enough therapies are seen."""
        seen = np.array(self.curve.therapies) >= FEWEST
        if not seen.any():
            return
        value, low, high = (
            np.where(seen, as_array(part), np.nan) * (100 if self.share else 1)
            for part in (self.curve.value, self.curve.low, self.curve.high)
        )
        axes.fill_between(x, low, high, color=self.color, alpha=0.18, lw=0)
        axes.plot(x, value, self.style, color=self.color, label=short(self.label))

    @property
    def in_words(self) -> str:
        """Where it starts, is midway, and ends."""
        values = _seen(self.curve.value, self.curve.therapies)
        if not values:
            return f"{self.label}: too few therapies"
        three = values[0], values[len(values) // 2], values[-1]
        texts = [f"{100 * value:.0f} %" if self.share else f"{value:.2f}" for value in three]
        return f"{self.label}: {texts[0]} at first, {texts[1]} midway, {texts[2]} at the end"


def _seen(values: Sequence[float | None], therapies: Sequence[int]) -> list[float]:
    points = zip(values, therapies, strict=True)
    return [value for value, n in points if value is not None and n >= FEWEST]


@dataclass(frozen=True)
class Axis:
    """Where the points of curves are."""

    values: Sequence[float]
    label: str


def _lines(title: str, what: str, axis: Axis, lines: Sequence[Line], label: str) -> Panel:
    """Curves with their bands, and a legend."""

    def draw(axes: "Axes") -> None:
        for line in lines:
            line.draw(axes, axis.values)
        if lines[0].share:
            axes.set_ylim(-2, 102)
        axes.set_xlabel(axis.label)
        axes.set_ylabel(label)
        labels = axes.get_legend_handles_labels()[0]
        if len(labels) > 2:
            legend_below(axes)
        elif labels:
            axes.legend()
        else:
            axes.text(0.5, 0.5, "too few therapies", ha="center", transform=axes.transAxes)

    told = "; ".join(line.in_words for line in lines)
    return Panel(title, f"Line chart of {what}. {told}.", draw)


def course_of_all(evaluation: Evaluation) -> Picture | None:
    """The therapists' complementarity and distance side by side."""
    chosen = [evaluation.courses_by_therapist[name] for name in followed(evaluation)]
    if not chosen:
        return None
    names, look_of, panels = evaluation.labels, looks(evaluation), []
    time = Axis(chosen[0].times, TIME_LABEL)
    for measure, label in (
        ("complementarity", SHARE_LABEL),
        ("distance", "octants from the complement"),
    ):
        for acts in getattr(chosen[0].by_time["all"], measure):
            lines = []
            for course in chosen:
                look = look_of[course.therapist]
                curve = getattr(course.by_time["all"], measure)[acts]["any"]
                share = measure == "complementarity"
                lines.append(Line(names[course.therapist], curve, look.color, look.line, share))
            title = f"{measure}, as {acts}"
            panels.append(_lines(title, f"{title}, over normalised time", time, lines, label))
    return Picture(
        "course",
        "Course of therapy: all therapists",
        f"Over the last {chosen[0].window} sessions up to each point, on normalised time; bands "
        f"are {level(evaluation.settings['confidence'])} intervals over therapies. A distance of 0 "
        "is the complement, 4 its opposite.",
        tuple(panels),
    )


def course_of_one(evaluation: Evaluation, course: Course, place: int) -> Picture:
    """One therapist: enacted and heard, successes and failures, warm and cold, by session."""
    name, counts = evaluation.labels[course.therapist], course.episodes
    every, success, failure = (
        course.by_time[kind].complementarity for kind in ("all", "success", "failure")
    )
    by_session = course.by_session["all"].complementarity
    time, session = Axis(course.times, TIME_LABEL), Axis(course.sessions, "session")

    def by_acts(curves: Mapping[str, Mapping[str, Curve]]) -> list[Line]:
        lines = [Line("enacted", curves["enacted"]["any"], BLUE, "-")]
        if "heard" in curves:
            lines.append(Line("as heard", curves["heard"]["any"], ORANGE, "--"))
        return lines

    by_end = [
        Line("success", success["enacted"]["any"], GREEN, "-"),
        Line("failure", failure["enacted"]["any"], PURPLE, "--"),
    ]
    by_client_act = [
        Line("client warm", every["enacted"]["warm"], AMBER, "-"),
        Line("client cold", every["enacted"]["cold"], BLUE, "--"),
    ]
    panels = tuple(
        _lines(title, f"the complementarity of {name}, {title}", axis, lines, SHARE_LABEL)
        for title, axis, lines in (
            ("enacted and as heard" if "heard" in every else "as enacted", time, by_acts(every)),
            ("successes and failures", time, by_end),
            ("after warm and cold client acts", time, by_client_act),
            ("session by session", session, by_acts(by_session)),
        )
    )
    told = any(counts.get(kind) for kind in ("success", "failure"))  # not of all coded ones
    successes = f", {counts.get('success', 0):,} successes" if told else ""
    return Picture(
        f"course_{place}_{slug(course.therapist)}",
        f"Course of therapy: {name}",
        f"{counts['all']:,} therapies{successes}; each point is the "
        f"last {course.window} sessions up to it. By session only therapies still going enter, "
        "so late sessions are those of long therapies. Over normalised time all enter, and what "
        "ends a therapy, such as success, selects its end.",
        panels,
    )


def trajectories(evaluation: Evaluation, course: Course, place: int) -> Picture | None:
    """RS and bond with quantile bands, by session and over normalised time."""
    if not any(course.by_time["all"].rs.n):
        return None
    name = evaluation.labels[course.therapist]
    thresholds = {cell.threshold for cell in evaluation.cells}
    shared = thresholds.pop() if len(thresholds) == 1 else None
    threshold = None if isinstance(shared, str) else shared  # in words: clients differ
    session = Axis([0, *course.sessions], "session (0: intake)")
    panels = []
    for part, label, color in (("rs", "RS", BLUE), ("bond", "bond", GREEN)):
        success = threshold if part == "rs" else None
        limits = _limits(evaluation, part, success)
        for strands, axis, title in (
            (course.by_session, session, "session by session"),
            (course.by_time, Axis(course.times, TIME_LABEL), "over time"),
        ):
            band = getattr(strands["all"], part)
            told = "Too few therapies."
            if medians := _seen(band.q50, band.n):
                told = (
                    f"Median: {medians[0]:.2f} at first, {medians[len(medians) // 2]:.2f} midway, "
                    f"{medians[-1]:.2f} at the end."
                )
            draw = partial(_draw_band, axis, label, band, color, limits, success)
            alt = f"Quantile bands of the {label} of clients of {name}. {told}"
            panels.append(Panel(f"{label}, {title}", alt, draw))
    dashed = "." if threshold is None else f"; dashed: the success threshold {threshold:g}."
    return Picture(
        f"trajectories_{place}_{slug(course.therapist)}",
        f"RS and bond: {name}",
        "Median line; bands hold the middle 50 % and 90 % of therapies; dotted: mean. RS is the "
        f"share of the client's own range{dashed} By session only therapies still going enter: "
        "those that succeeded or dropped out are gone, so late sessions show other, harder cases, "
        "and a falling line need not be any client getting worse.",
        tuple(panels),
    )


def _limits(evaluation: Evaluation, part: str, threshold: float | None) -> tuple[float, float]:
    """The same for all therapists, so that pictures can be compared."""
    found = [threshold]
    for name in followed(evaluation):
        course = evaluation.courses_by_therapist[name]
        for strands in (course.by_session, course.by_time):
            band = getattr(strands["all"], part)
            found += [*band.q05, *band.q95]
    known = [each for each in found if each is not None] or [0.0, 1.0]
    margin = 0.05 * max(max(known) - min(known), 0.05)
    return max(0.0, min(known) - margin), min(1.02, max(known) + margin)


def _draw_band(
    axis: Axis,
    label: str,
    band: Band,
    color: str,
    limits: tuple[float, float],
    threshold: float | None,
    axes: "Axes",
) -> None:
    seen = np.array(band.n) >= FEWEST
    mean, q05, q25, q50, q75, q95 = (
        np.where(seen, as_array(part), np.nan)
        for part in (band.mean, band.q05, band.q25, band.q50, band.q75, band.q95)
    )
    axes.fill_between(axis.values, q05, q95, color=color, alpha=0.15, lw=0, label="90 %")
    axes.fill_between(axis.values, q25, q75, color=color, alpha=0.3, lw=0, label="50 %")
    axes.plot(axis.values, q50, color=color, label="median")
    axes.plot(axis.values, mean, ":", color=INK, lw=1.2, label="mean")
    if threshold is not None:
        axes.axhline(threshold, color=ORANGE, lw=1.2, ls="--")
    axes.set_ylim(*limits)
    axes.set_xlabel(axis.label)
    axes.set_ylabel(label)
    axes.legend(ncols=2)
