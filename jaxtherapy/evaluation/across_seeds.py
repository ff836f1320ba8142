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

Array = np.ndarray


class AcrossSeeds(NamedTuple):
    """What a metric was across seeds, at each evaluation.

    With one seed ``std`` (ddof 1) is NaN, and all others are that seed's value. The interval is NaN
    with fewer than ``FEWEST_SEEDS``; with few it covers less than it says (five 88 %, eight 93 %,
    fifty 95 %). Where a seed's value is not finite, everything is NaN: no seed is left out in
    silence.
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
    """The statistics of each column; all columns, and all metrics with the same ``seed``, share
    their resamples of seeds."""
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
    """The interquartile mean of resamples in which each seed occurs as often as ``counts`` says."""
    n_seeds, cut = len(values), len(values) // 4
    iqm = np.empty((len(counts), values.shape[1]))
    for place, column in enumerate(values.T):
        order = np.argsort(column)
        lowest = column[order[0]]  # added last: seeds that agree have it exactly
        drawn = np.cumsum(counts[:, order], axis=1)
        kept = np.diff(np.clip(drawn, cut, n_seeds - cut), axis=1, prepend=np.float32(cut))
        iqm[:, place] = lowest + kept @ (column[order] - lowest) / (n_seeds - 2 * cut)
    return iqm


class Ranking(NamedTuple):
    """The seeds to look at."""

    best: int
    median: int
    worst: int


def rank_seeds(rewards: Mapping[int, float]) -> Ranking:
    """Which seeds are best, median and worst by their final evaluation reward.

    Of two in the middle, the median earns less; of seeds that earn the same, the lower number is
    better; a reward that is no number is below all others.
    """
    order = sorted(
        rewards, key=lambda seed: (-np.nan_to_num(rewards[seed], nan=-np.inf, neginf=-np.inf), seed)
    )
    return Ranking(order[0], order[len(order) // 2], order[-1])
