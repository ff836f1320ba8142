"""Response maps: how a therapist answers each act of the client."""

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from jaxtherapy.client.octants import COMPLEMENT, N_OCTANTS, OCTANT_NAMES, OCTANTS
from jaxtherapy.evaluation.results import PHASES, Course, Evaluation, ResponseMap
from jaxtherapy.reporting.circumplex import octant_position
from jaxtherapy.reporting.drawing import BLUE, GREEN, GREY, INK, Panel, Picture
from jaxtherapy.reporting.figures.looks import FEWEST, slug

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROSE = 0.375
"""Radius of a rose where the circle of octants has a radius of 1."""


def response_maps(evaluation: Evaluation, course: Course, place: int) -> Picture:
    """P(therapist act | client act) early, middle and late: a rose at each client octant."""
    name, panels = evaluation.labels[course.therapist], []
    for phase in PHASES:
        shown = course.response_maps[phase]
        told = []
        for client, row in zip(OCTANT_NAMES, shown.probability, strict=True):
            known = [value or 0.0 for value in row]
            if any(known):
                act = int(np.argmax(known))
                told.append(f"{client} is answered {OCTANT_NAMES[act]} {100 * known[act]:.0f} %")
        alt = (
            f"Response map of {name}, {phase} third of therapy, most frequent answers: "
            f"{'; '.join(told) or 'no acts'}."
        )
        panels.append(Panel(f"{phase} third", alt, partial(_draw_roses, shown), (3.6, 3.7)))
    return Picture(
        f"responses_{place}_{slug(course.therapist)}",
        f"Response map: {name}",
        "At each octant of the client a rose of the therapist's answers: a petal points to the "
        "therapist's octant, its length is the probability (the ring is 100 %). Green with a bold "
        "edge: the complement. Faint ring: the client acted like this fewer than "
        f"{FEWEST} times. Sessions of all therapies are pooled, so long therapies weigh more.",
        tuple(panels),
        3,
    )


def _draw_roses(shown: ResponseMap, axes: "Axes") -> None:
    axes.set_axis_off()
    axes.set_aspect("equal")
    for client in range(N_OCTANTS):
        _draw_rose(axes, client, shown)
        where = octant_position(client, 1.53)
        axes.text(*where, OCTANTS[client], ha="center", va="center", weight="bold")
    for end in ((0, 0.5), (0.5, 0)):
        start = -end[0], -end[1]
        axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": GREY})
    axes.text(0.04, 0.36, "dominant", fontsize=8.5)
    axes.text(0.2, -0.13, "warm", fontsize=8.5)
    axes.set(xlim=(-1.65, 1.65), ylim=(-1.65, 1.65))


def _draw_rose(axes: "Axes", client: int, shown: ResponseMap) -> None:
    from matplotlib.patches import Circle, Wedge

    often, center = shown.count[client] >= FEWEST, octant_position(client)
    ring, opacity = (0.9, 1.0) if often else (0.25, 0.3)
    axes.add_patch(Circle(center, ROSE, fill=False, ec=GREY, lw=0.8, alpha=ring))
    for act, probability in enumerate(shown.probability[client]):
        if not probability:
            continue
        fill, edge = (GREEN, INK) if act == COMPLEMENT[client] else (BLUE, "none")
        angles = 90 - 45 * act - 22, 90 - 45 * act + 22
        petal = Wedge(center, ROSE * probability, *angles, fc=fill, ec=edge, lw=0.9, alpha=opacity)
        axes.add_patch(petal)
