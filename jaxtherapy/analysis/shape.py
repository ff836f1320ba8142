"""High–low–high: does complementarity fall in mid-therapy and rise again (Tracey 1993)?

Each therapy gives four numbers: its mean complementarity in its first, middle and last third, and
its curvature, the coefficient of x² in the least-squares parabola over its sessions, with x from
−1 at the first to 1 at the last. Therapies are independent, so their means are tested by Student's
t and their intervals are percentile bootstraps over therapies.

High–low–high is claimed by an intersection–union test (Berger 1982): curvature, first − middle and
last − middle all positive, each one-sided at the level of the whole. Without any shape its false
positives are at most that level, and far fewer in practice.
"""

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

from jaxtherapy.analysis.results import Estimate, Shape
from jaxtherapy.analysis.statistics import (
    bootstrap_means,
    mean_is_zero,
    percentile_interval,
    standard_error,
)

SHORTEST = 9
"""Sessions that a therapy needs to have a shape: three in each third."""

MEASURES = ("complementarity", "closeness")

Array = np.ndarray


def curvature(
    values: Float[Array, "n sessions"], held: Bool[Array, "n sessions"]
) -> Float[Array, "n"]:
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
            high_low_high=False,
        )
    first, middle, last = third_means(values, held)
    bend = curvature(values, held)
    columns = np.stack([first, middle, last, first - middle, last - middle, bend])
    low, high = percentile_interval(bootstrap_means(columns, n_samples, seed), confidence)
    table = zip(columns.mean(1), low, high, standard_error(columns), strict=True)
    estimates = [Estimate(*map(float, row)) for row in table]
    p_positive = max(map(float, mean_is_positive(columns[3:])))
    return Shape(
        **labels,  # type: ignore[arg-type]
        thirds=estimates[:3],
        first_minus_middle=estimates[3],
        last_minus_middle=estimates[4],
        curvature=estimates[5],
        p_curvature=float(mean_is_zero(bend)),
        p_high_low_high=p_positive,
        high_low_high=p_positive < 1 - confidence,
    )


def mean_is_positive(values: Float[Array, "*shape n"]) -> Float[Array, "*shape"]:
    """One-sided p-values of Student's t-test that the mean is not above 0; 1 where all are 0."""
    mean, error = values.mean(-1), standard_error(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = stats.t.sf(mean / error, values.shape[-1] - 1)
    return np.where((mean == 0) & (error == 0), 1.0, p)


def shapes_of(
    outcome: str,
    acts: str,
    distance: Float[Array, "n sessions"],
    held: Bool[Array, "n sessions"],
    *,
    confidence: float,
    n_samples: int,
    seed: int,
) -> list[Shape]:
    """The shape of both measures, from octant distances to the complement."""
    measures = (distance == 0).astype(float), 1 - distance / 4
    return [
        shape_of(
            values,
            held,
            outcome=outcome,
            acts=acts,
            measure=measure,
            confidence=confidence,
            n_samples=n_samples,
            seed=seed,
        )
        for measure, values in zip(MEASURES, measures, strict=True)
    ]
