"""What a sweep found, drawn: maps over pairs of axes, and curves along each."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from jaxtherapy.evaluation.results import Estimate
from jaxtherapy.reporting.drawing import PALETTE, Panel, Picture
from jaxtherapy.reporting.figures.looks import LINE_STYLES, MARKERS, slug
from jaxtherapy.reporting.formats import short
from jaxtherapy.studies.designs import Axis
from jaxtherapy.studies.measures import CONFIDENCE
from jaxtherapy.studies.table import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_VALUES = 12
"""Different values of an axis that are told apart; of more, ranges are."""
N_RANGES = 8
MOST_PAIRS = 28
MOST_TOLD = 64
"""Cells of a map that have their numbers in them."""


@dataclass(frozen=True)
class Places:
    """An axis in a picture: a place for each value, or for each of equal ranges.

    Attributes:
        axis: of the sweep.
        values: or the lower ends of ranges and the last upper end.
        ranges: whether they are.
    """

    axis: Axis
    values: tuple[Any, ...]
    ranges: bool

    @classmethod
    def of(cls, axis: Axis, rows: Sequence[Row]) -> "Places":
        """As many as the rows need."""
        values = list(dict.fromkeys(row[axis.name] for row in rows))
        numeric = all(isinstance(value, int | float) for value in values)
        if len(values) <= MOST_VALUES or not numeric:
            return cls(axis, tuple(sorted(values) if numeric else values), False)
        low, high = min(values), max(values)
        if axis.scale == "log":
            ends = np.geomspace(low, high, N_RANGES + 1)
        else:
            ends = np.linspace(low, high, N_RANGES + 1)
        return cls(axis, tuple(float(end) for end in ends), True)

    @property
    def labels(self) -> list[str]:
        """One for each place."""
        if self.ranges:
            return [f"{(a + b) / 2:.3g}" for a, b in itertools.pairwise(self.values)]
        told = [f"{v:.3g}" if isinstance(v, float) else str(v) for v in self.values]
        return [short(each, 18) for each in told]

    @property
    def tilt(self) -> float:
        """Degrees by which labels are turned to find room below an axis."""
        return 25 if sum(map(len, self.labels)) > 36 else 0

    def place(self, row: Row) -> int:
        """Of a row."""
        value = row[self.axis.name]
        if not self.ranges:
            return self.values.index(value)
        return int(np.clip(np.searchsorted(self.values, value, "right") - 1, 0, N_RANGES - 1))


def estimate_of(rows: Sequence[Row], column: str) -> Estimate:
    """Of one row its own; of several their mean, with Student's interval over rows."""
    values = np.array([row[column] for row in rows if row[column] is not None], float)
    if not len(values):
        return Estimate(None, None, None)
    mean = float(values.mean())
    if len(values) == 1:
        (row,) = (row for row in rows if row[column] is not None)
        return Estimate(mean, row[f"{column}_low"], row[f"{column}_high"])
    half = stats.t.isf((1 - CONFIDENCE) / 2, len(values) - 1) * stats.sem(values)
    return Estimate(mean, mean - float(half), mean + float(half))


def pictures(axes: Sequence[Axis], rows: Sequence[Row], reference: str) -> list[Picture]:
    """Maps of each therapist's difference to the reference, or of its success where there is no
    other, and curves of success."""
    therapists = list(dict.fromkeys(row["therapist"] for row in rows))
    places = [each for axis in axes if len((each := Places.of(axis, rows)).labels) > 1]
    others = [name for name in therapists if name != reference]
    made = [_maps(places, rows, name, "difference", reference) for name in others]
    if not others:
        made = [_maps(places, rows, reference, "success", reference)]
    return [each for each in made if each.panels] + _curves(places, rows, therapists)


# --- maps over pairs ------------------------------------------------------------------------


def _maps(
    places: Sequence[Places], rows: Sequence[Row], therapist: str, column: str, reference: str
) -> Picture:
    own = [row for row in rows if row["therapist"] == therapist]
    panels = [
        _map_panel(x, y, own, column)
        for x, y in itertools.islice(itertools.combinations(places, 2), MOST_PAIRS)
    ]
    against = f" minus {reference}" if column == "difference" else ""
    return Picture(
        f"{column}_{slug(therapist).lower()}",
        f"Success of {therapist}{against}",
        "Percentage points, averaged over whatever else varies. Hatched: the interval holds 0. The "
        "interval is that of a point's clients, paired, where a field is one point, and Student's "
        "over points where it is several."
        if column == "difference"
        else "Percent of therapies, averaged over whatever else varies.",
        tuple(panels),
        3 if len(panels) > 2 else 2,
    )


def _map_panel(x: Places, y: Places, rows: Sequence[Row], column: str) -> Panel:
    fields: dict[tuple[int, int], list[Row]] = {}
    for row in rows:
        fields.setdefault((y.place(row), x.place(row)), []).append(row)
    found = {place: estimate_of(each, column) for place, each in fields.items()}
    known = {place: each for place, each in found.items() if each.estimate is not None}
    title = f"{y.axis.name} by {x.axis.name}"
    if not known:
        return Panel(title, "No therapies.", lambda axes: None)
    best, worst = (f(known, key=lambda p: known[p].estimate or 0.0) for f in (max, min))
    alt = (
        f"Map of {title}: from {_told(known[worst])} at {_where(x, y, worst)} "
        f"to {_told(known[best])} at {_where(x, y, best)}."
    )
    return Panel(title, alt, partial(_draw_map, x, y, known, column), (4.2, 3.5))


