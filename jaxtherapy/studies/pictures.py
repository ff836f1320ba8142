"""What a sweep found, drawn: maps over pairs of axes, and curves along each."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from scipy import stats

from jaxtherapy.evaluation.results import Estimate
from jaxtherapy.reporting.drawing import GREY, PALETTE, Panel, Picture
from jaxtherapy.reporting.figures.looks import LINE_STYLES, MARKERS, slug
from jaxtherapy.reporting.formats import short
from jaxtherapy.studies.designs import Axis
from jaxtherapy.studies.measures import CONFIDENCE
from jaxtherapy.studies.settings import REFERENCE, TRAINED, Sweep
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


@dataclass(frozen=True)
class Look:
    """What of the rows is drawn: a column, and what its intervals are about.

    Attributes:
        column: ``success``, or ``difference`` to the reference.
        drawn: whether points were, and are no grid.
        told: of intervals, in a caption.
    """

    column: str
    drawn: bool
    told: str

    @classmethod
    def of(cls, column: str, sweep: Sweep) -> "Look":
        """How a sweep's column is drawn."""
        told, drawn = "over clients", sweep.design != "grid"
        if drawn:
            told = "Student's over the points that were drawn, or over clients where that is wider"
        elif sweep.train and sweep.seeds > 1:
            told += "; of trained therapists Student's over seeds, where that is wider"
        elif sweep.train:
            told += "; the luck of a training, of which there is one, is not in them"
        return cls(column, drawn, f"Intervals: {told}.")

    @property
    def signed(self) -> bool:
        """Whether it is a difference."""
        return self.column == "difference"

    def estimate(self, rows: Sequence[Row]) -> Estimate:
        """Of one row its own; of several their mean.

        Points of a grid are no sample of anything, and as they have the same clients, averaging
        over them need not narrow an interval; over seeds, which have clients of their own, it
        does. Points that were drawn are a sample of all there could be, and seeds of trainings one
        of all luck: their interval is Student's where it is wider.
        """
        rows = [row for row in rows if row[self.column] is not None]
        if not rows:
            return Estimate(None, None, None)
        by_seed = _means(rows, "seed", [f"{self.column}{end}" for end in ("_low", "", "_high")])
        low, middle, high = by_seed.T
        mean, sample = float(middle.mean()), middle[:0]
        if self.drawn:
            sample = _means(rows, "point", [self.column])[:, 0]
        elif rows[0]["therapist"] == TRAINED:
            sample = middle
        half = 0.0
        if len(sample) > 1:
            half = float(stats.t.isf((1 - CONFIDENCE) / 2, len(sample) - 1) * stats.sem(sample))
        ends = [
            max(half, float(np.sqrt(np.mean(gap**2) / len(gap))))
            for gap in (middle - low, high - middle)
        ]
        return Estimate(mean, max(-float(self.signed), mean - ends[0]), min(1.0, mean + ends[1]))


def _means(rows: Sequence[Row], over: str, columns: Sequence[str]) -> Float[np.ndarray, "n k"]:
    """Of columns, over the rows of each point or seed."""
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        groups.setdefault(row[over], []).append(row)
    return np.array(
        [[np.mean([row[name] for row in each]) for name in columns] for each in groups.values()]
    )


def pictures(sweep: Sweep, rows: Sequence[Row]) -> list[Picture]:
    """Maps of each therapist's difference to the reference, or of its success where there is no
    other, and curves of both."""
    therapists = list(dict.fromkeys(row["therapist"] for row in rows))
    places = [each for axis in sweep.axes if len((each := Places.of(axis, rows)).labels) > 1]
    others = [name for name in therapists if name != REFERENCE]
    success, difference = Look.of("success", sweep), Look.of("difference", sweep)
    made = [_maps(places, rows, name, difference) for name in others]
    if not others:
        made = [_maps(places, rows, REFERENCE, success)]
    curves = _curves(places, rows, others, difference) + _curves(places, rows, therapists, success)
    return [each for each in made if each.panels] + curves


# --- maps over pairs ------------------------------------------------------------------------


def _maps(places: Sequence[Places], rows: Sequence[Row], therapist: str, look: Look) -> Picture:
    own = [row for row in rows if row["therapist"] == therapist]
    panels = [
        _map_panel(x, y, own, look)
        for x, y in itertools.islice(itertools.combinations(places, 2), MOST_PAIRS)
    ]
    against = f" minus {REFERENCE}" if look.signed else ""
    return Picture(
        f"{look.column}_{slug(therapist).lower()}",
        f"Success of {therapist}{against}",
        "Percentage points, averaged over whatever else varies. Hatched: the interval holds "
        f"0; nothing corrects for the number of fields. {look.told}"
        if look.signed
        else f"Percent of therapies, averaged over whatever else varies. {look.told}",
        tuple(panels),
        3 if len(panels) > 2 else 2,
    )


