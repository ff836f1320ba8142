"""The pictures of an evaluation, from what ``evaluation.json`` says and nothing else.

A :class:`Picture` is a handful of :class:`Panel` s: the report shows them one by one, so that a
phone can stack them; for a paper they make one figure. Every panel carries its alternative text.
"""

import hashlib
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import matplotlib.ticker
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Wedge
from matplotlib.transforms import ScaledTranslation

from jaxtherapy.client.octants import COMPLEMENT, N_OCTANTS, OCTANT_NAMES, OCTANTS
from jaxtherapy.evaluation.results import ALL_CELLS, PHASES
from jaxtherapy.reporting.palette import BLUE, GREEN, GREY, ORANGE
from jaxtherapy.reporting.wording import (
    MOST_FOLLOWED,
    SEEDS_NOTE,
    Json,
    followed,
    interval,
    is_share,
    labels,
    median_seeds,
    number,
    short,
)

Table = dict[str, list[float]]

INK = "#1a1a1b"
# The hues of Okabe & Ito (2008) beyond those of the training's pictures, darker, so that lines on
# white have a contrast of 3; line styles and markers tell more than seven apart.
PURPLE, SKY, AMBER = "#B5588C", "#3A93C9", "#B07800"
PALETTE = (BLUE, ORANGE, GREEN, PURPLE, AMBER, SKY, GREY)
LINE_STYLES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "D", "^", "v", "P", "X")

MOST_DRAWN_CELLS = 40
LEGEND_BELOW = 33
"""Points from the axes to a legend below them: ticks and label lie between."""

FEWEST = 5
"""Points along therapy with fewer therapies are not drawn."""

# Any: matplotlib's stubs name every single setting.
_STYLE: Any = {
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.14,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.8,
    "svg.image_inline": True,
    "path.simplify": True,
    **{
        name: INK
        for name in (
            *("text.color", "axes.labelcolor", "axes.edgecolor", "axes.titlecolor"),
            *("xtick.color", "ytick.color", "grid.color"),
        )
    },
}


@dataclass(frozen=True)
class Panel:
    """One chart: its title, what it shows in words, and how to draw it."""

    title: str
    alt: str
    draw: Callable[[Axes], None]
    size: tuple[float, float] = (4.0, 2.9)


@dataclass(frozen=True)
class Picture:
    """Panels that belong together."""

    name: str
    title: str
    caption: str
    panels: tuple[Panel, ...]
    columns: int = 2


@dataclass(frozen=True)
class Look:
    """How a therapist is drawn wherever it appears."""

    color: str
    line: str
    marker: str


# --- rendering ------------------------------------------------------------------------------


def panel_svg(panel: Panel, salt: str) -> str:
    """An SVG element for a page whose style sheet has the colours of :func:`page_colors`."""
    with mpl.rc_context(_STYLE | {"svg.fonttype": "none", "svg.hashsalt": salt}):
        figure = Figure(figsize=panel.size, layout="constrained")
        axes = figure.subplots()
        panel.draw(axes)
        _lay_out(figure)
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    return _for_page(file.getvalue(), salt)


