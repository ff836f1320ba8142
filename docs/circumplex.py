"""Draws docs/images/circumplex.svg: ``make pictures``."""

from math import cos, radians, sin
from pathlib import Path

from jaxtherapy.client.octants import ANTICOMPLEMENT, COMPLEMENT, N_OCTANTS, OCTANT_NAMES, OCTANTS

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#555555"  # as in reports
FILE = Path(__file__).parent / "images" / "circumplex.svg"
WIDTH, HEIGHT, RADIUS, DOT = 640, 500, 165, 27
CENTRE = (WIDTH / 2, 225)


def position(octant: int) -> tuple[float, float]:
    """Where an octant is: dominant on top, then clockwise."""
    angle = radians(45 * octant - 90)
    return CENTRE[0] + RADIUS * cos(angle), CENTRE[1] + RADIUS * sin(angle)


def line(one: tuple[float, float], other: tuple[float, float], style: str) -> str:
    """A line between two points."""
    (x1, y1), (x2, y2) = one, other
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" {style}/>'


def text(x: float, y: float, words: str, style: str = "", anchor: str = "middle") -> str:
    """Words at a point."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {style}>{words}</text>'


def draw() -> str:
    """The circumplex as SVG."""
    green = f'stroke="{GREEN}" stroke-width="3"'
    orange = f'stroke="{ORANGE}" stroke-width="3" stroke-dasharray="7 5"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        'font-family="sans-serif" font-size="15">',
        "<title>The interpersonal circumplex: eight octants, complement and anticomplement</title>",
        '<rect width="100%" height="100%" fill="white"/>',
        f'<circle cx="{CENTRE[0]}" cy="{CENTRE[1]}" r="{RADIUS}" fill="none" stroke="{GREY}"/>',
    ]
    for mirror, style in ((COMPLEMENT, green), (ANTICOMPLEMENT, orange)):
        pairs = [(i, int(mirror[i])) for i in range(N_OCTANTS) if i < mirror[i]]
        parts += [line(position(i), position(j), style) for i, j in pairs]
    for octant, (letters, name) in enumerate(zip(OCTANTS, OCTANT_NAMES, strict=True)):
        x, y = position(octant)
        side = round((x - CENTRE[0]) / RADIUS, 1)
        anchor = "middle" if side == 0 else "start" if side > 0 else "end"
        above = y < CENTRE[1] - RADIUS / 2
        beside = (x + (side > 0) * (DOT + 7) - (side < 0) * (DOT + 7), y + 5)
        place = beside if side else (x, y - DOT - 8 if above else y + DOT + 20)
        parts += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{DOT}" fill="white" stroke="{BLUE}" '
            'stroke-width="2"/>',
            text(x, y, letters, f'fill="{BLUE}" font-weight="bold"'),
            text(x, y + 14, str(octant), f'fill="{GREY}" font-size="12"'),
            text(*place, name, anchor=anchor),
        ]
    for number, (style, words) in enumerate(
        ((green, "complement: same affiliation, opposite control (W and C: itself)"),
         (orange, "anticomplement: opposite affiliation, same control (D and S: itself)"))
    ):  # fmt: skip
        y = HEIGHT - 40 + 24 * number
        parts += [line((70, y), (110, y), style), text(122, y + 5, words, anchor="start")]
    return "\n".join([*parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    FILE.write_text(draw(), encoding="utf-8")
