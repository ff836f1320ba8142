"""The relationship history that clients bring: tables against recordings and rules.

What holds of every pattern is tested of every file in the folder.
"""

import importlib
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtherapy.client.dyad import intakes
from jaxtherapy.client.octants import ANTICOMPLEMENT
from jaxtherapy.client.params import ClientParams
from jaxtherapy.client.patterns import PATTERNS, distributions, pattern_weights
from tests import oracle
from tests.plausibility import assert_all_plausible, goodness_of_fit

TABLES = distributions()

POOLS = {
    "cold_stuck": ([5, 6, 7], [1, 2, 3]),
    "dominant_stuck": ([0, 1, 7], [0, 1, 7]),
    "submissive_stuck": ([3, 4, 5], [3, 4, 5]),
}


def test_tables_match_the_recorded_frequencies(recorded_patterns):
    """Chi-square over the cells; false alarms: 0.1 % over the seven patterns."""
    frequencies, size = recorded_patterns
    p_values = {
        name: goodness_of_fit(np.round(np.array(frequencies[name]) * size), table)
        for name, table in zip(PATTERNS, TABLES[0], strict=True)
    }
    assert_all_plausible(p_values, rate=1e-3)


def test_tables_match_the_rules():
    """Pairs drawn by the oracle, act by act; false alarms: 0.1 % over the 14 tables."""
    assert list(PATTERNS) == oracle.PATTERN_NAMES
    rng = np.random.default_rng(0)
    p_values = {}
    for exact, (index, name) in itertools.product((0, 1), enumerate(PATTERNS)):
        counts = np.zeros((8, 8))
        for _ in range(10_000):
            counts[oracle.draw_pair(rng, name, bool(exact))] += 1
        p_values[exact, name] = goodness_of_fit(counts, TABLES[exact, index])
    assert_all_plausible(p_values, rate=1e-3)


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("name", PATTERNS)
def test_every_pattern_is_a_distribution(name, exact):
    """Of the pairs of two octants, in float64."""
    module = importlib.import_module(f"jaxtherapy.client.patterns.{name}")
    assert module.__doc__
    table = module.distribution(exact)
    assert type(table) is np.ndarray
    assert table.shape == (8, 8)
    assert table.dtype == np.float64
    assert np.all(table >= 0)
    np.testing.assert_allclose(table.sum(), 1, rtol=1e-12)
    np.testing.assert_array_equal(table, TABLES[int(exact), PATTERNS.index(name)])


@pytest.mark.parametrize("name", PATTERNS)
def test_every_pattern_is_drawn_as_its_table_says(name):
    """By clients at intake; false alarms: 0.1 % each."""
    params = ClientParams(pattern_weights=pattern_weights([name]))
    drawn = memories_of(jax.random.key(PATTERNS.index(name)), params)
    counts = np.bincount(np.ravel(drawn), minlength=64).reshape(8, 8).T
    p_value = goodness_of_fit(counts, TABLES[0, PATTERNS.index(name)])
    assert_all_plausible({name: p_value}, rate=1e-3)


@jax.jit
def memories_of(key, params):
    return intakes(key, params, jnp.arange(500)).client.memory


@pytest.mark.parametrize("name", POOLS)
def test_stuck_patterns_by_hand(name):
    """A uniform draw that lands in the pool counts as in the pool: 0.8 / 3 + 0.2 / 8 per act."""
    pool, answers = POOLS[name]
    for exact in (0, 1):
        table = TABLES[exact, PATTERNS.index(name)]
        for act in range(8):
            if act not in pool:
                np.testing.assert_allclose(table[act], np.full(8, 0.2 / 8 / 8))
                continue
            allowed = [ANTICOMPLEMENT[act]] if exact else answers
            expected = np.zeros(8)
            expected[allowed] = (0.8 / 3 + 0.2 / 8) / len(allowed)
            np.testing.assert_allclose(table[act], expected)


def test_the_anticomplement_rule_touches_stuck_patterns_only():
    for pool, exact, name in zip(*TABLES, PATTERNS, strict=True):
        assert np.array_equal(pool, exact) == (name not in POOLS)


@pytest.mark.parametrize("names", [[], ["warm_stuck"]])
def test_unknown_and_missing_patterns_are_refused(names):
    with pytest.raises(ValueError, match=r"at least one|'warm_stuck' is none of cold_stuck"):
        pattern_weights(names)
