"""Intervals cover, tests keep their level, and numbers agree with SciPy or with counting."""

import numpy as np
import pytest
from scipy import stats

from jaxtherapy.evaluation import statistics
from jaxtherapy.evaluation.outcomes import Outcomes
from jaxtherapy.evaluation.statistics import Sums


def outcomes_of(generator, n_cells, n_clients, success_rate=0.4, luck=None):
    """Correlated within clients, as common random numbers make them.

    ``luck`` (1, clients) is shared by therapists who treat the same clients.
    """
    luck = generator.random((1, n_clients)) if luck is None else luck
    success = 0.5 * luck + 0.5 * generator.random((n_cells, n_clients)) < success_rate
    dropout = ~success & (generator.random((n_cells, n_clients)) < 0.1)
    sessions = np.where(success, generator.integers(5, 60, success.shape), 60)
    sessions = np.where(dropout, 10, sessions)
    reward = np.where(dropout, -150, np.where(success, 100 + 2 * (60 - sessions), 0))
    rs = np.clip(generator.normal(0.6, 0.1, success.shape) + 0.1 * luck, 0, 1)
    return Outcomes(
        *(success, dropout, sessions, reward.astype(np.float32), rs, rs**2),
        *(np.full_like(rs, 0.5), sessions, success & (rs < 0.6), ~success & (rs > 0.6), rs, rs),
    )


def test_metrics_by_counting():
    ends = outcomes_of(np.random.default_rng(0), 3, 50)
    sums = statistics.metric_sums(ends)
    for cell in range(3):
        lengths = ends.sessions[cell][ends.success[cell]]
        assert sums["success"].estimate[cell] == pytest.approx(ends.success[cell].mean())
        assert sums["sessions_to_success"].estimate[cell] == pytest.approx(lengths.mean())
        assert sums["bond"].estimate[cell] == pytest.approx(ends.bond[cell].mean())
        assert sums["near_miss"].estimate[cell] == pytest.approx(ends.near_miss[cell].mean())
        relapsed = ends.relapse[cell][ends.success[cell]].mean()
        assert sums["relapse"].estimate[cell] == pytest.approx(relapsed)
    assert sums["reward"].estimate[-1] == pytest.approx(ends.reward.mean())
    by_cell = sums["sessions_to_success"].estimate[:-1].mean()
    assert sums["sessions_to_success"].estimate[-1] == pytest.approx(by_cell)
    assert set(sums) == {metric.id for metric in statistics.METRICS}


def test_a_metric_of_nobody_is_unknown():
    ends = outcomes_of(np.random.default_rng(0), 2, 20)
    ends = ends._replace(success=np.zeros_like(ends.success))
    sums = statistics.metric_sums(ends)
    samples = statistics.bootstrap_metrics(sums, 100, 0)
    name = "sessions_to_success"
    estimate = statistics.describe(name, samples[name], 0.95)[0]
    assert np.isnan(estimate.estimate) and np.isnan(estimate.low) and np.isnan(estimate.se)


def test_a_ratio_that_some_resamples_leave_undefined_has_no_interval():
    """One success among 20: a third of the resamples know none."""
    weight = np.zeros((2, 20))  # a cell, and it again as the average
    weight[:, 3] = 1.0
    sums = Sums(29.0 * weight, weight)
    metric = statistics.bootstrap_metrics({"ratio": sums}, 500, 0)["ratio"]
    samples = metric.samples
    assert 0.25 < np.isnan(samples).mean() < 0.47
    np.testing.assert_allclose(samples[~np.isnan(samples)], 29, rtol=1e-6)
    estimate = statistics.describe("ratio", metric, 0.95)[0]
    assert estimate.estimate == pytest.approx(29) and np.isnan(estimate.low)
    assert np.isnan(statistics.paired_p_values("ratio", sums, sums)[0])


def test_resampling_weights_are_multinomial():
    """Counts that sum to n, mean 1, variance 1 − 1/n; the same seed gives the same resamples."""
    weights = np.concatenate(list(statistics.resampling_weights(50, 4_000, seed=1)))
    assert weights.shape == (4_000, 50)
    np.testing.assert_array_equal(weights.sum(1), 50)
    assert weights.var() == pytest.approx(1 - 1 / 50, rel=0.02)
    again = np.concatenate(list(statistics.resampling_weights(50, 4_000, seed=1)))
    np.testing.assert_array_equal(weights, again)


