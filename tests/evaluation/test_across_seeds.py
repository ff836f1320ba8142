"""Statistics across seeds: by hand, as rliable has them, and with the coverage they claim."""

import time
import tracemalloc

import numpy as np
import pytest
from scipy import stats

from jaxtherapy.evaluation.across_seeds import (
    across_seeds,
    bootstrap_iqm,
    iqm_of_resamples,
    rank_seeds,
)

NAN = float("nan")

# What rliable 1.2.0 (the library of Agarwal et al. 2021) made of these scores of one task, with
# NumPy 2.4.6, SciPy 1.17.1 and pandas 2.3.3. It can't be a dependency of these tests: it needs
# arch < 8, which does not import beside the pandas 3 that gymnax brings.
SCORES = np.array([256.9, 111.9, 271.4, 34.8, 76.8, 112.7, 142.7, 91.4, 115.4, 106.8, 221.8])[
    :, None
]
RLIABLE_IQM = {
    1: 256.9,
    2: 184.4,
    3: 213.4,
    4: 184.4,
    5: 148.53333333333333,
    7: 140.2,
    8: 114.675,
    11: 128.95714285714286,
}
"""metrics.aggregate_iqm(SCORES[:n])"""
RLIABLE_SAMPLES = [
    137.0142857142857,
    116.11428571428574,
    118.5142857142857,
    109.85714285714286,
    116.61428571428571,
]
"""np.random.seed(1); [aggregate_iqm(x) for x in StratifiedBootstrap(SCORES).bootstrap(5)]"""
RLIABLE_INTERVAL = 93.32821429, 187.93214286
"""np.random.seed(2); get_interval_estimates({"": SCORES}, aggregate_iqm, reps=2000)"""


def rliable_iqm(scores):
    """``metrics.aggregate_iqm``, written out: a 25 % trimmed mean over runs and tasks."""
    flat = np.sort(np.ravel(scores))
    cut = int(0.25 * len(flat))
    return flat[cut : len(flat) - cut].mean()


def rliable_draws(scores, n_samples, seed):
    """The runs that ``StratifiedBootstrap`` draws, each task by itself (NumPy's frozen stream)."""
    generator = np.random.RandomState(seed)
    return [generator.choice(len(scores), scores.shape) for _ in range(n_samples)]


def counts_of(draws, n):
    return np.stack([np.bincount(np.ravel(draw), minlength=n) for draw in draws])


# --- by hand --------------------------------------------------------------------------------


def test_eight_seeds_by_hand():
    values = np.array([[8, 1, 2, 7, 3, 6, 100, 4]]).T
    result = across_seeds(values)
    assert result.mean[0] == 131 / 8
    assert result.median[0] == 5
    assert result.iqm[0] == (3 + 4 + 6 + 7) / 4
    assert result.std[0] == pytest.approx(np.sqrt(np.sum((values - 131 / 8) ** 2) / 7))
    assert 2 <= result.iqm_low[0] < 5 < result.iqm_high[0] <= 100


def test_a_resample_by_hand():
    values = np.array([[10.0, 0.0], [20.0, 5.0], [30.0, 5.0], [40.0, -5.0]])
    counts = np.array([[1, 1, 1, 1], [3, 0, 0, 1], [0, 0, 4, 0]])
    # Middle two of: 10 20 30 40 and -5 0 5 5; 10 10 10 40 and -5 0 0 0; 30s and 5s.
    expected = [[25, 2.5], [10, 0], [30, 5]]
    np.testing.assert_allclose(iqm_of_resamples(values, counts), expected, rtol=1e-6)


@pytest.mark.parametrize("n_seeds", [1, 2, 3, 4, 5, 7, 8, 64, 333])
def test_resamples_have_the_trimmed_mean_of_their_draws(n_seeds):
    generator = np.random.default_rng(n_seeds)
    values = generator.normal(200, 30, (n_seeds, 3)).round()  # with ties
    draws = generator.integers(0, n_seeds, (300, n_seeds))
    np.testing.assert_allclose(
        iqm_of_resamples(values, counts_of(draws, n_seeds)),
        stats.trim_mean(values[draws], 0.25, axis=1),
        rtol=3e-6,
    )


def test_one_seed_has_no_spread_and_no_interval():
    result = across_seeds(np.array([[3.0, 4.0]]))
    for name in ("mean", "median", "iqm"):
        assert getattr(result, name).tolist() == [3, 4]
    for name in ("std", "iqm_low", "iqm_high"):
        assert np.isnan(getattr(result, name)).all()


def test_fewer_than_five_seeds_have_no_interval():
    """It would hold the truth half of the time with two, 86 % with four."""
    result = across_seeds(np.array([[3.0], [5.0]]))
    assert (result.mean[0], result.median[0], result.iqm[0]) == (4, 4, 4)
    assert result.std[0] == pytest.approx(np.sqrt(2))
    assert np.isnan([result.iqm_low[0], result.iqm_high[0]]).all()
    four, five = (across_seeds(np.arange(float(n))[:, None]) for n in (4, 5))
    assert np.isnan(four.iqm_low[0]) and np.isnan(four.iqm_high[0])
    assert 0 <= five.iqm_low[0] < 2 < five.iqm_high[0] <= 4


def test_seeds_that_agree_have_an_interval_of_no_width():
    result = across_seeds(np.full((16, 2), 0.1))
    assert (result.iqm_low == 0.1).all() and (result.iqm_high == 0.1).all()