def _told(estimate: Estimate) -> str:
    low, middle, high = (
        100 * float(v or 0) for v in (estimate.low, estimate.estimate, estimate.high)
    )
    return f"{middle:.1f} [{low:.1f}, {high:.1f}]"


def _where(x: Places, y: Places, place: tuple[int, int]) -> str:
    return f"{y.axis.name} {y.labels[place[0]]}, {x.axis.name} {x.labels[place[1]]}"


def _draw_map(
    x: Places, y: Places, found: dict[tuple[int, int], Estimate], column: str, axes: "Axes"
) -> None:
    shape = len(y.labels), len(x.labels)
    values = np.full(shape, np.nan)
    for place, each in found.items():
        values[place] = 100 * (each.estimate or 0.0)
    span = max(1.0, float(np.nanmax(np.abs(values))))
    signed = column == "difference"
    look: Any = {"cmap": "RdBu", "vmin": -span, "vmax": span} if signed else {"cmap": "viridis"}
    image = axes.imshow(values, aspect="auto", origin="lower", **look)
    for (row, column_at), each in found.items():
        unclear = signed and (each.low or 0) <= 0 <= (each.high or 0)
        if unclear:
            _hatch(axes, column_at, row)
        if values.size <= MOST_TOLD:
            ends = f"\n{100 * (each.low or 0):.0f}…{100 * (each.high or 0):.0f}"
            dark = abs(values[row, column_at]) > 0.6 * span if signed else False
            told = f"{values[row, column_at]:+.0f}" if signed else f"{values[row, column_at]:.0f}"
            axes.text(column_at, row, told + ends, ha="center", va="center", fontsize=6.5,
                      color="#ffffff" if dark or not signed else "#1a1a1c")  # fmt: skip
    axes.set_xticks(range(shape[1]), x.labels, rotation=x.tilt)
    axes.set_yticks(range(shape[0]), y.labels)
    axes.set_xlabel(x.axis.name)
    axes.set_ylabel(y.axis.name)
    axes.grid(visible=False)
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.colorbar(image, ax=axes, label="percentage points" if signed else "% of therapies")


def _hatch(axes: "Axes", x: int, y: int) -> None:
    from matplotlib.patches import Rectangle

    corner = (x - 0.5, y - 0.5)
    axes.add_patch(
        Rectangle(corner, 1, 1, fill=False, hatch="////", edgecolor="#666666", lw=0, alpha=0.3)
    )


# --- curves along axes ----------------------------------------------------------------------


def _curves(
    places: Sequence[Places], rows: Sequence[Row], therapists: Sequence[str]
) -> list[Picture]:
    panels = tuple(_curve_panel(each, rows, therapists) for each in places)
    if not panels:
        return []
    caption = (
        "Mean success at each value of a setting, over whatever else varies, with Student's "
        "intervals over points, or those of a point's clients where it is one."
    )
    return [Picture("curves", "Along each axis", caption, panels, 3 if len(panels) > 2 else 2)]


def _curve_panel(x: Places, rows: Sequence[Row], therapists: Sequence[str]) -> Panel:
    curves = {}
    for name in therapists:
        own: dict[int, list[Row]] = {}
        for row in rows:
            if row["therapist"] == name:
                own.setdefault(x.place(row), []).append(row)
        curves[name] = {at: estimate_of(own[at], "success") for at in sorted(own)}
    told = []
    for name, curve in curves.items():
        ends = [_told(curve[at]) for at in (min(curve), max(curve))]
        told.append(f"{name} from {ends[0]} to {ends[1]}")
    alt = f"Success in percent along {x.axis.name}: {'; '.join(told)}."
    return Panel(f"success by {x.axis.name}", alt, partial(_draw_curves, x, curves), (4.2, 3.2))


def _draw_curves(x: Places, curves: dict[str, dict[int, Estimate]], axes: "Axes") -> None:
    for number, (name, curve) in enumerate(curves.items()):
        known = {at: each for at, each in curve.items() if each.estimate is not None}
        places = list(known)
        low, middle, high = (
            [100 * float(v or 0) for v in values]
            for values in zip(*((e.low, e.estimate, e.high) for e in known.values()), strict=True)
        )
        color = PALETTE[number % len(PALETTE)]
        style: Any = {"marker": MARKERS[number % len(MARKERS)], "ms": 4, "color": color}
        line = LINE_STYLES[number % len(LINE_STYLES)]
        axes.plot(places, middle, ls=line, label=short(name), **style)
        axes.fill_between(places, low, high, color=color, alpha=0.15, lw=0)
    axes.set_xticks(range(len(x.labels)), x.labels, rotation=x.tilt)
    axes.set_xlabel(x.axis.name)
    axes.set_ylabel("success, % of therapies")
    if len(curves) > 1:
        axes.legend(loc="best")
