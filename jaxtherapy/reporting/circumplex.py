"""The interpersonal circumplex with what client and therapist do, as text and as a picture."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from jaxtherapy.client.octants import N_OCTANTS, OCTANTS
from jaxtherapy.reporting.drawing import BLUE, GREEN, GREY, INK, ORANGE, draw

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PLACES = ((0, 13), (1, 21), (3, 25), (5, 21), (6, 13), (5, 4), (3, 0), (1, 4))
"""Row and column of each octant in the circle of letters."""

_BAR = 20
"""Letters in a bar."""

_DPI = 100


@dataclass(frozen=True)
class Scene:
    """A therapy between two sessions: the pending act of the client, the last answer and what
    the client heard (8 before the first); RS and threshold as shares of the client's range."""

    client_act: int
    therapist_act: int
    heard_act: int
    session: int
    max_sessions: int
    rs: float
    threshold: float
    bond: float

    @property
    def caption(self) -> str:
        """The session, and whether the last answer was misheard."""
        told = f"session {self.session} of {self.max_sessions}"
        if self.therapist_act == self.heard_act:
            return told
        return f"{told}, {OCTANTS[self.therapist_act]} heard as {OCTANTS[self.heard_act]}"


def octant_position(octant: int, radius: float = 1.0) -> tuple[float, float]:
    """On the interpersonal circumplex: dominance up, warmth to the right."""
    angle = np.pi / 2 - octant * np.pi / 4
    return radius * float(np.cos(angle)), radius * float(np.sin(angle))


def circle(client: int, therapist: int | None = None) -> str:
    """Seven lines, dominance up and warmth to the right; ``[C]`` is the client."""
    rows = [[" "] * 34 for _ in range(7)]
    for octant, (row, column) in enumerate(_PLACES):
        label = f"{octant} {OCTANTS[octant]}"
        if octant == client:
            label += " [C]"
        if octant == therapist:
            label += " (T)"
        rows[row][column : column + len(label)] = label
    return "\n".join("   " + "".join(row).rstrip() for row in rows)


def as_text(scene: Scene) -> str:
    """The circle, the session, RS and bond as bars."""

    def bar(share: float) -> str:
        full = round(_BAR * min(max(share, 0.0), 1.0))
        return f"{'█' * full}{'░' * (_BAR - full)} {share:.2f}"

    return "\n".join(
        [
            circle(scene.client_act, scene.therapist_act),
            scene.caption,
            f"RS   {bar(scene.rs)}, success at {scene.threshold:.2f}",
            f"bond {bar(scene.bond)}",
        ]
    )


def as_picture(scene: Scene) -> np.ndarray:
    """The same as (height, width, 3) bytes; raises PictureError."""
    size = 4.0, 4.8

    def paint(figure: "Figure") -> None:
        circle_axes, bars = figure.subplots(2, 1, height_ratios=[5, 1])
        _draw_circle(circle_axes, scene)
        _draw_bars(bars, scene)

    options = {"dpi": _DPI, "facecolor": "white"}
    raw = draw("therapy", size, paint, {"rgba": options})["rgba"]
    width, height = (round(inches * _DPI) for inches in size)
    return np.frombuffer(raw, np.uint8).reshape(height, width, 4)[..., :3].copy()


def _draw_circle(axes: "Axes", scene: Scene) -> None:
    from matplotlib.patches import Circle

    axes.set_axis_off()
    axes.set_aspect("equal")
    axes.set(xlim=(-1.35, 1.35), ylim=(-1.35, 1.35))
    axes.set_title(scene.caption)
    axes.add_patch(Circle((0, 0), 1, fill=False, ec=GREY, lw=0.8))
    for octant in range(N_OCTANTS):
        where = octant_position(octant)
        fill, ink = ("white", INK) if octant != scene.client_act else (BLUE, "white")
        axes.add_patch(Circle(where, 0.17, fc=fill, ec=GREY, lw=0.8, zorder=2))
        if octant == scene.therapist_act:
            axes.add_patch(Circle(where, 0.24, fill=False, ec=ORANGE, lw=3, zorder=2))
        axes.text(*where, OCTANTS[octant], color=ink, ha="center", va="center", weight="bold")
    axes.text(0, 0.1, "client's act", color=BLUE, ha="center", weight="bold")
    axes.text(0, -0.15, "last answer", color=ORANGE, ha="center", weight="bold")


def _draw_bars(axes: "Axes", scene: Scene) -> None:
    axes.barh(["bond", "RS"], [scene.bond, scene.rs], color=[GREY, GREEN])
    axes.plot([scene.threshold] * 2, [0.6, 1.4], color=INK)  # at which therapy has succeeded
    axes.set_xlim(0, 1)
