"""Intervals, paired tests and comparisons over seeds. Plain NumPy on outcomes.

The unit of resampling is the client. A client has the same random numbers in every cell and with
every therapist, so one multinomial resample of clients serves all of them at once: averages over
cells and paired differences get intervals that know about what their parts share.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats

from jaxtherapy.analysis.grid import Outcomes
from jaxtherapy.analysis.results import Estimate, MetricInfo

_BOOTSTRAP = "percentile bootstrap over clients"
_RATE = f"Wilson score; over all cells: {_BOOTSTRAP}, Wilson where all clients agree"

METRICS = (
    MetricInfo("success", "success", "share of therapies", "higher", _RATE),
    MetricInfo("dropout", "dropout", "share of therapies", "lower", _RATE),
    MetricInfo("sessions_to_success", "sessions to success", "sessions", "lower", _BOOTSTRAP),
    MetricInfo("sessions", "sessions", "sessions", None, _BOOTSTRAP),
    MetricInfo("reward", "reward", "points", "higher", _BOOTSTRAP),
    MetricInfo("final_rs", "final RS", "share of the client's range", "higher", _BOOTSTRAP),
    MetricInfo("bond", "final bond", "0 to 1", "higher", _BOOTSTRAP),
)
RATES = ("success", "dropout")

FEWEST = 10
"""Clients with a success that a ratio needs on either side before it is tested."""

_BLOCK = 2**23
"""Resampling weights held at a time (32 MiB)."""

Array = np.ndarray


class Sums(NamedTuple):
    """A metric as a ratio of two sums over clients; means have a denominator of ones."""

    numerator: Float[Array, "*shape clients"]
    denominator: Float[Array, "*shape clients"]

    @property
    def estimate(self) -> Float[Array, "*shape"]:
        """The metric; NaN where its denominator is empty."""
        return _ratio(self.numerator.mean(-1), self.denominator.mean(-1))

    @property
    def influence(self) -> Float[Array, "*shape clients"]:
        """Each client's first-order pull on the estimate (Hampel 1974); averages 0."""
        residual = self.numerator - self.estimate[..., None] * self.denominator
        return _ratio(residual, self.denominator.mean(-1, keepdims=True))


def _ratio(numerator: Array, denominator: Array) -> Array:
    blank = np.full(np.broadcast_shapes(numerator.shape, denominator.shape), np.nan)
    return np.divide(numerator, denominator, out=blank, where=denominator > 0)


def metric_sums(outcomes: Outcomes) -> dict[str, Sums]:
    """Every metric of outcomes (cells, clients); the row after the last cell averages over cells.

    That average weighs cells equally, except that ``sessions_to_success`` pools the successes.
    """
    success = np.asarray(outcomes.success, np.float32)
    sessions = np.asarray(outcomes.sessions, np.float32)
    ones = np.ones_like(success)
    parts = {
        "success": (success, ones),
        "dropout": (np.asarray(outcomes.dropout, np.float32), ones),
        "sessions_to_success": (sessions * success, success),
        "sessions": (sessions, ones),
        "reward": (np.asarray(outcomes.reward), ones),
        "final_rs": (np.asarray(outcomes.rs), ones),
        "bond": (np.asarray(outcomes.bond), ones),
    }

    def with_average(values: Array) -> Array:
        return np.concatenate([values, values.mean(0, keepdims=True)]).astype(np.float64)

    return {name: Sums(*map(with_average, pair)) for name, pair in parts.items()}


# --- bootstrap ------------------------------------------------------------------------------