def test_blocks_do_not_matter_for_the_statistics(monkeypatch):
    values = np.random.default_rng(0).normal(size=(2, 30))
    monkeypatch.setattr(statistics, "_BLOCK", 300)
    samples = statistics.bootstrap_means(values, 1_000, 0)
    assert samples.shape == (1_000, 2)
    np.testing.assert_allclose(samples.mean(0), values.mean(1), atol=0.03)
    np.testing.assert_allclose(samples.std(0), values.std(1) / np.sqrt(30), rtol=0.1)


def test_bootstrap_agrees_with_scipy():
    values = np.random.default_rng(3).gamma(2, size=200)
    ours = statistics.percentile_interval(statistics.bootstrap_means(values, 20_000, 0), 0.95)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    width = theirs.high - theirs.low
    np.testing.assert_allclose(ours, theirs, atol=0.03 * width)


def with_lengths(success, sessions):
    """Outcomes of which only success and sessions matter."""
    zero = np.zeros(success.shape)
    return Outcomes(success, success & False, sessions, *[zero] * 4, sessions, *[zero] * 4)


def test_who_is_faster_in_every_cell_is_faster_on_average():
    """Simpson (1951): ours is two sessions faster in both cells, and succeeds in the hard one."""
    first = np.arange(100) < 50
    generator = np.random.default_rng(0)
    jitter = generator.integers(-1, 2, (2, 100))
    lengths = np.array([[10], [40]]) + jitter
    ours = with_lengths(np.stack([first, ~first | first]), lengths)
    theirs = with_lengths(np.stack([first | ~first, np.arange(100) < 12]), lengths + 2)
    a, b = (statistics.metric_sums(one)["sessions_to_success"] for one in (ours, theirs))
    pooled = [one.sessions[one.success].mean() for one in (ours, theirs)]
    assert pooled[0] > pooled[1] + 10  # pooling says the opposite
    metrics = [statistics.bootstrap_metrics({"x": one}, 500, 0)["x"] for one in (a, b)]
    both = statistics.on_shared_cells(*metrics)
    gap = statistics.paired_differences("x", *both, 0.95)[-1]
    assert gap.estimate == pytest.approx((a.estimate - b.estimate)[:2].mean())
    assert -2.6 < gap.low < gap.estimate < gap.high < -1.4
    assert statistics.paired_p_values("x", *(one.sums for one in both))[-1] < 1e-6


def test_a_cell_with_few_successes_on_either_side_is_left_out_of_the_average():
    sessions = np.array([[10], [40], [90]]) + np.zeros((3, 100), int)
    place = np.arange(100)
    ours = with_lengths(place < np.array([[50], [50], [50]]), sessions)
    theirs = with_lengths(place < np.array([[50], [50], [9]]), sessions + 5)
    a, b = (statistics.metric_sums(one)["sessions_to_success"] for one in (ours, theirs))
    assert a.estimate[-1] == pytest.approx(140 / 3) and b.estimate[-1] == pytest.approx(30)
    metrics = [statistics.bootstrap_metrics({"x": one}, 100, 0)["x"] for one in (a, b)]
    both = statistics.on_shared_cells(*metrics)
    gap = statistics.paired_differences("x", *both, 0.95)[-1]
    assert (gap.estimate, gap.low, gap.high) == pytest.approx((-5, -5, -5), abs=1e-4)
    nowhere = with_lengths(place < np.array([[9], [0], [3]]), sessions)
    nothing = statistics.metric_sums(nowhere)["sessions_to_success"]
    assert np.isnan(nothing.estimate[-1])
    metrics[1] = statistics.bootstrap_metrics({"x": nothing}, 100, 0)["x"]
    gap = statistics.paired_differences("x", *statistics.on_shared_cells(*metrics), 0.95)[-1]
    assert np.isnan(gap.estimate) and np.isnan(gap.low)


