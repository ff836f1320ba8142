"""High–low–high: does complementarity fall in mid-therapy and rise again (Tracey 1993)?

Each therapy gives four numbers: its mean complementarity in its first, middle and last third, and
its curvature, the coefficient of x² in the least-squares parabola over its sessions, with x from
−1 at the first to 1 at the last. Therapies are independent, so their means are tested by Student's
t and their intervals are percentile bootstraps over therapies.

High–low–high is claimed by an intersection–union test (Berger 1982): curvature, first − middle and
last − middle all positive, each one-sided at the level of the whole. Of therapies whose length has
nothing to do with what happens in them its false positives are at most that level.

Real therapies are not like that: they stop at success, so their ends are selected, most of all
among successes. A therapist who never changes can pass the test on its own. What is claimed
therefore has to exceed, by the same three criteria paired by client, what the therapist's twin
shows, which never changes and is stopped by the same rules (:mod:`jaxtherapy.evaluation.twin`).
"""

from collections.abc import Callable
from typing import TypedDict

import numpy as np
from jaxtyping import Bool, Float

from jaxtherapy.evaluation.results import Estimate, Excess, Shape
from jaxtherapy.evaluation.statistics import (
    bootstrap_means,
    mean_is_positive,
    mean_is_zero,
    percentile_interval,
    standard_error,
)

SHORTEST = 9
"""Sessions that a therapy needs to have a shape: three in each third."""

Array = np.ndarray

MEASURES: dict[str, Callable[[Array], Array]] = {
    "complementarity": lambda distance: (distance == 0).astype(float),
    "closeness": lambda distance: 1 - distance / 4,
}
"""From octants between an answer and the complement."""

Pairs = tuple[tuple[Array, Array], tuple[Array, Array]]


class Settings(TypedDict):
    """What all intervals of a shape share."""

    confidence: float
    n_samples: int
    seed: int


def curvature(
    values: Float[Array, "n sessions"], held: Bool[Array, "n sessions"]
) -> Float[Array, " n"]:
    """Quadratic coefficient of each row's least-squares parabola on [−1, 1].

    On equidistant points x² less its mean is orthogonal to 1 and x:
    ``Σ (x² − mean x²)·y / Σ (x² − mean x²)²``.
    """
    length = held.sum(1, keepdims=True)
    x = 2 * np.arange(held.shape[1]) / np.maximum(length - 1, 1) - 1
    square = np.where(held, x**2, 0)
    contrast = np.where(held, square - square.sum(1, keepdims=True) / np.maximum(length, 1), 0)
    # Centred first: a constant row then bends by exactly 0, not by rounding.
    mean = np.mean(values, axis=1, where=held, keepdims=True)
    return np.sum(contrast * (values - mean), axis=1) / np.sum(contrast**2, axis=1)


def third_means(
    values: Float[Array, "n sessions"], held: Bool[Array, "n sessions"]
) -> Float[Array, "3 n"]:
    """Mean over each third of each row."""
    length = held.sum(1, keepdims=True)
    part = np.where(held, np.arange(held.shape[1]) * 3 // np.maximum(length, 1), 3)
    return np.stack([np.mean(values, axis=1, where=part == number) for number in range(3)])


def shape_of(
    values: Float[Array, "n sessions"],
    held: Bool[Array, "n sessions"],
    *,
    outcome: str,
    acts: str,
    measure: str,
    confidence: float,
    n_samples: int,
    seed: int,
    beyond_twin: Excess | None = None,
) -> Shape:
    """Estimates, intervals and tests; empty where fewer than two therapies are long enough."""
    long_enough = held.sum(1) >= SHORTEST
    values, held = values[long_enough], held[long_enough]
    n = len(values)
    labels = {"outcome": outcome, "acts": acts, "measure": measure, "episodes": n}
    if n < 2:
        none = Estimate(None, None, None)
        return Shape(
            **labels,  # type: ignore[arg-type]
            thirds=[none] * 3,
            first_minus_middle=none,
            last_minus_middle=none,
            curvature=none,
            p_curvature=None,
            p_high_low_high=None,
            beyond_twin=beyond_twin,
            high_low_high=False,
        )
    columns = np.concatenate([third_means(values, held), contrasts(values, held)])
    estimates = _estimates(columns, confidence, n_samples, seed)
    p_positive = max(map(float, mean_is_positive(columns[3:])))
    p_values = [p_positive] if beyond_twin is None else [p_positive, beyond_twin.p]
    return Shape(
        **labels,  # type: ignore[arg-type]
        thirds=estimates[:3],
        first_minus_middle=estimates[3],
        last_minus_middle=estimates[4],
        curvature=estimates[5],
        p_curvature=float(mean_is_zero(columns[5])),
        p_high_low_high=p_positive,
        beyond_twin=beyond_twin,
        high_low_high=all(p is not None and p < 1 - confidence for p in p_values),
    )


def excess_of(
    ours: tuple[Float[Array, "n sessions"], Bool[Array, "n sessions"]],
    twins: tuple[Float[Array, "n sessions"], Bool[Array, "n sessions"]],
    *,
    confidence: float,
    n_samples: int,
    seed: int,
) -> Excess:
    """What therapies, as values and where they are held, show beyond those of twins, row by row.

    Only rows that are long enough on both sides enter.
    """
    both = (ours[1].sum(1) >= SHORTEST) & (twins[1].sum(1) >= SHORTEST)
    pairs = int(both.sum())
    if pairs < 2:
        none = Estimate(None, None, None)
        return Excess(pairs, none, none, none, None)
    mine, theirs = (contrasts(values[both], held[both]) for values, held in (ours, twins))
    first, last, bend = _estimates(mine - theirs, confidence, n_samples, seed)
    return Excess(pairs, first, last, bend, max(map(float, mean_is_positive(mine - theirs))))


def contrasts(
    values: Float[Array, "n sessions"], held: Bool[Array, "n sessions"]
) -> Float[Array, "3 n"]:
    """First − middle, last − middle and curvature of each row: positive where it is U-shaped."""
    first, middle, last = third_means(values, held)
    return np.stack([first - middle, last - middle, curvature(values, held)])


def _estimates(
    columns: Float[Array, "k n"], confidence: float, n_samples: int, seed: int
) -> list[Estimate]:
    low, high = percentile_interval(bootstrap_means(columns, n_samples, seed), confidence)
    table = zip(columns.mean(1), low, high, standard_error(columns), strict=True)
    return [Estimate(*map(float, row)) for row in table]


def shapes_of(
    outcome: str,
    acts: str,
    distance: Float[Array, "n sessions"],
    held: Bool[Array, "n sessions"],
    *,
    confidence: float,
    n_samples: int,
    seed: int,
    pairs: Pairs | None = None,
) -> list[Shape]:
    """The shape of both measures, from octant distances to the complement.

    Args:
        pairs: distances and where they are held, of the therapist and of its twin, of the clients
            whose therapy ended in this way with both.
    """
    settings: Settings = {"confidence": confidence, "n_samples": n_samples, "seed": seed}
    return [
        shape_of(
            of_distance(distance),
            held,
            outcome=outcome,
            acts=acts,
            measure=measure,
            beyond_twin=pairs
            and excess_of(
                (of_distance(pairs[0][0]), pairs[0][1]),
                (of_distance(pairs[1][0]), pairs[1][1]),
                **settings,
            ),
            **settings,
        )
        for measure, of_distance in MEASURES.items()
    ]
