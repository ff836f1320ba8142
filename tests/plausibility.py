"""Statistical tests with a stated rate of false alarms.

Every test here has a null hypothesis that is true if the code is right; ``rate`` is how often it
would then fail over the choice of keys. Keys are fixed, so a test that passes keeps passing.
"""

import numpy as np
from scipy import stats

SPARSE = 5
"""Cells expected to hold fewer than this are pooled: the chi-square approximation needs it."""


def _pool_sparse(expected, *counts):
    """Merges the cells of smallest expectation until every merged cell expects ``SPARSE``."""
    order = np.argsort(expected)
    groups, current = [], []
    for cell in order:
        current.append(cell)
        if expected[current].sum() >= SPARSE:
            groups.append(current)
            current = []
    if current:
        groups = [*groups[:-1], [*groups[-1], *current]] if groups else [current]
    return [np.array([values[group].sum() for group in groups]) for values in (expected, *counts)]


def goodness_of_fit(counts, probabilities):
    """p-value of counts against a known distribution; impossible cells must be empty."""
    counts = np.ravel(counts).astype(float)
    probabilities = np.ravel(probabilities).astype(float)
    probabilities = probabilities / probabilities.sum()
    assert counts[probabilities == 0].sum() == 0, "an impossible cell was drawn"
    possible = probabilities > 0
    expected, counts = _pool_sparse(probabilities[possible] * counts.sum(), counts[possible])
    if len(counts) < 2:
        return 1.0
    return float(stats.chisquare(counts, expected * counts.sum() / expected.sum()).pvalue)


def same_distribution(counts_a, counts_b):
    """p-value of two samples of counts having come from one distribution."""
    a, b = np.ravel(counts_a).astype(float), np.ravel(counts_b).astype(float)
    seen = a + b > 0
    a, b = a[seen], b[seen]
    fewest = (a + b) * min(a.sum(), b.sum()) / (a.sum() + b.sum())
    _, a, b = _pool_sparse(fewest, a, b)
    if len(a) < 2:
        return 1.0
    return float(stats.chi2_contingency([a, b], correction=False).pvalue)


def independent(first, second, n_first, n_second):
    """p-value of two paired categorical samples being independent."""
    table = np.zeros((n_first, n_second))
    np.add.at(table, (np.asarray(first, int), np.asarray(second, int)), 1)
    table = table[table.sum(1) > 0][:, table.sum(0) > 0]
    if min(table.shape) < 2:
        return 1.0
    return float(stats.chi2_contingency(table, correction=False).pvalue)


def same_proportion(hits_a, n_a, hits_b, n_b):
    """p-value of two samples of yes and no sharing one rate (Fisher, exact)."""
    return float(stats.fisher_exact([[hits_a, n_a - hits_a], [hits_b, n_b - hits_b]]).pvalue)


def same_mean(sample, mean, std, n):
    """p-value of a sample and a summarised sample (std with ddof 0) sharing one mean (Welch)."""
    sample = np.asarray(sample, float)
    if sample.std() == 0 and std == 0:
        return float(sample.mean() == mean)
    std *= np.sqrt(n / (n - 1))
    return float(
        stats.ttest_ind_from_stats(
            sample.mean(), sample.std(ddof=1), len(sample), mean, std, n, equal_var=False
        ).pvalue
    )


def assert_all_plausible(p_values, rate):
    """Fails with probability at most ``rate`` if every null hypothesis is true (Bonferroni).

    Args:
        p_values: {what was tested: p-value}.
        rate: of false alarms, over the whole family.
    """
    implausible = {what: p for what, p in p_values.items() if not p >= rate / len(p_values)}
    assert not implausible, f"{len(implausible)} of {len(p_values)} implausible: {implausible}"