def test_the_average_of_ratios_has_the_standard_error_of_its_bootstrap():
    sums = statistics.metric_sums(outcomes_of(np.random.default_rng(2), 3, 400))
    name = "sessions_to_success"
    samples = statistics.bootstrap_metrics(sums, 4_000, 0)[name].samples[:, -1]
    error = stats.sem(sums[name].influence, -1)[-1]
    assert error == pytest.approx(samples.std(), rel=0.05)
    assert sums[name].estimate[-1] == pytest.approx(samples.mean(), rel=0.01)


def test_a_single_cell_and_its_average_are_one():
    """The same estimate, interval and test under both names; p was 0.0253 against 0.0625."""
    luck = np.arange(40)
    ours = outcomes_of(np.random.default_rng(0), 1, 40)
    ours = ours._replace(success=(luck < 20)[None], dropout=(luck >= 35)[None])
    theirs = ours._replace(success=(luck < 15)[None], dropout=(luck >= 30)[None])
    a, b = statistics.metric_sums(ours), statistics.metric_sums(theirs)
    metrics = [statistics.bootstrap_metrics(one, 200, 0) for one in (a, b)]
    for name in a:
        cell, average = statistics.describe(name, metrics[0][name], 0.95)
        assert cell == average
        both = statistics.on_shared_cells(*(each[name] for each in metrics))
        cell, average = statistics.paired_differences(name, *both, 0.95)
        assert cell == average
        cell, average = statistics.paired_p_values(name, *(one.sums for one in both))
        assert cell == average
    assert statistics.paired_p_values("success", a["success"], b["success"])[-1] == 0.0625


REPEATS, CLIENTS = 250, 200


@pytest.fixture(scope="module")
def coverage():
    """{metric: how often each interval of a cell, of all, and of a difference held the truth}.

    250 repetitions of 200 clients, the same for both therapists. The truth is that of 200 000.
    """
    generator = np.random.default_rng(7)
    rates = 0.4, 0.5
    truth = [statistics.metric_sums(outcomes_of(generator, 2, 200_000, rate)) for rate in rates]
    names = ("success", "dropout", "sessions_to_success", "reward", "final_rs")
    hits = {name: np.zeros(3) for name in names}
    for repeat in range(REPEATS):
        luck = generator.random((1, CLIENTS))
        ours, theirs = (
            statistics.metric_sums(outcomes_of(generator, 2, CLIENTS, rate, luck)) for rate in rates
        )
        ours, theirs = ({name: one[name] for name in names} for one in (ours, theirs))
        ours, theirs = (statistics.bootstrap_metrics(one, 200, repeat) for one in (ours, theirs))
        for name in names:
            described = statistics.describe(name, ours[name], 0.95)
            both = statistics.on_shared_cells(theirs[name], ours[name])
            gaps = statistics.paired_differences(name, *both, 0.95)
            target = truth[0][name].estimate, truth[1][name].estimate
            tried = (
                (described[0], target[0][0]),
                (described[-1], target[0][-1]),
                (gaps[-1], target[1][-1] - target[0][-1]),
            )
            hits[name] += [interval.low <= true <= interval.high for interval, true in tried]
    return hits


@pytest.mark.parametrize("what", range(3), ids=["a cell", "all cells", "a difference"])
def test_intervals_cover(coverage, what):
    """Coverage of 95 % intervals lies between 93 % and 97 %.

    False alarms: below 0.1 % for each of 15 tests if it does.
    """
    for name, hits in coverage.items():
        n = int(hits[what])
        assert stats.binomtest(n, REPEATS, 0.93, alternative="less").pvalue > 1e-3, name
        assert stats.binomtest(n, REPEATS, 0.97, alternative="greater").pvalue > 1e-3, name


def test_pairing_makes_differences_sharper():
    """What the coverage test relies on: unpaired intervals would be wider."""
    generator = np.random.default_rng(3)
    luck = generator.random((1, 2_000))
    ours, theirs = (
        statistics.metric_sums(outcomes_of(generator, 2, 2_000, rate, luck)) for rate in (0.4, 0.5)
    )
    for name in ("success", "final_rs"):
        paired = stats.sem(ours[name].influence - theirs[name].influence, -1)[-1]
        alone = [stats.sem(one[name].influence, -1)[-1] for one in (ours, theirs)]
        assert paired < 0.9 * np.hypot(*alone)