@pytest.mark.parametrize("bad", [NAN, np.inf, -np.inf])
def test_an_unknown_value_leaves_its_evaluation_unknown_and_no_other(bad):
    values = np.random.default_rng(0).normal(size=(9, 3))
    spoilt = values.copy()
    spoilt[4, 1] = bad
    for ours, clean in zip(across_seeds(spoilt), across_seeds(values), strict=True):
        assert np.isnan(ours[1])
        assert ours[[0, 2]].tolist() == clean[[0, 2]].tolist()
    assert all(np.isnan(x).all() for x in across_seeds(np.full((3, 2), bad)))


def test_no_evaluations_have_no_statistics():
    assert [x.shape for x in across_seeds(np.empty((4, 0)))] == [(0,)] * 6


def test_evaluations_share_resamples_and_the_seed_decides_them():
    values = np.random.default_rng(0).normal(size=(10, 1))
    samples = bootstrap_iqm(np.hstack([values, 2 * values]), 500, 3)
    np.testing.assert_allclose(samples[:, 1], 2 * samples[:, 0], atol=1e-5)
    np.testing.assert_array_equal(bootstrap_iqm(values, 500, 3)[:, 0], samples[:, 0])
    assert not np.array_equal(bootstrap_iqm(values, 500, 4)[:, 0], samples[:, 0])


# --- rliable --------------------------------------------------------------------------------


@pytest.mark.parametrize("n_seeds", RLIABLE_IQM)
def test_the_iqm_is_rliables(n_seeds):
    scores = SCORES[:n_seeds]
    assert across_seeds(scores).iqm[0] == pytest.approx(RLIABLE_IQM[n_seeds], rel=1e-12)
    assert rliable_iqm(scores) == pytest.approx(RLIABLE_IQM[n_seeds], rel=1e-12)


def test_resamples_have_the_iqm_that_rliable_gives_them():
    draws = rliable_draws(SCORES, 5, 1)
    written_out = [rliable_iqm(SCORES[np.ravel(draw), 0]) for draw in draws]
    np.testing.assert_allclose(written_out, RLIABLE_SAMPLES, rtol=1e-12)
    ours = iqm_of_resamples(SCORES, counts_of(draws, len(SCORES)))[:, 0]
    np.testing.assert_allclose(ours, RLIABLE_SAMPLES, rtol=1e-6)


def test_the_interval_is_rliables_on_the_same_resamples():
    samples = iqm_of_resamples(SCORES, counts_of(rliable_draws(SCORES, 2_000, 2), len(SCORES)))
    np.testing.assert_allclose(np.percentile(samples, [2.5, 97.5]), RLIABLE_INTERVAL, rtol=1e-6)


def test_the_interval_is_rliables_but_for_the_noise_of_resampling():
    """Our 20 000 resamples put rliable's ends (2 000 resamples) at the quantiles they stand for.

    How many of rliable's 2 000 lie below a true quantile is binomial; ours adds a tenth of that
    variance. False alarms: about 0.1 % (four standard errors, two ends, ties allowed for).
    """
    samples = bootstrap_iqm(SCORES, 20_000, 0)[:, 0]
    error = 4 * np.sqrt(0.025 * 0.975 * (1 / 2_000 + 1 / 20_000))
    for end, share in zip(RLIABLE_INTERVAL, (0.025, 0.975), strict=True):
        assert np.mean(samples < end - 1e-3) <= share + error
        assert np.mean(samples <= end + 1e-3) >= share - error


# --- coverage -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["normal", "expon", "beta"])
def test_the_interval_covers(name):
    """With 50 seeds, 95 % intervals hold the true IQM 91 % to 97 % of the time.

    2 000 experiments, as the columns of one array. False alarms: below 0.1 % if that is so.
    """
    distribution = {"normal": stats.norm(), "expon": stats.expon(), "beta": stats.beta(5, 0.5)}[
        name
    ]
    middle = np.linspace(0.25, 0.75, 10_001)
    truth = np.mean(distribution.ppf((middle[1:] + middle[:-1]) / 2))
    values = distribution.rvs((50, 2_000), random_state=np.random.default_rng(11))
    result = across_seeds(values, n_samples=1_000)
    hits = int(np.sum((result.iqm_low <= truth) & (truth <= result.iqm_high)))
    assert stats.binomtest(hits, 2_000, 0.91, alternative="less").pvalue > 5e-4
    assert stats.binomtest(hits, 2_000, 0.97, alternative="greater").pvalue > 5e-4


# --- a thousand seeds -----------------------------------------------------------------------


def test_a_thousand_seeds_are_quick_and_fit_memory():
    """100 evaluations: 1 s of a CPU; the bound is for slow ones."""
    values = np.random.default_rng(0).normal(200, 30, (1_024, 100))
    tracemalloc.start()
    start = time.process_time()
    across_seeds(values)
    seconds = time.process_time() - start
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < 10
    assert peak < 300e6


# --- ranking --------------------------------------------------------------------------------


def test_seeds_are_ranked_by_reward():
    assert rank_seeds({7: 1.0, 8: 3.0, 9: 2.0}) == (8, 9, 7)
    # Of the middle two, seeds 3 and 1, the one that earns less.
    assert rank_seeds({1: 2.0, 2: 1.0, 3: 3.0, 4: 4.0}) == (4, 1, 2)
    assert rank_seeds({5: 0.0}) == (5, 5, 5)
    assert rank_seeds({5: 0.0, 6: 1.0}) == (6, 5, 5)


def test_ties_go_to_the_lower_number():
    assert rank_seeds({3: 1.0, 1: 1.0, 2: 1.0}) == (1, 2, 3)


def test_a_reward_that_is_no_number_is_worst():
    assert rank_seeds({1: NAN, 2: -5.0, 3: 1.0}) == (3, 2, 1)
