"""How training went across seeds: one number per seed and evaluation in, statistics out.

The statistics are those of Agarwal et al. (2021), *Deep Reinforcement Learning at the Edge of the
Statistical Precipice*: the interquartile mean and its percentile interval from a bootstrap that
is stratified by task. A training run is one task, so its strata are one: seeds are resampled.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxtherapy.evaluation.statistics import (
    FEWEST_SEEDS,
    interquartile_mean,
    percentile_interval,
    resampling_weights,
)

CONFIDENCE = 0.95
N_SAMPLES = 2_000
"""Resamples of seeds: their noise moves an end of the interval by a few percent of its width."""

_BLOCK = 128
"""Resamples worked on at a time: with a thousand seeds they stay in a core's cache."""

Array = np.ndarray


class AcrossSeeds(NamedTuple):
    """What a metric was across seeds, at each evaluation.

    With one seed there is no telling how seeds differ: ``std`` (of a sample, ddof 1) is NaN, and
    all others are that seed's value. The interval is NaN with fewer than ``FEWEST_SEEDS``; with
    few it covers less than it says (five 88 %, eight 93 %, fifty 95 %). Where a seed's value is
    not finite, everything is NaN: no seed is left out in silence.
    """

    mean: Float[Array, " evaluations"]
    std: Float[Array, " evaluations"]
    median: Float[Array, " evaluations"]
    iqm: Float[Array, " evaluations"]
    iqm_low: Float[Array, " evaluations"]
    iqm_high: Float[Array, " evaluations"]


def across_seeds(
    values: Float[Array, "seeds evaluations"],
    n_samples: int = N_SAMPLES,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> AcrossSeeds:
    """The statistics of each column.

    All columns, and all metrics with the same ``seed``, share their resamples of seeds.
    """
    values = np.asarray(values, np.float64)
    n_seeds, n_evaluations = values.shape
    told = AcrossSeeds(*np.full((6, n_evaluations), np.nan))
    known = np.isfinite(values).all(0)
    if not known.any():
        return told
    complete = values[:, known]
    told.mean[known] = complete.mean(0)
    told.median[known] = np.median(complete, 0)
    told.iqm[known] = interquartile_mean(complete.T[..., None])
    if n_seeds > 1:
        told.std[known] = complete.std(0, ddof=1)
    if n_seeds >= FEWEST_SEEDS:
        samples = bootstrap_iqm(complete, n_samples, seed)
        told.iqm_low[known], told.iqm_high[known] = percentile_interval(samples, confidence)
    return told


def bootstrap_iqm(
    values: Float[Array, "seeds evaluations"], n_samples: int, seed: int
) -> Float[Array, "samples evaluations"]:
    """The interquartile mean of every resample of seeds, each resample serving all evaluations."""
    blocks = resampling_weights(len(values), n_samples, seed)
    return np.concatenate([iqm_of_resamples(values, weights) for weights in blocks])


def iqm_of_resamples(
    values: Float[Array, "seeds evaluations"], counts: Float[Array, "samples seeds"]
) -> Float[Array, "samples evaluations"]:
    """The interquartile mean of resamples in which each seed occurs as often as ``counts`` says.

    Nothing is sorted but ``values``: a mean is the lowest value plus each gap to the next one,
    weighed by the share of draws above the gap; the interquartile mean counts only draws of the
    middle half. No gap is negative, so float32 is good for six digits of the range.
    """
    n_seeds, n_evaluations = values.shape
    cut = n_seeds // 4
    middle = n_seeds - 2 * cut
    order = np.argsort(values, axis=0)
    ranked = np.take_along_axis(values, order, axis=0)
    # One evaluation a row: the same layout, and so the same rounding, however many there are.
    gaps = np.ascontiguousarray((np.diff(ranked, axis=0) / middle).T, dtype=np.float32)
    iqm = np.empty((len(counts), n_evaluations))
    for start in range(0, len(counts), _BLOCK):
        block = np.ascontiguousarray(counts[start : start + _BLOCK].T, dtype=np.float32)
        draws = np.empty((n_seeds - 1, block.shape[1]), np.float32)  # one buffer for all steps
        for i in range(n_evaluations):
            np.take(block, order[1:, i], axis=0, out=draws, mode="clip")  # "clip": no copy
            np.cumsum(draws[::-1], axis=0, out=draws[::-1])  # above each gap
            np.clip(np.subtract(draws, cut, out=draws), 0, middle, out=draws)
            iqm[start : start + _BLOCK, i] = ranked[0, i] + gaps[i] @ draws
    return iqm


class Ranking(NamedTuple):
    """The seeds to look at."""

    best: int
    median: int
    worst: int


def rank_seeds(rewards: Mapping[int, float]) -> Ranking:
    """Which seeds are best, median and worst by their final evaluation reward.

    Of two in the middle, the median is the one that earns less. Of seeds that earn the same, the
    lower number is the better one. A reward that is no number is below all others.
    """
    order = sorted(
        rewards, key=lambda seed: (-np.nan_to_num(rewards[seed], nan=-np.inf, neginf=-np.inf), seed)
    )
    return Ranking(order[0], order[len(order) // 2], order[-1])