def _lay_out(figure: Figure) -> None:
    """Once and for all: every file would do it again, and draw everything twice for it."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
    figure.set_layout_engine("none")


def _for_page(svg: str, salt: str) -> str:
    """Without prolog, metadata and unused ids; colours become the page's own."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", svg).replace("xlink:href", "href")
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))
    unique = "f" + hashlib.sha256(salt.encode()).hexdigest()[:8]

    def keep(match: re.Match[str]) -> str:
        return f' id="{unique}{match[1]}"' if match[1] in used else ""

    svg = re.sub(r'\sid="([^"]*)"', keep, svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\g<1>{unique}", svg)
    for name, color in page_colors().items():
        svg = re.sub(re.escape(color), f"var(--{name})", svg, flags=re.IGNORECASE)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = svg.replace("<svg", '<svg aria-hidden="true" focusable="false"', 1)
    return re.sub(r"\s*\n\s*", "\n", svg).strip()


def page_colors() -> dict[str, str]:
    """Name and value on white of every colour that a page may change."""
    names = ("blue", "orange", "green", "purple", "amber", "sky", "grey")
    return {"ink": INK} | dict(zip(names, PALETTE, strict=True))


PAPER_FILES = re.compile(
    r"(?:learning_curves|comparison|differences|cells|seeds|course"
    r"|(?:course|trajectories|responses)_[0-9]+_[A-Za-z0-9_]{1,40})\.(?:png|svg)"
)
"""The names of all files that pictures can become."""


def paper_files(picture: Picture) -> dict[str, bytes]:
    """``png`` (200 dpi) and ``svg`` of all panels in one figure, the same bytes every time."""
    columns = min(picture.columns, len(picture.panels))
    rows = -(-len(picture.panels) // columns)
    width, height = picture.panels[0].size
    with mpl.rc_context(_STYLE | {"svg.fonttype": "path", "svg.hashsalt": picture.name}):
        figure = Figure(figsize=(columns * width, rows * height), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for number, axes in enumerate(grid):
            if number >= len(picture.panels):
                axes.remove()
                continue
            panel = picture.panels[number]
            panel.draw(axes)
            letter = f"{chr(ord('a') + number)}  " if len(picture.panels) > 1 else ""
            axes.set_title(letter + _plain_text(panel.title), loc="left")
        _lay_out(figure)
        contents = {}
        about = {"Title": picture.title, "Description": _in_words(picture)}
        kinds: tuple[tuple[str, Any], ...] = (
            ("png", {"metadata": about}),
            ("svg", {"metadata": about | {"Date": None}}),
        )
        for kind, extra in kinds:
            file = io.BytesIO()
            figure.savefig(file, format=kind, dpi=200, **extra)
            contents[kind] = file.getvalue()
    return contents


def _in_words(picture: Picture) -> str:
    """Caption and alternative texts, for those who can't see the figure."""
    parts = [picture.caption, *(f"{panel.title}: {panel.alt}" for panel in picture.panels)]
    return " ".join(parts)


# --- from the JSON --------------------------------------------------------------------------


def _values(numbers: Sequence[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in numbers], float)


def _plain_text(text: str) -> str:
    """Text that matplotlib shows as it is: a dollar sign starts no formula."""
    return text.replace("$", r"\$")


def looks(evaluation: Json) -> dict[str, Look]:
    """By therapist; the seeds of a group look alike."""
    chosen: dict[str, Look] = {}
    for place, group in enumerate(evaluation["groups"]):
        look = Look(
            PALETTE[place % len(PALETTE)],
            LINE_STYLES[place % len(LINE_STYLES)],
            MARKERS[(place + place // len(PALETTE)) % len(MARKERS)],
        )
        chosen |= dict.fromkeys(group["therapists"], look)
    return chosen


def pictures(evaluation: Json, logs: dict[str, Table]) -> list[Picture]:
    """All pictures that this evaluation has the numbers for; ``logs`` by therapist."""
    made = [
        learning_curves(evaluation, logs),
        comparison(evaluation),
        differences(evaluation),
        by_cell(evaluation),
        over_seeds(evaluation),
        course_of_all(evaluation),
    ]
    courses = {course["therapist"]: course for course in evaluation["courses"]}
    for place, name in enumerate(followed(evaluation), 1):
        made += [
            course_of_one(evaluation, courses[name], place),
            trajectories(evaluation, courses[name], place),
            response_maps(evaluation, courses[name], place),
        ]
    return [picture for picture in made if picture is not None]


# --- training -------------------------------------------------------------------------------


def learning_curves(evaluation: Json, logs: dict[str, Table]) -> Picture | None:
    """Reward, success and dropout against steps; seeds thin, and their mean where they agree."""
    panels = []
    for group in evaluation["groups"]:
        tables = [logs[name] for name in group["therapists"] if name in logs]
        tables = [table for table in tables if len(table.get("step", ())) > 0]
        if not tables:
            continue
        rewards = (("train_reward_mean", "training", GREY), ("test_reward_mean", "test", BLUE))
        rates = (
            ("test_success_rate", "success", GREEN),
            ("test_dropout_rate", "dropout", ORANGE),
        )
        many = f" ({len(tables)} seeds)" if len(tables) > 1 else ""
        for lines, unit, what in (
            (rewards, "reward per therapy", "reward"),
            (rates, "share of therapies", "success and dropout"),
        ):
            told = "; ".join(
                f"{label} from {known[0]:.2f} to {known[-1]:.2f}" if known else f"{label} unknown"
                for table in tables[:1]
                for column, label, _ in lines
                if column in table
                for known in [[value for value in table[column] if np.isfinite(value)]]
            )
            steps = tables[0]["step"][-1]
            alt = (
                f"Line chart of {what} while {group['label']}{many} was trained for {steps:,.0f} "
                f"steps. {'First seed: ' if many else ''}{told}."
            )
            draw = _draw_learning(tables, lines, unit)
            panels.append(Panel(f"{short(group['label'])}{many}: {what}", alt, draw))
    if not panels:
        return None
    return Picture(
        "learning_curves",
        "Learning curves",
        "From the training's own log. Test: evaluations during training on fixed clients.",
        tuple(panels[: 2 * MOST_FOLLOWED]),
    )


def _draw_learning(
    tables: list[Table], lines: Sequence[tuple[str, str, str]], unit: str
) -> Callable[[Axes], None]:
    def draw(axes: Axes) -> None:
        agree = all(table["step"] == tables[0]["step"] for table in tables)
        for place, (column, label, color) in enumerate(lines):
            known = [table for table in tables if column in table]
            several = len(known) > 1
            style = ("-", "--")[place if unit != "reward per therapy" else 0]
            for at, table in enumerate(known):
                axes.plot(
                    table["step"],
                    table[column],
                    style,
                    marker="o" if len(table["step"]) == 1 else "",
                    color=color,
                    alpha=0.35 if several else 1,
                    lw=1 if several else 1.8,
                    label=label if at == 0 and not (several and agree) else None,
                )
            if several and agree:
                mean = np.mean([table[column] for table in known], axis=0)
                axes.plot(tables[0]["step"], mean, style, color=color, lw=2.4, label=label)
        axes.set_xlabel("environment steps")
        axes.xaxis.set_major_formatter(mpl.ticker.EngFormatter(sep=""))
        axes.set_ylabel(unit)
        if unit.startswith("share"):
            axes.set_ylim(-0.02, 1.02)
        axes.legend()

    return draw


# --- outcomes -------------------------------------------------------------------------------


def comparison(evaluation: Json) -> Picture:
    """Every metric of every therapist, with intervals."""
    rows = {r["therapist"]: r for r in evaluation["outcomes"] if r["cell"] == ALL_CELLS}
    panels = []
    for metric in evaluation["metrics"]:
        estimates = {name: row["metrics"][metric["id"]] for name, row in rows.items()}
        told = "; ".join(
            f"{labels(evaluation)[name]} {interval(estimate, metric)}"
            for name, estimate in estimates.items()
        )
        better = f" ({metric['better']} is better)" if metric["better"] else ""
        panels.append(
            Panel(
                metric["label"],
                f"Dots with intervals of {metric['label']}{better}: {told}.",
                _draw_dots(evaluation, estimates, metric, f"{metric['unit']}{better}"),
                (4.0, max(1.9, 1.0 + 0.27 * len(estimates))),
            )
        )
    level = evaluation["settings"]["confidence"]
    return Picture(
        "comparison",
        "Comparison",
        f"Averages over all cells with {level:.0%} intervals; every therapist treats the same "
        f"{evaluation['settings']['episodes']:,} clients per cell. Sessions to success are those "
        "of successes only, so of other clients where a therapist succeeds with others.",
        tuple(panels),
        3,
    )


def _draw_dots(
    evaluation: Json,
    estimates: dict[str, Json],
    metric: Json,
    unit: str,
    zero: bool = False,
    filled: dict[str, bool] | None = None,
) -> Callable[[Axes], None]:
    def draw(axes: Axes) -> None:
        names, all_looks = labels(evaluation), looks(evaluation)
        scale = 100.0 if is_share(metric) else 1.0
        for place, (name, estimate) in enumerate(estimates.items()):
            look = all_looks[name]
            ends = [estimate["low"], estimate["estimate"], estimate["high"]]
            low, middle, high = _values(ends) * scale
            axes.plot([low, high], [place, place], color=look.color, lw=2, solid_capstyle="butt")
            solid = filled is None or filled[name]
            axes.plot(
                [middle],
                [place],
                look.marker,
                color=look.color,
                mfc=look.color if solid else "none",
                ms=6.5,
            )
        if zero:
            axes.axvline(0, color=GREY, lw=1, ls="--")
        axes.set_yticks(
            range(len(estimates)), [_plain_text(short(names[name])) for name in estimates]
        )
        axes.set_ylim(len(estimates) - 0.4, -0.6)
        shares = "percentage points" if zero else "% of therapies"
        # From the right end: beside long names little room is left below the axis itself.
        text = shares + unit[len("share of therapies") :] if scale > 1 else unit
        axes.set_xlabel(text, loc="right")

    return draw


def differences(evaluation: Json) -> Picture | None:
    """Paired differences to the reference."""
    reference = evaluation["settings"]["reference"]
    rows = [row for row in evaluation["differences"] if row["cell"] == ALL_CELLS]
    metrics = {metric["id"]: metric for metric in evaluation["metrics"]}
    panels = []
    for metric_id in ("success", "dropout", "reward", "final_rs"):
        own = {row["therapist"]: row for row in rows if row["metric"] == metric_id}
        if not own or metric_id not in metrics:
            continue
        metric = metrics[metric_id]
        told = "; ".join(
            f"{labels(evaluation)[name]} {interval(row['difference'], metric, True)}"
            f"{', significant' if row['significant'] else ''}"
            for name, row in own.items()
        )
        panels.append(
            Panel(
                f"{metric['label']}, minus {short(labels(evaluation).get(reference, reference))}",
                f"Dots with intervals of paired differences in {metric['label']} to {reference}: "
                f"{told}.",
                _draw_dots(
                    evaluation,
                    {name: row["difference"] for name, row in own.items()},
                    metric,
                    metric["unit"],
                    True,
                    {name: row["significant"] for name, row in own.items()},
                ),
                (4.0, max(1.9, 1.0 + 0.27 * len(own))),
            )
        )
    if not panels:
        return None
    return Picture(
        "differences",
        f"Paired differences to {labels(evaluation).get(reference, reference)}",
        "The same clients for both. Filled: significant after Holm's correction; hollow: not.",
        tuple(panels),
    )


def _legend_below(axes: Axes) -> None:
    """Below ticks and label, whatever the axes' height; in as many columns as names leave room."""
    inches = _figure_of(axes).dpi_scale_trans
    below = axes.transAxes + ScaledTranslation(0, -LEGEND_BELOW / 72, inches)
    columns = min(3, _legend_columns(axes, 57))
    axes.legend(loc="upper center", bbox_to_anchor=(0.45, 0), bbox_transform=below, ncols=columns)


def _legend_columns(axes: Axes, room: int) -> int:
    """How many of the axes' labels stand side by side where there is room for so many letters."""
    names = axes.get_legend_handles_labels()[1]
    return max(1, min(len(names), room // (max(map(len, names)) + 6)))


def _figure_of(axes: Axes) -> Figure:
    figure = axes.get_figure(root=True)
    assert figure is not None
    return figure


def by_cell(evaluation: Json) -> Picture | None:
    """Success of every group's therapist in every cell."""
    cells = evaluation["cells"]
    if not 1 < len(cells) <= MOST_DRAWN_CELLS:
        return None
    chosen = median_seeds(evaluation)
    rows = {(row["therapist"], row["cell"]): row for row in evaluation["outcomes"]}
    names, all_looks = labels(evaluation), looks(evaluation)
    metric = next(each for each in evaluation["metrics"] if each["id"] == "success")
    # A line for each part: parts can be told apart, shortened wholes could not.
    told_cells = [
        "\n".join(_plain_text(short(part, 36)) for part in cell["label"].split(", "))
        for cell in cells
    ]

    def draw(axes: Axes) -> None:
        for at, name in enumerate(chosen):
            shift = (at - (len(chosen) - 1) / 2) * 0.7 / max(1, len(chosen))
            for place, cell in enumerate(cells):
                estimate = rows[name, cell["id"]]["metrics"]["success"]
                ends = [estimate["low"], estimate["estimate"], estimate["high"]]
                low, middle, high = 100 * _values(ends)
                look = all_looks[name]
                where = [place + shift] * 2
                axes.plot([low, high], where, color=look.color, lw=1.5)
                label = _plain_text(short(names[name])) if place == 0 else None
                axes.plot(
                    [middle],
                    where[:1],
                    look.marker,
                    color=look.color,
                    ms=4.5,
                    ls="",
                    label=label,
                    clip_on=False,
                )
        axes.set_yticks(range(len(cells)), told_cells)
        axes.set_ylim(len(cells) - 0.4, -0.6)
        axes.set_xlabel("success, % of therapies")
        axes.set_xlim(-2, 102)
        _figure_of(axes).legend(loc="outside lower center", ncols=_legend_columns(axes, 75))

    best = []
    for cell in cells:
        values = {n: rows[n, cell["id"]]["metrics"]["success"]["estimate"] or 0.0 for n in chosen}
        leader = max(values, key=lambda name: values[name])
        best.append(f"{cell['label']}: {names[leader]} {number(values[leader], metric)} %")
    n_lines = 1 + max(label.count("\n") for label in told_cells)
    per_cell = max(0.15 + 0.15 * n_lines, 0.11 * len(chosen))
    height = 1.2 + len(cells) * per_cell
    alt = f"Success by cell, the highest of each: {'; '.join(best)}."
    panel = Panel("success by cell", alt, draw, (6.0, height))
    note = "Of each group of seeds the one with the median reward. "
    return Picture(
        "cells", "For whom", note + "Every number is in the table below.", (panel,), columns=1
    )


def over_seeds(evaluation: Json) -> Picture | None:
    """Interquartile means with the seeds around them, and the probability of improvement."""
    several = {row["group"] for row in evaluation["seeds"] if row["n_seeds"] > 1}
    if not several:
        return None
    groups = {group["id"]: group for group in evaluation["groups"]}
    metrics = {metric["id"]: metric for metric in evaluation["metrics"]}
    all_looks = looks(evaluation)
    panels = []
    for metric_id in dict.fromkeys(row["metric"] for row in evaluation["seeds"]):
        rows = [row for row in evaluation["seeds"] if row["metric"] == metric_id]
        metric = metrics[metric_id]

        def draw(axes: Axes, rows: list[Json] = rows, metric: Json = metric) -> None:
            scale = 100.0 if is_share(metric) else 1.0
            for place, row in enumerate(rows):
                look = all_looks[groups[row["group"]]["therapists"][0]]
                seeds = _values(row["iqm_by_seed"]) * scale
                axes.plot(
                    seeds, np.full(len(seeds), place + 0.18), ".", color=look.color, alpha=0.6
                )
                iqm = row["iqm"]
                low, middle, high = _values([iqm["low"], iqm["estimate"], iqm["high"]]) * scale
                axes.plot([low, high], [place] * 2, color=look.color, lw=2)
                axes.plot([middle], [place], look.marker, color=look.color, ms=6.5)
            names = [_plain_text(short(groups[row["group"]]["label"])) for row in rows]
            axes.set_yticks(range(len(rows)), names)
            axes.set_ylim(len(rows) - 0.4, -0.6)
            axes.set_xlabel("% of therapies" if scale > 1 else metric["unit"], loc="right")

        told = "; ".join(
            f"{groups[row['group']]['label']} {interval(row['iqm'], metric)} "
            f"({row['n_seeds']} seed{'s' if row['n_seeds'] > 1 else ''})"
            for row in rows
        )
        panels.append(
            Panel(
                f"{metric['label']} over seeds",
                f"Interquartile means of {metric['label']}: {told}.",
                draw,
                (4.0, max(1.9, 1.0 + 0.3 * len(rows))),
            )
        )
    return Picture(
        "seeds",
        "Over seeds",
        "Interquartile mean over seeds and cells with its interval; small dots are each seed's "
        "over its cells. " + SEEDS_NOTE,
        tuple(panels),
        3,
    )


# --- the course of therapy ------------------------------------------------------------------


def _draw_curves(
    x: Sequence[float],
    curves: Sequence[tuple[str, Json, str, str]],
    x_label: str,
    y_label: str,
    *,
    share: bool = True,
    bands: bool = True,
) -> Callable[[Axes], None]:
    """Of (label, curve, colour, line style)."""

    def draw(axes: Axes) -> None:
        scale = 100.0 if share else 1.0
        for label, curve, color, style in curves:
            seen = np.array(curve["therapies"]) >= FEWEST
            if not seen.any():
                continue
            value, low, high = (
                np.where(seen, _values(curve[part]), np.nan) * scale
                for part in ("value", "low", "high")
            )
            if bands:
                axes.fill_between(x, low, high, color=color, alpha=0.18, lw=0)
            axes.plot(x, value, style, color=color, label=_plain_text(short(label)))
        if share:
            axes.set_ylim(-2, 102)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        if len(axes.get_legend_handles_labels()[0]) > 2:
            _legend_below(axes)
        elif axes.get_legend_handles_labels()[0]:
            axes.legend()
        else:
            axes.text(0.5, 0.5, "too few therapies", ha="center", transform=axes.transAxes)

    return draw


def _told(label: str, curve: Json, share: bool = True) -> str:
    """A curve in words: where it starts, is midway, and ends."""
    points = zip(curve["value"], curve["therapies"], strict=True)
    seen = [value for value, therapies in points if therapies >= FEWEST]
    known = [value for value in seen if value is not None]
    if not known:
        return f"{label}: too few therapies"
    three = known[0], known[len(known) // 2], known[-1]
    texts = [f"{100 * value:.0f} %" if share else f"{value:.2f}" for value in three]
    return f"{label}: {texts[0]} at first, {texts[1]} midway, {texts[2]} at the end"


TIME_LABEL = "share of the therapy's length"
SHARE_LABEL = "complementary acts, %"


def course_of_all(evaluation: Json) -> Picture | None:
    """The therapists' complementarity and distance side by side."""
    courses = {course["therapist"]: course for course in evaluation["courses"]}
    chosen = followed(evaluation)
    if not chosen:
        return None
    names, all_looks = labels(evaluation), looks(evaluation)
    panels = []
    for measure, y_label, share in (
        ("complementarity", SHARE_LABEL, True),
        ("distance", "octants from the complement", False),
    ):
        for acts in ("enacted", "heard"):
            curves = [
                (
                    names[name],
                    courses[name]["by_time"]["all"][measure][acts]["any"],
                    all_looks[name].color,
                    all_looks[name].line,
                )
                for name in chosen
            ]
            told = "; ".join(_told(label, curve, share) for label, curve, _, _ in curves)
            panels.append(
                Panel(
                    f"{measure}, as {acts}",
                    f"Line chart of {measure}, as {acts}, over normalised time. {told}.",
                    _draw_curves(
                        courses[chosen[0]]["times"], curves, TIME_LABEL, y_label, share=share
                    ),
                )
            )
    window = courses[chosen[0]]["window"]
    return Picture(
        "course",
        "Course of therapy: all therapists",
        f"Over the last {window} sessions up to each point, on normalised time; bands are "
        f"{evaluation['settings']['confidence']:.0%} intervals over therapies. A distance of 0 is "
        "the complement, 4 its opposite.",
        tuple(panels),
    )


def course_of_one(evaluation: Json, course: Json, place: int) -> Picture:
    """One therapist: enacted and heard, successes and failures, warm and cold, by session."""
    name = labels(evaluation)[course["therapist"]]
    by_time, by_session = course["by_time"], course["by_session"]

    def rate(strand: Json, acts: str = "enacted", client: str = "any") -> Json:
        curve: Json = strand["complementarity"][acts][client]
        return curve

    sets = (
        (
            "enacted and as heard",
            course["times"],
            [
                ("enacted", rate(by_time["all"]), BLUE, "-"),
                ("as heard", rate(by_time["all"], "heard"), ORANGE, "--"),
            ],
            TIME_LABEL,
        ),
        (
            "successes and failures",
            course["times"],
            [
                ("success", rate(by_time["success"]), GREEN, "-"),
                ("failure", rate(by_time["failure"]), PURPLE, "--"),
            ],
            TIME_LABEL,
        ),
        (
            "after warm and cold client acts",
            course["times"],
            [
                ("client warm", rate(by_time["all"], client="warm"), AMBER, "-"),
                ("client cold", rate(by_time["all"], client="cold"), BLUE, "--"),
            ],
            TIME_LABEL,
        ),
        (
            "session by session",
            course["sessions"],
            [
                ("enacted", rate(by_session["all"]), BLUE, "-"),
                ("as heard", rate(by_session["all"], "heard"), ORANGE, "--"),
            ],
            "session",
        ),
    )
    panels = tuple(
        Panel(
            title,
            f"Line chart of the complementarity of {name}, {title}. "
            + "; ".join(_told(label, curve) for label, curve, _, _ in curves)
            + ".",
            _draw_curves(x, curves, x_label, SHARE_LABEL),
        )
        for title, x, curves, x_label in sets
    )
    counts = course["episodes"]
    return Picture(
        f"course_{place}_{_slug(course['therapist'])}",
        f"Course of therapy: {name}",
        f"{counts['all']:,} therapies, {counts.get('success', 0):,} successes; each point is the "
        f"last {course['window']} sessions up to it. By session only therapies still going enter, "
        "so late sessions are those of long therapies. Over normalised time all enter, and what "
        "ends them is success, so the end is selected.",
        panels,
    )


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_")[:40] or "therapist"


def trajectories(evaluation: Json, course: Json, place: int) -> Picture:
    """RS and bond with quantile bands, by session and over normalised time."""
    name = labels(evaluation)[course["therapist"]]
    thresholds = {cell["threshold"] for cell in evaluation["cells"]}
    threshold = thresholds.pop() if len(thresholds) == 1 else None
    panels = []
    for part, label, color in (("rs", "RS", BLUE), ("bond", "bond", GREEN)):
        limits = _limits(evaluation, part, threshold if part == "rs" else None)
        for axis, x, x_label in (
            ("by_session", [0, *course["sessions"]], "session (0: intake)"),
            ("by_time", course["times"], TIME_LABEL),
        ):
            band = course[axis]["all"][part]
            points = zip(band["q50"], band["n"], strict=True)
            medians = [v for v, n in points if v is not None and n >= FEWEST]
            told = (
                f"Median: {medians[0]:.2f} at first, {medians[len(medians) // 2]:.2f} midway, "
                f"{medians[-1]:.2f} at the end."
                if medians
                else "Too few therapies."
            )
            panels.append(
                Panel(
                    f"{label}, {'session by session' if axis == 'by_session' else 'over time'}",
                    f"Quantile bands of the {label} of clients of {name}. {told}",
                    _draw_band(
                        x, band, color, x_label, label, limits, threshold if part == "rs" else None
                    ),
                )
            )
    return Picture(
        f"trajectories_{place}_{_slug(course['therapist'])}",
        f"RS and bond: {name}",
        "Median line; bands hold the middle 50 % and 90 % of therapies; dotted: mean. RS is the "
        "share of the client's own range"
        + (f"; dashed: the success threshold {threshold:g}." if threshold is not None else ".")
        + " By session only therapies still going enter: those that succeeded or dropped out are "
        "gone, so late sessions show other, harder cases, and a falling line need not be any "
        "client getting worse.",
        tuple(panels),
    )


def _limits(evaluation: Json, part: str, threshold: float | None) -> tuple[float, float]:
    """The same for all therapists, so that pictures can be compared."""
    chosen = followed(evaluation)
    found = [threshold] if threshold is not None else []
    for course in evaluation["courses"]:
        if course["therapist"] in chosen:
            for axis in ("by_session", "by_time"):
                band = course[axis]["all"][part]
                found += [v for q in ("q05", "q95") for v in band[q] if v is not None]
    low, high = (min(found), max(found)) if found else (0.0, 1.0)
    margin = 0.05 * max(high - low, 0.05)
    return max(0.0, low - margin), min(1.02, high + margin)


def _draw_band(
    x: Sequence[float],
    band: Json,
    color: str,
    x_label: str,
    y_label: str,
    limits: tuple[float, float],
    threshold: float | None,
) -> Callable[[Axes], None]:
    def draw(axes: Axes) -> None:
        seen = np.array(band["n"]) >= FEWEST
        lines = {
            part: np.where(seen, _values(band[part]), np.nan)
            for part in ("mean", "q05", "q25", "q50", "q75", "q95")
        }
        axes.fill_between(
            x, lines["q05"], lines["q95"], color=color, alpha=0.15, lw=0, label="90 %"
        )
        axes.fill_between(x, lines["q25"], lines["q75"], color=color, alpha=0.3, lw=0, label="50 %")
        axes.plot(x, lines["q50"], color=color, label="median")
        axes.plot(x, lines["mean"], ":", color=INK, lw=1.2, label="mean")
        if threshold is not None:
            axes.axhline(threshold, color=ORANGE, lw=1.2, ls="--")
        axes.set_ylim(*limits)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.legend(ncols=2)

    return draw


# --- response maps --------------------------------------------------------------------------


def octant_position(octant: int, radius: float = 1.0) -> tuple[float, float]:
    """On the interpersonal circumplex: dominance up, warmth to the right."""
    angle = np.pi / 2 - octant * np.pi / 4
    return radius * float(np.cos(angle)), radius * float(np.sin(angle))


def response_maps(evaluation: Json, course: Json, place: int) -> Picture:
    """P(therapist act | client act) early, middle and late: a rose at each client octant."""
    name = labels(evaluation)[course["therapist"]]
    panels = []
    for phase in PHASES:
        shown = course["response_maps"][phase]
        told = []
        for client, row in enumerate(shown["probability"]):
            known = [0.0 if value is None else value for value in row]
            if any(known):
                act = int(np.argmax(known))
                share = f"{100 * known[act]:.0f} %"
                told.append(f"{OCTANT_NAMES[client]} is answered {OCTANT_NAMES[act]} {share}")
        panels.append(
            Panel(
                f"{phase} third",
                f"Response map of {name}, {phase} third of therapy, most frequent answers: "
                + ("; ".join(told) or "no acts")
                + ".",
                _draw_roses(shown),
                (3.6, 3.7),
            )
        )
    return Picture(
        f"responses_{place}_{_slug(course['therapist'])}",
        f"Response map: {name}",
        "At each octant of the client a rose of the therapist's answers: a petal points to the "
        "therapist's octant, its length is the probability (the ring is 100 %). Green with a bold "
        "edge: the complement. Faint ring: the client acted like this fewer than "
        f"{FEWEST} times. Sessions of all therapies are pooled, so long therapies weigh more.",
        tuple(panels),
        3,
    )


def _draw_roses(shown: Json) -> Callable[[Axes], None]:
    def draw(axes: Axes) -> None:
        axes.set_axis_off()
        axes.set_aspect("equal")
        size = 0.375
        for client in range(N_OCTANTS):
            x, y = octant_position(client)
            often = shown["count"][client] >= FEWEST
            axes.add_patch(
                Circle((x, y), size, fill=False, ec=GREY, lw=0.8, alpha=0.9 if often else 0.25)
            )
            for act, chance in enumerate(shown["probability"][client]):
                if not chance:
                    continue
                angle = 90 - 45 * act
                complement = act == COMPLEMENT[client]
                axes.add_patch(
                    Wedge(
                        (x, y),
                        size * chance,
                        angle - 22,
                        angle + 22,
                        fc=GREEN if complement else BLUE,
                        ec=INK if complement else "none",
                        lw=0.9,
                        alpha=1.0 if often else 0.3,
                    )
                )
            label_x, label_y = octant_position(client, 1.53)
            axes.text(label_x, label_y, OCTANTS[client], ha="center", va="center", weight="bold")
        axes.annotate("", (0, 0.5), (0, -0.5), arrowprops={"arrowstyle": "->", "color": GREY})
        axes.annotate("", (0.5, 0), (-0.5, 0), arrowprops={"arrowstyle": "->", "color": GREY})
        axes.text(0.04, 0.36, "dominant", fontsize=8.5, ha="left")
        axes.text(0.2, -0.13, "warm", fontsize=8.5, ha="left")
        axes.set_xlim(-1.65, 1.65)
        axes.set_ylim(-1.65, 1.65)

    return draw
