"""Sums over clients, and the interval of a paired difference."""

import numpy as np
import pytest

from jaxtherapy.evaluation.outcomes import Outcomes
from jaxtherapy.studies import measures
from jaxtherapy.studies.measures import SUMS, measured, of_clients, paired_interval


def outcomes(success):
    success = np.array(success, bool)
    n = len(success)
    parts = np.zeros(n, bool), np.arange(1, n + 1), np.full(n, 2.0), *[np.zeros(n)] * 3
    return Outcomes(success, *parts, np.arange(1, n + 1), np.zeros(n, bool))


def test_a_row_says_what_its_clients_say():
    ours, theirs = outcomes([1, 1, 0, 0]), outcomes([1, 0, 0, 0])
    row = measured(of_clients(ours, theirs.success).sum(0), is_reference=False)
    assert row.keys() == {*measures.MEASURED}
    assert (row["clients"], row["success"], row["difference"]) == (4, 0.5, 0.25)
    assert (row["sessions"], row["sessions_to_success"], row["reward"]) == (2.5, 1.5, 2.0)
    assert row["difference_low"] < 0.25 < row["difference_high"]


def test_the_reference_has_no_difference_and_nobody_no_sessions_to_success():
    nobody = outcomes([0, 0])
    row = measured(of_clients(nobody, nobody.success).sum(0), is_reference=True)
    assert "difference" not in row
    assert row["sessions_to_success"] is None


def test_sums_are_those_that_are_named():
    ours, theirs = outcomes([1, 1, 0]), outcomes([0, 1, 1])
    told = dict(zip(SUMS, of_clients(ours, theirs.success).sum(0), strict=True))
    assert (told["clients"], told["success"], told["won"], told["lost"]) == (3, 2, 1, 1)
    assert (told["sessions"], told["to_success"], told["reward"]) == (6, 3, 6)


def test_the_interval_is_walds_on_a_table_with_half_a_case_more_in_each_cell():
    # Of 100 pairs, 12 for and 4 against: 12.5 and 4.5 of 102.
    low, high = paired_interval(12, 4, 100, 0.95)
    gap, spread = 8 / 102, np.sqrt(17 - 8**2 / 102) / 102
    assert low == pytest.approx(gap - 1.959964 * spread)
    assert high == pytest.approx(gap + 1.959964 * spread)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(1)
    cells = rng.multinomial(200, [0.1, 0.04, 0.86], 20_000)
    low, high = paired_interval(cells[:, 0], cells[:, 1], 200, 0.95)
    assert 0.94 < np.mean((low <= 0.06) & (high >= 0.06)) < 0.97


def test_where_nobody_differs_the_interval_does_not_collapse():
    low, high = paired_interval(0, 0, 100, 0.95)
    assert -0.05 < low < 0 < high < 0.05