def test_rates_of_zero_have_an_interval():
    low, high = statistics.wilson_interval(np.array([0.0, 10_000.0]), 10_000, 0.95)
    assert low[0] == 0 and 0 < high[0] < 0.001
    assert high[1] == 1 and 0.999 < low[1] < 1
    theirs = stats.binomtest(37, 200).proportion_ci(0.95, method="wilson")
    np.testing.assert_allclose(
        statistics.wilson_interval(np.array(37.0), 200, 0.95), (theirs.low, theirs.high)
    )


def test_rates_on_which_all_agree_differ_by_nothing_within_an_interval():
    ends = outcomes_of(np.random.default_rng(0), 2, 100)
    sums = statistics.metric_sums(ends)["success"]
    metric = statistics.bootstrap_metrics({"success": sums}, 100, 0)["success"]
    gap = statistics.paired_differences("success", metric, metric, 0.95)[0]
    assert gap.estimate == 0 and gap.low < 0 < gap.high < 0.05
    assert statistics.paired_p_values("success", sums, sums).tolist() == [1, 1, 1]


def test_p_values_agree_with_scipy():
    generator = np.random.default_rng(4)
    ours, theirs = (statistics.metric_sums(outcomes_of(generator, 2, 80, r)) for r in (0.4, 0.5))
    reward = statistics.paired_p_values("reward", ours["reward"], theirs["reward"])
    student = stats.ttest_rel(ours["reward"].numerator, theirs["reward"].numerator, axis=1).pvalue
    np.testing.assert_allclose(reward, student, rtol=1e-9)
    success = statistics.paired_p_values("success", ours["success"], theirs["success"])
    for cell in range(2):
        a, b = (sums["success"].numerator[cell].astype(bool) for sums in (ours, theirs))
        exact = stats.binomtest(int((a & ~b).sum()), int((a ^ b).sum())).pvalue
        assert success[cell] == pytest.approx(exact)


def test_a_ratio_of_sums_has_the_standard_error_of_its_bootstrap():
    generator = np.random.default_rng(5)
    weight = np.repeat((generator.random((1, 500)) < 0.3).astype(float), 2, axis=0)
    sums = Sums(weight * generator.gamma(3, size=(1, 500)), weight)
    samples = statistics.bootstrap_metrics({"ratio": sums}, 4_000, 0)["ratio"].samples[:, 0]
    assert stats.sem(sums.influence, -1)[0] == pytest.approx(samples.std(), rel=0.05)
    assert sums.influence.mean() == pytest.approx(0, abs=1e-12)


def test_holm_by_hand():
    np.testing.assert_allclose(
        statistics.holm(np.array([0.01, 0.04, 0.03, np.nan, 0.005])),
        [0.03, 0.06, 0.06, np.nan, 0.02],
    )
    assert statistics.holm(np.array([[0.6], [0.9]])).tolist() == [[1.0], [1.0]]


def test_interquartile_mean_is_the_trimmed_mean_of_all_scores():
    scores = np.random.default_rng(0).normal(size=(3, 4, 5))
    for one, iqm in zip(scores, statistics.interquartile_mean(scores), strict=True):
        assert iqm == pytest.approx(np.sort(one.ravel())[5:15].mean())


def test_probability_of_improvement_is_mann_whitneys():
    generator = np.random.default_rng(0)
    ours, theirs = generator.integers(0, 5, (6, 3)), generator.integers(0, 5, (4, 3))
    expected = np.mean(
        [stats.mannwhitneyu(ours[:, k], theirs[:, k]).statistic / 24 for k in range(3)]
    )
    assert statistics.improvement_probability(ours, theirs) == pytest.approx(expected)


def test_a_single_seed_has_no_interval():
    alone = statistics.interval_across_seeds(0.5, np.full(10, 0.5), 1, 0.95)
    assert (alone.estimate, alone.low, alone.high) == (0.5, None, None)
    scores = np.arange(8.0).reshape(4, 2)
    samples = statistics.resample_seeds(scores, 500, np.random.default_rng(0)).samples
    # A seed keeps its cells together.
    np.testing.assert_array_equal(samples[..., 1] - samples[..., 0], 1)
    too_few = statistics.interval_across_seeds(3.5, samples.mean((1, 2)), 4, 0.95)
    assert (too_few.estimate, too_few.low, too_few.high) == (3.5, None, None)
    several = statistics.interval_across_seeds(3.5, samples.mean((1, 2)), 5, 0.95)
    assert several.low < 3.5 < several.high


