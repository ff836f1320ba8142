"""Effect sizes against what pairs of outcomes give, and paragraphs that say what was done."""

from dataclasses import replace

import numpy as np
import pytest

from jaxtherapy.evaluation.results import Estimate
from jaxtherapy.reporting.methods import effect_sizes, effects_of, paragraphs
from tests.evaluation.small_evaluation import small_evaluation


def estimate(values):
    return Estimate(values.mean(), None, None, values.std(ddof=1) / np.sqrt(len(values)))


def effects(ours, theirs, confidence=0.95):
    rates = estimate(ours), estimate(theirs), estimate(ours - theirs)
    return effects_of(*rates, confidence)


def test_intervals_cover_as_often_as_they_say():
    """Paired outcomes with a correlation, of which unpaired intervals would cover far more."""
    generator, trials, n = np.random.default_rng(0), 2_000, 400
    shared = generator.normal(size=(trials, n))
    own = generator.normal(size=(2, trials, n)) * 0.5
    thresholds = -0.3, 0.2
    each = [(shared + noise > at).astype(float) for noise, at in zip(own, thresholds, strict=True)]
    p, q = (outcomes.mean() for outcomes in each)
    truth = p / (1 - p) * (1 - q) / q, 2 * (np.arcsin(np.sqrt(p)) - np.arcsin(np.sqrt(q)))
    found = [effects(ours, theirs) for ours, theirs in zip(*each, strict=True)]
    for place, value in enumerate(truth):
        covered = np.mean([pair[place].low < value < pair[place].high for pair in found])
        assert covered == pytest.approx(0.95, abs=0.012)
        assert np.mean([pair[place].estimate for pair in found]) == pytest.approx(value, rel=0.03)


def test_unpaired_rates_give_the_textbook_interval():
    """Woolf's: ``exp(log OR ± 1.96 √(1/a + 1/b + 1/c + 1/d))``, where pairs are independent."""
    ours, theirs = np.array([1.0, 1, 0, 0] * 100), np.array([1.0, 0, 1, 0] * 100)
    odds, h = effects(ours, theirs)
    half = 1.959964 * np.sqrt(4 / 200)
    assert odds.estimate == 1 and h.estimate == 0
    assert (odds.low, odds.high) == pytest.approx((np.exp(-half), np.exp(half)), rel=0.01)


def test_a_rate_of_nought_has_no_odds():
    odds, h = effects(np.ones(50), np.arange(50) % 2.0)
    assert odds.estimate is None and (h.low, h.high) == (None, None)
    assert h.estimate == pytest.approx(np.pi / 2)


def test_paragraphs_name_what_a_paper_needs():
    evaluation = small_evaluation("trained")
    methods, statistics, results = paragraphs(evaluation)
    assert "the same 50 clients of each of 2 kinds (400 therapies in all; random seed 0)" in methods
    assert (
        "JAX 0" in methods and "commit abc" in methods and "compared with complementary" in methods
    )
    assert "95% nominal coverage" in statistics and "over 3 therapists, at α = 0.05" in statistics
    assert "trained/1 succeeded with 60.0" in results and "p = 0.02" in results
    table = effect_sizes(evaluation)
    assert [row[0] for row in table.rows] == ["trained/1", "trained/2", "random"]
    odds = 0.6 / 0.4
    assert table.rows[0][2].startswith(f"{odds:.3f} [")
    assert paragraphs(replace(evaluation, differences=[])) == []
