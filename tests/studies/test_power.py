"""Simulated trials agree with closed forms; the command tells and writes."""

import csv

import numpy as np
import pytest
from scipy import stats

from jaxtherapy.cli.power import main
from jaxtherapy.evaluation.statistics import exact_mcnemar
from jaxtherapy.studies import power
from jaxtherapy.studies.power import Trials, power_curve

RNG = np.random.default_rng(0)
TRIALS = Trials(sizes=(10, 40, 100), n_trials=2_000)


def arms(p_ours, p_theirs, together):
    """Correlated outcomes: with the probability ``together`` both arms have the same luck."""
    luck, other = RNG.random((2, TRIALS.n_trials, max(TRIALS.sizes)))
    theirs = np.where(RNG.random(luck.shape) < together, luck, other)
    return (luck < p_ours).astype(float), (theirs < p_theirs).astype(float)


@pytest.mark.parametrize(("p_ours", "p_theirs"), [(0.6, 0.35), (0.5, 0.5), (0.05, 0.2)])
def test_simulated_power_is_the_closed_form(p_ours, p_theirs):
    """Four standard errors, of 18 comparisons: false alarms 0.1 %."""
    rows = power_curve(*arms(p_ours, p_theirs, 0.5), TRIALS)
    assert len(rows) == 2 * len(TRIALS.sizes)
    for row in rows:
        error = np.sqrt(row.exact * (1 - row.exact) / row.trials)
        assert abs(row.power - row.exact) < 4 * error + 1e-9, row
        assert row.low <= row.power <= row.high


def test_the_exact_power_is_that_of_textbooks():
    """Large samples: Fleiss, Levin & Paik (2003); and McNemar's by listing a small trial."""
    p1, p2, n = 0.55, 0.45, 400
    mean = (p1 + p2) / 2
    z = stats.norm.isf(0.025) * np.sqrt(2 * mean * (1 - mean))
    spread = np.sqrt(p1 * (1 - p1) + p2 * (1 - p2))
    textbook = stats.norm.cdf((abs(p1 - p2) * np.sqrt(n) - z) / spread)
    assert power.exact_power_of_proportions(p1, p2, n, 0.05) == pytest.approx(textbook, abs=0.01)
    gained, lost, n, expected = 0.6, 0.1, 9, 0.0
    for g in range(n + 1):
        for k in range(n + 1 - g):
            ours = np.r_[np.ones(g), np.zeros(n - g)]
            theirs = np.r_[np.zeros(g), np.ones(k), np.zeros(n - g - k)]
            if exact_mcnemar(ours, theirs) < 0.05:
                expected += stats.multinomial.pmf([g, k, n - g - k], n, [gained, lost, 0.3])
    assert power.exact_power_of_mcnemar(gained, lost, n, 0.05) == pytest.approx(expected)
    assert power.exact_power_of_mcnemar(0.0, 0.0, n, 0.05) == 0


def test_means_are_tested_by_t():
    ours, theirs = RNG.normal(0.5, 1, (400, 40)), RNG.normal(0, 1, (400, 40))
    rows = power_curve(ours, theirs, Trials(sizes=(40,), n_trials=400, outcome="reward"))
    told = 0.5 * np.sqrt(40 / 2), stats.t.isf(0.025, 78)
    expected = stats.nct.sf(told[1], 78, told[0])
    assert [row.exact for row in rows] == [None, None]
    assert rows[0].power == pytest.approx(expected, abs=4 * rows[0].se)
    assert np.all(power.p_values(np.ones((2, 5)), np.ones((2, 5)), False, "independent") == 1)


def test_the_size_that_is_needed():
    def row(n, reached):
        return power.PowerRow("paired", "", n, 10, reached, 0, 0, 1, None)

    rows = [row(10, 0.9), row(20, 0.7), row(40, 0.85), row(80, 0.99)]
    assert power.needed(rows, "paired", 0.8) == 40
    assert power.needed(rows, "paired", 0.995) is None


def test_the_command_writes_a_table_and_a_picture(tmp_path, capsys):
    small = ["--dyads", "4", "8", "--trials", "20", "--max-sessions", "12", "--threshold", "0.6"]
    assert main(["random", "--output-dir", str(tmp_path)]) == 2
    assert main(["random", "complementary", *small, "--output-dir", str(tmp_path)]) == 0
    with (tmp_path / "power.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["design"], row["n"]) for row in rows] == [
        *(("independent", n) for n in "48"),
        *(("paired", n) for n in "48"),
    ]
    assert (tmp_path / "power.png").is_file() and (tmp_path / "power.svg").is_file()
    out, errors = capsys.readouterr()
    assert "power 0.8, paired: " in out and "name two" in errors