def _map_panel(x: Places, y: Places, rows: Sequence[Row], look: Look) -> Panel:
    fields: dict[tuple[int, int], list[Row]] = {}
    for row in rows:
        fields.setdefault((y.place(row), x.place(row)), []).append(row)
    found = {place: look.estimate(each) for place, each in fields.items()}
    known = {place: each for place, each in found.items() if each.estimate is not None}
    title = f"{y.axis.name} by {x.axis.name}"
    if not known:
        return Panel(title, "No therapies.", lambda axes: None)
    best, worst = (f(known, key=lambda p: known[p].estimate or 0.0) for f in (max, min))
    alt = (
        f"Map of {title}: from {_told(known[worst])} at {_where(x, y, worst)} "
        f"to {_told(known[best])} at {_where(x, y, best)}."
    )
    return Panel(title, alt, partial(_draw_map, x, y, known, look.signed), (4.2, 3.5))


def _told(estimate: Estimate) -> str:
    low, middle, high = (
        100 * float(v or 0) for v in (estimate.low, estimate.estimate, estimate.high)
    )
    return f"{middle:.1f} [{low:.1f}, {high:.1f}]"


def _where(x: Places, y: Places, place: tuple[int, int]) -> str:
    return f"{y.axis.name} {y.labels[place[0]]}, {x.axis.name} {x.labels[place[1]]}"


def _draw_map(
    x: Places, y: Places, found: dict[tuple[int, int], Estimate], signed: bool, axes: "Axes"
) -> None:
    shape = len(y.labels), len(x.labels)
    values = np.full(shape, np.nan)
    for place, each in found.items():
        values[place] = 100 * (each.estimate or 0.0)
    span = max(1.0, float(np.nanmax(np.abs(values))))
    look: Any = {"cmap": "RdBu", "vmin": -span, "vmax": span} if signed else {"cmap": "viridis"}
    image = axes.imshow(values, aspect="auto", origin="lower", **look)
    for (row, column_at), each in found.items():
        unclear = signed and (each.low or 0) <= 0 <= (each.high or 0)
        if unclear:
            _hatch(axes, column_at, row)
        if values.size <= MOST_TOLD:
            ends = f"\n{round(100 * (each.low or 0))}…{round(100 * (each.high or 0))}"
            dark = abs(values[row, column_at]) > 0.6 * span if signed else False
            told = f"{round(values[row, column_at]):{'+' if signed else ''}}"
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
    places: Sequence[Places], rows: Sequence[Row], therapists: Sequence[str], look: Look
) -> list[Picture]:
    panels = tuple(_curve_panel(each, rows, therapists, look) for each in places)
    if not panels or not therapists:
        return []
    against = f", minus {REFERENCE}" if look.signed else ""
    caption = f"Mean success at each value of a setting, over whatever else varies. {look.told}"
    name = "curves_difference" if look.signed else "curves"
    title = f"Along each axis{against}"
    return [Picture(name, title, caption, panels, 3 if len(panels) > 2 else 2)]


def _curve_panel(x: Places, rows: Sequence[Row], therapists: Sequence[str], look: Look) -> Panel:
    curves = {}
    for name in therapists:
        own: dict[int, list[Row]] = {}
        for row in rows:
            if row["therapist"] == name:
                own.setdefault(x.place(row), []).append(row)
        curves[name] = {at: look.estimate(own[at]) for at in sorted(own)}
    told = []
    for name, curve in curves.items():
        ends = [_told(curve[at]) for at in (min(curve), max(curve))]
        told.append(f"{name} from {ends[0]} to {ends[1]}")
    what = f"{look.column} by {x.axis.name}"
    alt = f"{what[0].upper()}{what[1:]} in percent: {'; '.join(told)}."
    return Panel(what, alt, partial(_draw_curves, x, curves, look.signed), (4.2, 3.2))


def _draw_curves(
    x: Places, curves: dict[str, dict[int, Estimate]], signed: bool, axes: "Axes"
) -> None:
    for number, (name, curve) in enumerate(curves.items(), int(signed)):  # the reference is first
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
    axes.set_ylabel("difference, percentage points" if signed else "success, % of therapies")
    if signed:
        axes.axhline(0, lw=0.8, color=GREY)
    if len(curves) > 1 or signed:
        axes.legend(loc="best")