def hits_across_seeds(n_seeds, interval):
    """In how many of 1 000 experiments with normal seeds in three cells the truth is within."""
    generator, hits = np.random.default_rng(n_seeds), 0
    for _ in range(1_000):
        scores = generator.normal(0, 1, (n_seeds, 1)) + generator.normal(0, 0.3, (n_seeds, 3))
        told = interval(scores, generator)
        hits += told.low <= 0 <= told.high
    return hits


def between(hits, low, high):
    """False alarms: below 0.1 % each if the share lies between."""
    assert stats.binomtest(hits, 1_000, low, alternative="less").pvalue > 1e-3
    assert stats.binomtest(hits, 1_000, high, alternative="greater").pvalue > 1e-3


@pytest.mark.parametrize(
    ("n_seeds", "low", "high"), [(5, 0.86, 0.9), (8, 0.91, 0.95), (20, 0.92, 0.97)]
)
def test_intervals_of_interquartile_means_cover_as_told(n_seeds, low, high):
    def interval(scores, generator):
        samples = statistics.resample_seeds(scores, 400, generator).samples
        iqm = [float(x) for x in statistics.interquartile_mean(np.stack([scores]))]
        samples = statistics.interquartile_mean(samples)
        return statistics.interval_across_seeds(*iqm, samples, n_seeds, 0.95)

    between(hits_across_seeds(n_seeds, interval), low, high)


@pytest.mark.parametrize("n_seeds", [5, 8, 20])
def test_intervals_of_means_across_seeds_cover(n_seeds):
    hits = hits_across_seeds(n_seeds, lambda scores, _: statistics.mean_across_seeds(scores, 0.95))
    between(hits, 0.95, 0.95)


def test_means_of_few_seeds_have_no_interval():
    told = statistics.mean_across_seeds(np.arange(8.0).reshape(4, 2), 0.95)
    assert (told.estimate, told.low, told.high) == (3.5, None, None)


def test_seeds_that_are_all_better_are_not_certain_to_be():
    ours, theirs = np.ones((5, 2)), np.zeros((1, 2))

    def scores(of_seeds):
        return statistics.Scores(of_seeds, np.repeat(of_seeds[None], 100, 0))

    told = statistics.probability_across_seeds(scores(ours), scores(theirs), 0.95)
    low, high = statistics.wilson_interval(np.array(5.0), 5, 0.95)
    assert (told.estimate, told.low, told.high) == (1, float(low), float(high))
    assert 0.5 < told.low < 0.6
    few = statistics.probability_across_seeds(scores(ours[:4]), scores(theirs), 0.95)
    assert (few.estimate, few.low, few.high) == (1, None, None)


def test_a_difference_that_is_the_same_for_all_is_not_certain():
    """Two clients with whom ours succeeds and theirs does not, in both of two cells."""
    ones = np.ones((3, 2))
    ours, theirs = statistics.Sums(ones, ones), statistics.Sums(0 * ones, ones)
    metrics = (
        statistics.Metric(ours, np.ones((100, 3))),
        statistics.Metric(theirs, np.zeros((100, 3))),
    )
    for told in statistics.paired_differences("success", *metrics, 0.95):
        assert told.estimate == told.high == 1 and told.low < 0.5
    np.testing.assert_array_equal(statistics.paired_p_values("success", ours, theirs), 0.5)


@pytest.mark.parametrize(
    ("value", "two_sided", "one_sided"), [(0.3, 0.25, 0.125), (-0.3, 0.25, 1), (0, 1, 1)]
)
def test_values_without_spread_are_tested_by_their_signs(value, two_sided, one_sided):
    values = np.full((2, 3), value)
    np.testing.assert_array_equal(statistics.p_of_mean(values), two_sided)
    np.testing.assert_array_equal(statistics.p_of_mean(values, "greater"), one_sided)