def resampling_weights(n: int, n_samples: int, seed: int) -> Iterator[Float[Array, "samples n"]]:
    """Multinomial weights of the bootstrap (Efron 1979), mean 1, in blocks that fit memory."""
    generator = np.random.default_rng(seed)
    block = max(1, min(n_samples, _BLOCK // n))
    for start in range(0, n_samples, block):
        size = min(block, n_samples - start)
        drawn = generator.integers(0, n, (size, n)) + n * np.arange(size)[:, None]
        counts = np.bincount(drawn.reshape(-1), minlength=size * n)
        yield counts.reshape(size, n).astype(np.float32)


def bootstrap_means(
    values: Float[Array, "*shape n"], n_samples: int, seed: int
) -> Float[Array, "samples *shape"]:
    """Means of the resampled last axis; the same seed resamples the same units.

    Sums are in float32, which is ample against the spread of resamples, and of values that are
    never negative they are 0 only if all of them are.
    """
    shape, n = values.shape[:-1], values.shape[-1]
    columns = values.reshape(-1, n).T.astype(np.float32)
    means = [weights @ columns / n for weights in resampling_weights(n, n_samples, seed)]
    return np.concatenate(means).reshape(-1, *shape).astype(np.float64)


def bootstrap_metrics(
    sums: dict[str, Sums], n_samples: int, seed: int
) -> dict[str, Float[Array, "samples *shape"]]:
    """Every metric of each resample of clients, all of them on the same resamples.

    A ratio is NaN in a resample in which its denominator is empty.
    """
    ratios = [name for name, one in sums.items() if not np.all(one.denominator == 1)]
    columns = [one.numerator for one in sums.values()] + [sums[r].denominator for r in ratios]
    means = np.moveaxis(bootstrap_means(np.stack(columns), n_samples, seed), 1, 0)
    samples = dict(zip(sums, means, strict=False))
    for name, denominator in zip(ratios, means[len(sums) :], strict=True):
        samples[name] = _ratio(samples[name], denominator)
    return samples


def percentile_interval(
    samples: Float[Array, "samples *shape"], confidence: float
) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
    """The central ``confidence`` of the samples; NaN where any sample is undefined."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(samples, [tail, 1 - tail], axis=0)
    return low, high


def wilson_interval(
    hits: Float[Array, "*shape"], n: int, confidence: float
) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
    """Wilson's (1927) score interval of a rate: does not collapse at 0 and 1."""
    z = stats.norm.isf((1 - confidence) / 2)
    rate = hits / n
    centre = (rate + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2))
    return np.clip(centre - half, 0, rate), np.clip(centre + half, rate, 1)


def standard_error(influence: Float[Array, "*shape n"]) -> Float[Array, "*shape"]:
    """Of the estimate with these influences: ``sd / √n``."""
    n = influence.shape[-1]
    return (
        influence.std(-1, ddof=1) / np.sqrt(n) if n > 1 else np.full(influence.shape[:-1], np.nan)
    )


def describe(
    name: str, sums: Sums, samples: Float[Array, "samples rows"], confidence: float
) -> list[Estimate]:
    """The metric of every cell and, last, of all, with intervals (see ``METRICS``)."""
    low, high = percentile_interval(samples, confidence)
    n = sums.numerator.shape[-1]
    if name in RATES:
        wilson = wilson_interval(sums.numerator.sum(-1), n, confidence)
        by_score = np.ones(len(low), bool)
        by_score[-1] = low[-1] == high[-1]
        low = np.where(by_score, wilson[0], np.clip(low, 0, 1))
        high = np.where(by_score, wilson[1], np.clip(high, 0, 1))
    columns = sums.estimate, low, high, standard_error(sums.influence)
    return [Estimate(*map(float, row)) for row in zip(*columns, strict=True)]


# --- paired comparisons ---------------------------------------------------------------------


def mean_is_zero(values: Float[Array, "*shape n"]) -> Float[Array, "*shape"]:
    """Two-sided p-values of Student's t-test; 1 where all values are 0."""
    mean, error = values.mean(-1), standard_error(values)
    degrees = values.shape[-1] - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * stats.t.sf(np.abs(mean) / error, degrees)
    return np.where((mean == 0) & (error == 0), 1.0, p)


def exact_mcnemar(
    ours: Float[Array, "*shape n"], theirs: Float[Array, "*shape n"]
) -> Float[Array, "*shape"]:
    """Two-sided exact p-values of paired yes-or-no outcomes (McNemar 1947): a sign test."""
    gained, lost = np.sum(ours > theirs, -1), np.sum(ours < theirs, -1)
    return np.minimum(1.0, 2 * stats.binom.cdf(np.minimum(gained, lost), gained + lost, 0.5))


def paired_p_values(name: str, ours: Sums, theirs: Sums) -> Float[Array, "rows"]:
    """Per cell and, last, over all: exact McNemar for rates in a cell, else Student's t.

    The t-test is on clients' differences of influence: exact differences for means, the delta
    method for ratios, which stay untested (NaN) below ``FEWEST``.
    """
    gap = ours.estimate - theirs.estimate
    p = mean_is_zero(ours.influence - theirs.influence + gap[:, None])
    if name in RATES:
        p[:-1] = exact_mcnemar(ours.numerator[:-1], theirs.numerator[:-1])
    known = [np.sum(one.denominator > 0, -1) for one in (ours, theirs)]
    is_ratio = np.any(ours.denominator != 1)
    return np.where(is_ratio & (np.minimum(*known) < FEWEST), np.nan, p)


def paired_differences(
    name: str,
    ours: Sums,
    theirs: Sums,
    our_samples: Float[Array, "samples rows"],
    their_samples: Float[Array, "samples rows"],
    confidence: float,
) -> list[Estimate]:
    """Ours minus theirs, with percentile intervals of jointly resampled clients.

    A rate on which all clients agree gets the interval of no disagreement in n (Wilson).
    """
    low, high = percentile_interval(our_samples - their_samples, confidence)
    gap = ours.estimate - theirs.estimate
    if name in RATES:
        bound = float(wilson_interval(np.zeros(()), ours.numerator.shape[-1], confidence)[1])
        agree = np.all(ours.numerator == theirs.numerator, -1)
        low, high = np.where(agree, -bound, low), np.where(agree, bound, high)
    columns = gap, low, high, standard_error(ours.influence - theirs.influence)
    return [Estimate(*map(float, row)) for row in zip(*columns, strict=True)]


def holm(p_values: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Holm's (1979) step-down correction of one family; NaN is no test and stays."""
    p = np.ravel(np.asarray(p_values, float))
    tested = np.flatnonzero(np.isfinite(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted = np.full(p.shape, np.nan)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return adjusted.reshape(np.shape(p_values))


# --- over seeds -----------------------------------------------------------------------------


def interquartile_mean(scores: Float[Array, "... seeds cells"]) -> Float[Array, "..."]:
    """Mean of the middle half of all scores, seeds and cells pooled (Agarwal et al. 2021)."""
    flat = scores.reshape(*scores.shape[:-2], -1)
    return np.asarray(stats.trim_mean(flat, 0.25, axis=-1))


def improvement_probability(
    ours: Float[Array, "... seeds cells"], theirs: Float[Array, "... seeds cells"]
) -> Float[Array, "..."]:
    """P(one of our seeds scores above one of theirs), ties half, averaged over cells.

    Agarwal et al. (2021), after Mann and Whitney (1947).
    """
    ours, theirs = ours[..., :, None, :], theirs[..., None, :, :]
    return np.mean((ours > theirs) + 0.5 * (ours == theirs), axis=(-3, -2, -1))


def resample_seeds(
    scores: Float[Array, "seeds cells"], n_samples: int, generator: np.random.Generator
) -> Float[Array, "samples seeds cells"]:
    """Bootstrap over seeds. A seed is resampled in all cells at once: it is one policy."""
    return scores[generator.integers(0, len(scores), (n_samples, len(scores)))]


def interval_over_seeds(
    estimate: float, samples: Float[Array, "samples"], n_seeds: int, confidence: float
) -> Estimate:
    """With a single seed there is no telling how seeds differ: no interval."""
    if n_seeds < 2:
        return Estimate(estimate, None, None)
    low, high = percentile_interval(samples, confidence)
    return Estimate(estimate, float(low), float(high), float(samples.std(ddof=1)))
