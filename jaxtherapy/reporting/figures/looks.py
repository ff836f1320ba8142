"""How a therapist is drawn wherever it appears, and what charts share."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxtherapy.evaluation.results import Estimate, Evaluation
from jaxtherapy.reporting.drawing import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINE_STYLES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "D", "^", "v", "P", "X")
FEWEST = 5
"""Points along therapy with fewer therapies are not drawn."""
LEGEND_BELOW = 33
"""Points from the axes to a legend below them: ticks and label lie between."""


@dataclass(frozen=True)
class Look:
    """Colour, line style and marker."""

    color: str
    line: str
    marker: str


def looks(evaluation: Evaluation) -> dict[str, Look]:
    """By therapist; the seeds of a group look alike."""
    chosen: dict[str, Look] = {}
    for place, group in enumerate(evaluation.groups):
        look = Look(
            PALETTE[place % len(PALETTE)],
            LINE_STYLES[place % len(LINE_STYLES)],
            MARKERS[(place + place // len(PALETTE)) % len(MARKERS)],
        )
        chosen |= dict.fromkeys(group.therapists, look)
    return chosen


def as_array(numbers: Sequence[float | None]) -> np.ndarray:
    """Unknown numbers are NaN."""
    return np.array(numbers, float)


def slug(text: str) -> str:
    """Part of a file's name."""
    return re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_")[:40] or "therapist"


def draw_dot(
    axes: "Axes",
    place: float,
    estimate: Estimate,
    look: Look,
    scale: float = 1.0,
    filled: bool = True,
    label: str | None = None,
) -> None:
    """An estimate with its interval, at a height; smaller where it has a label for a legend."""
    low, middle, high = as_array([estimate.low, estimate.estimate, estimate.high]) * scale
    size, width = (6.5, 2.0) if label is None else (4.5, 1.5)
    axes.plot([low, high], [place] * 2, color=look.color, lw=width, solid_capstyle="butt")
    style: Any = {"mfc": look.color if filled else "none", "ms": size, "label": label or None}
    axes.plot([middle], [place], look.marker, color=look.color, ls="", clip_on=False, **style)


def name_rows(axes: "Axes", names: Sequence[str]) -> None:
    """Names at heights 0, 1, …, from the top down."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)


def legend_below(axes: "Axes") -> None:
    """Below ticks and label, whatever the axes' height; in as many columns as names leave room."""
    from matplotlib.transforms import ScaledTranslation

    figure = axes.get_figure(root=True)
    assert figure is not None
    below = axes.transAxes + ScaledTranslation(0, -LEGEND_BELOW / 72, figure.dpi_scale_trans)
    columns = min(3, legend_columns(axes))
    axes.legend(loc="upper center", bbox_to_anchor=(0.45, 0), bbox_transform=below, ncols=columns)


def legend_columns(axes: "Axes", room: int = 57) -> int:
    """How many of the axes' labels stand side by side where there is room for so many letters."""
    names = axes.get_legend_handles_labels()[1]
    return max(1, min(len(names), room // (max(map(len, names)) + 6)))
