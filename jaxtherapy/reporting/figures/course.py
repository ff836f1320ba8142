"""The course of therapy: complementarity, RS and bond along sessions and normalised time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
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


def _draw_lines(
    x: Sequence[float], lines: Sequence[Line], x_label: str, y_label: str
) -> "Callable[[Axes], None]":
    def draw(axes: "Axes") -> None:
        for line in lines:
            line.draw(axes, x)
        if lines[0].share:
            axes.set_ylim(-2, 102)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        labels = axes.get_legend_handles_labels()[0]
        if len(labels) > 2:
            legend_below(axes)
        elif labels:
            axes.legend()
        else:
            axes.text(0.5, 0.5, "too few therapies", ha="center", transform=axes.transAxes)

    return draw


def course_of_all(evaluation: Evaluation) -> Picture | None:
    """The therapists' complementarity and distance side by side."""
    chosen = [evaluation.courses_by_therapist[name] for name in followed(evaluation)]
    if not chosen:
        return None
    names, all_looks = evaluation.labels, looks(evaluation)
    panels = []
    for measure, y_label in (
        ("complementarity", SHARE_LABEL),
        ("distance", "octants from the complement"),
    ):
        for acts in ("enacted", "heard"):
            lines = []
            for course in chosen:
                look = all_looks[course.therapist]
                curve = getattr(course.by_time["all"], measure)[acts]["any"]
                share = measure == "complementarity"
                label = names[course.therapist]
                lines.append(Line(label, curve, look.color, look.line, share))
            told = "; ".join(line.in_words for line in lines)
            panels.append(
                Panel(
                    f"{measure}, as {acts}",
                    f"Line chart of {measure}, as {acts}, over normalised time. {told}.",
                    _draw_lines(chosen[0].times, lines, TIME_LABEL, y_label),
                )
            )
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
    name = evaluation.labels[course.therapist]
    time, session = course.by_time, course.by_session
    every = time["all"].complementarity
    success, failure = (time[kind].complementarity for kind in ("success", "failure"))
    by_session = session["all"].complementarity
    lines = {
        "enacted and as heard": (
            Line("enacted", every["enacted"]["any"], BLUE, "-"),
            Line("as heard", every["heard"]["any"], ORANGE, "--"),
        ),
        "successes and failures": (
            Line("success", success["enacted"]["any"], GREEN, "-"),
            Line("failure", failure["enacted"]["any"], PURPLE, "--"),
        ),
        "after warm and cold client acts": (
            Line("client warm", every["enacted"]["warm"], AMBER, "-"),
            Line("client cold", every["enacted"]["cold"], BLUE, "--"),
        ),
        "session by session": (
            Line("enacted", by_session["enacted"]["any"], BLUE, "-"),
            Line("as heard", by_session["heard"]["any"], ORANGE, "--"),
        ),
    }
    axes_of = dict.fromkeys(lines, (course.times, TIME_LABEL))
    axes_of["session by session"] = ([float(each) for each in course.sessions], "session")
    panels = tuple(
        Panel(
            title,
            f"Line chart of the complementarity of {name}, {title}. "
            f"{'; '.join(line.in_words for line in pair)}.",
            _draw_lines(axes_of[title][0], pair, axes_of[title][1], SHARE_LABEL),
        )
        for title, pair in lines.items()
    )
    counts = course.episodes
    return Picture(
        f"course_{place}_{slug(course.therapist)}",
        f"Course of therapy: {name}",
        f"{counts['all']:,} therapies, {counts.get('success', 0):,} successes; each point is the "
        f"last {course.window} sessions up to it. By session only therapies still going enter, "
        "so late sessions are those of long therapies. Over normalised time all enter, and what "
        "ends them is success, so the end is selected.",
        panels,
    )


# --- RS and bond ----------------------------------------------------------------------------


def trajectories(evaluation: Evaluation, course: Course, place: int) -> Picture:
    """RS and bond with quantile bands, by session and over normalised time."""
    name = evaluation.labels[course.therapist]
    thresholds = {cell.threshold for cell in evaluation.cells}
    shared = thresholds.pop() if len(thresholds) == 1 else None
    threshold = None if isinstance(shared, str) else shared  # in words: clients differ
    panels = []
    for part, label, color in (("rs", "RS", BLUE), ("bond", "bond", GREEN)):
        success = threshold if part == "rs" else None
        limits = _limits(evaluation, part, success)
        for strands, x, x_label, title in (
            (course.by_session, [0, *course.sessions], "session (0: intake)", "session by session"),
            (course.by_time, course.times, TIME_LABEL, "over time"),
        ):
            band = getattr(strands["all"], part)
            medians = _seen(band.q50, band.n)
            told = (
                f"Median: {medians[0]:.2f} at first, {medians[len(medians) // 2]:.2f} midway, "
                f"{medians[-1]:.2f} at the end."
                if medians
                else "Too few therapies."
            )
            panels.append(
                Panel(
                    f"{label}, {title}",
                    f"Quantile bands of the {label} of clients of {name}. {told}",
                    _draw_band(x, band, color, (x_label, label), limits, success),
                )
            )
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
    found = [threshold] if threshold is not None else []
    for name in followed(evaluation):
        course = evaluation.courses_by_therapist[name]
        for strands in (course.by_session, course.by_time):
            band = getattr(strands["all"], part)
            found += [v for each in (band.q05, band.q95) for v in each if v is not None]
    low, high = (min(found), max(found)) if found else (0.0, 1.0)
    margin = 0.05 * max(high - low, 0.05)
    return max(0.0, low - margin), min(1.02, high + margin)


def _draw_band(
    x: Sequence[float],
    band: Band,
    color: str,
    axis_labels: tuple[str, str],
    limits: tuple[float, float],
    threshold: float | None,
) -> "Callable[[Axes], None]":
    def draw(axes: "Axes") -> None:
        seen = np.array(band.n) >= FEWEST
        mean, q05, q25, q50, q75, q95 = (
            np.where(seen, as_array(part), np.nan)
            for part in (band.mean, band.q05, band.q25, band.q50, band.q75, band.q95)
        )
        axes.fill_between(x, q05, q95, color=color, alpha=0.15, lw=0, label="90 %")
        axes.fill_between(x, q25, q75, color=color, alpha=0.3, lw=0, label="50 %")
        axes.plot(x, q50, color=color, label="median")
        axes.plot(x, mean, ":", color=INK, lw=1.2, label="mean")
        if threshold is not None:
            axes.axhline(threshold, color=ORANGE, lw=1.2, ls="--")
        axes.set_ylim(*limits)
        axes.set_xlabel(axis_labels[0])
        axes.set_ylabel(axis_labels[1])
        axes.legend(ncols=2)

    return draw
