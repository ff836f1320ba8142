"""Draws docs/images/client.svg, how the client remembers and bonds: ``make pictures``."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from docs.circumplex import BLUE, GREY, ORANGE, line, text
from jaxtherapy.client import memory
from jaxtherapy.client.params import ClientParams

FILE = Path(__file__).parent / "images" / "client.svg"
WIDTH, HEIGHT, SIDE = 640, 250, 230
PLAIN = f'stroke="{GREY}"'


def panel(left: float, x: ArrayLike, y: ArrayLike, color: str, words: tuple[str, str]) -> list[str]:
    """A curve in a square: both axes begin at 0 and end at the largest value."""
    bottom, top = HEIGHT - 45, HEIGHT - 45 - SIDE * 0.75
    across, up = (np.asarray(values, float) for values in (x, y))
    xs = left + SIDE * across / across.max()
    ys = bottom - (bottom - top) * up / up.max()
    points = " ".join(f"{x:.0f},{y:.0f}" for x, y in zip(xs, ys, strict=True))
    return [
        line((left, bottom), (left + SIDE, bottom), PLAIN),
        line((left, bottom), (left, top), PLAIN),
        f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="3"/>',
        text(left + SIDE / 2, bottom + 30, words[0]),
        text(left, top - 12, words[1], anchor="start"),
        text(left, bottom + 17, "0"),
        text(left + SIDE, bottom + 17, f"{across.max():.0f}"),
        text(left - 8, top + 5, f"{up.max():.2g}", anchor="end"),
    ]


def draw() -> str:
    """Weights of what is remembered, and the bond, with the default parameters."""
    params, shares = ClientParams(), jnp.linspace(0, 1, 51)
    weights = memory.recency_weights(params.recency_ratio)
    low, high = jnp.float32(0), jnp.float32(1)
    alpha, offset = params.bond_alpha, params.bond_offset
    bonds = jax.vmap(lambda share: memory.bond(share, low, high, alpha, offset))(shares)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        'font-family="sans-serif" font-size="14">',
        "<title>How much an exchange weighs in memory, and the bond against RS</title>",
        '<rect width="100%" height="100%" fill="white"/>',
        *panel(60, np.arange(50), weights, BLUE, ("exchange, oldest to newest", "weight in RS")),
        *panel(380, shares, bonds, ORANGE, ("RS, as a share of the client’s range", "bond")),
    ]
    return "\n".join([*parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    FILE.write_text(draw(), encoding="utf-8")
