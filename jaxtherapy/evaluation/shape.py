"""High–low–high: does complementarity fall in mid-therapy and rise again (Tracey 1993)?

Each therapy gives four numbers: its mean complementarity in its first, middle and last third, and
its curvature, the coefficient of x² in the least-squares parabola over its sessions, with x from −1
at the first to 1 at the last. Therapies are independent, so their means are tested by Student's t
and their intervals are percentile bootstraps over therapies.

High–low–high is claimed by an intersection–union test (Berger 1982): curvature, first − middle and
last − middle all positive, each one-sided at the level of the whole. Where therapies stop at
success, their ends are selected and a therapist who never changes can pass. What is claimed
therefore has to exceed, by the same criteria paired by client, what the therapist's stationary
control shows (:mod:`jaxtherapy.evaluation.control`).

Complementarity is *positive* where warm acts are answered by their (warm) complements, *negative*
where cold ones are by theirs; both are shares of all sessions, neutral acts being neither.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import stats

from jaxtherapy.client.octants import COLD, N_OCTANTS, WARM
from jaxtherapy.evaluation.results import Estimate, Excess, Shape
from jaxtherapy.evaluation.statistics import (
    Intervals,
    bootstrap_means,
    estimates,
    p_of_mean,
    percentile_interval,
)

SHORTEST = 9
"""Sessions that a therapy needs to have a shape: three in each third."""

UNKNOWN = Estimate(None, None, None)

Array = np.ndarray


class Answers(NamedTuple):
    """Octants between answers and complements, where there was a session, and what was answered."""

    distance: Int[Array, "n sessions"]
    held: Bool[Array, "n sessions"]
    client_act: Int[Array, "n sessions"]

    def complementary_to(self, acts: Sequence[int]) -> Float[Array, "n sessions"]:
        """1 where one of these acts was answered by its complement."""
        return ((self.distance == 0) & np.isin(self.client_act, acts)).astype(float)


MEASURES: dict[str, Callable[[Answers], Array]] = {
    "complementarity": lambda answers: answers.complementary_to(range(N_OCTANTS)),
    "closeness": lambda answers: 1 - answers.distance / 4,
    "positive": lambda answers: answers.complementary_to(WARM),
    "negative": lambda answers: answers.complementary_to(COLD),
}
"""Of each session."""

Values = tuple[Array, Array]
"""Of a measure, (n, sessions), and where there was a session."""


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


def thirds(held: Bool[Array, "n sessions"]) -> Int[Array, "n sessions"]:
    """0, 1 or 2 for the third of its therapy that a session lies in; 3 where not held."""
    length = np.maximum(held.sum(1, keepdims=True), 1)
    return np.where(held, np.arange(held.shape[1]) * 3 // length, 3)


def third_means(
    values: Float[Array, "n sessions"], held: Bool[Array, "n sessions"]
) -> Float[Array, "3 n"]:
    """Mean over each third of each row."""
    part = thirds(held)
    return np.stack([np.mean(values, axis=1, where=part == number) for number in range(3)])


def shapes_of(
    outcome: str,
    acts: str,
    answers: Answers,
    intervals: Intervals,
    pairs: tuple[Answers, Answers] | None = None,
) -> list[Shape]:
    """The shape of every measure; ``pairs``: of the therapist and of its control, for the clients
    whose therapy ended in this way with both."""
    shapes = []
    for measure, read in MEASURES.items():
        beyond = None
        if pairs:
            ours, controls = ((read(each), each.held) for each in pairs)
            beyond = excess_of(ours, controls, intervals)
        of_one = shape_of(read(answers), answers.held, intervals, beyond)
        shapes.append(replace(of_one, outcome=outcome, acts=acts, measure=measure))
    return shapes


def shape_of(
    values: Float[Array, "n sessions"],
    held: Bool[Array, "n sessions"],
    intervals: Intervals,
    beyond: Excess | None = None,
) -> Shape:
    """Estimates, intervals and tests; empty where fewer than two therapies are long enough."""
    long_enough = held.sum(1) >= SHORTEST
    values, held = values[long_enough], held[long_enough]
    n = len(values)
    told, p_curvature, p_positive = [UNKNOWN] * 6, None, None
    if n >= 2:
        columns = np.concatenate([third_means(values, held), contrasts(values, held)])
        told = _estimates(columns, intervals)
        p_curvature = float(p_of_mean(columns[5]))
        p_positive = _p_all_positive(columns[3:])
    p_values = [p_positive] if beyond is None else [p_positive, beyond.p]
    return Shape(
        outcome="",
        acts="",
        measure="",
        episodes=n,
        thirds=told[:3],
        first_minus_middle=told[3],
        last_minus_middle=told[4],
        curvature=told[5],
        p_curvature=p_curvature,
        p_high_low_high=p_positive,
        beyond_twin=beyond,
        high_low_high=all(p is not None and p < 1 - intervals.confidence for p in p_values),
    )


def excess_of(ours: Values, controls: Values, intervals: Intervals) -> Excess:
    """What therapies, as values and where they are held, show beyond those of controls, by row.

    Only rows that are long enough on both sides enter.
    """
    both = (ours[1].sum(1) >= SHORTEST) & (controls[1].sum(1) >= SHORTEST)
    pairs = int(both.sum())
    if pairs < 2:
        return Excess(pairs, UNKNOWN, UNKNOWN, UNKNOWN, None)
    mine, theirs = (contrasts(values[both], held[both]) for values, held in (ours, controls))
    beyond = mine - theirs
    first, last, bend = _estimates(beyond, intervals)
    return Excess(pairs, first, last, bend, _p_all_positive(beyond))


def contrasts(
    values: Float[Array, "n sessions"], held: Bool[Array, "n sessions"]
) -> Float[Array, "3 n"]:
    """First − middle, last − middle and curvature of each row: positive where it is U-shaped."""
    first, middle, last = third_means(values, held)
    return np.stack([first - middle, last - middle, curvature(values, held)])


def _estimates(columns: Float[Array, "k n"], intervals: Intervals) -> list[Estimate]:
    samples = bootstrap_means(columns, intervals.n_samples, intervals.seed)
    ends = percentile_interval(samples, intervals.confidence)
    return estimates(columns.mean(1), *ends, stats.sem(columns, -1))


def _p_all_positive(columns: Float[Array, "k n"]) -> float:
    """Of the intersection–union test that every mean is positive."""
    return float(p_of_mean(columns, "greater").max())
