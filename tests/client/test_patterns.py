"""The relationship history that clients bring, against recordings and against its rules."""

import itertools

import jax
import numpy as np
import pytest

from jaxtherapy.client.memory import MEMORY_SIZE
from jaxtherapy.client.octants import ANTICOMPLEMENT
from jaxtherapy.client.pairs import therapist_acts
from jaxtherapy.client.patterns import (
    _ALIASES,
    PATTERN_DISTRIBUTIONS,
    PATTERNS,
    draw_memory,
    draw_pattern,
    pattern_weights,
)
from jaxtherapy.fast.random_bits import uniforms
from tests import oracle
from tests.chance import assert_all_plausible, goodness_of_fit, same_distribution

N_MEMORIES = 6_000

FIRST_AND_LAST_POINT = np.array([0, 1 - 2**-24], np.float32)

POOLS = {
    "cold_stuck": ([5, 6, 7], [1, 2, 3]),
    "dominant_stuck": ([0, 1, 7], [0, 1, 7]),
    "submissive_stuck": ([3, 4, 5], [3, 4, 5]),
}

memories_at = jax.jit(jax.vmap(draw_memory, in_axes=(0, None, None)))
patterns_at = jax.jit(jax.vmap(draw_pattern, in_axes=(0, None)))


def pair_counts(memories):
    """How often each pair was drawn: rows are client acts, columns therapist acts."""
    return np.bincount(np.ravel(memories), minlength=64).reshape(8, 8).T


@pytest.fixture(scope="module")
def memories():
    """(rule, pattern, memory, pair): memories drawn by both anticomplement rules."""
    drawn = []
    for exact in (False, True):
        for pattern in range(len(PATTERNS)):
            key = jax.random.fold_in(jax.random.key(0), 10 * exact + pattern)
            points = uniforms(key, N_MEMORIES * MEMORY_SIZE).reshape(N_MEMORIES, MEMORY_SIZE)
            drawn.append(np.asarray(memories_at(points, pattern, exact)))
    return np.stack(drawn).reshape(2, len(PATTERNS), N_MEMORIES, MEMORY_SIZE)


def test_draws_match_the_recorded_frequencies(memories, recorded_patterns):
    """Two samples, chi-square over the cells; false alarms: 0.1 % over the seven patterns."""
    frequencies, size = recorded_patterns
    assert set(frequencies) == set(PATTERNS)
    p_values = {}
    for index, name in enumerate(PATTERNS):
        recorded = np.round(np.array(frequencies[name]) * size)
        ours = pair_counts(memories[0, index])
        np.testing.assert_array_equal(ours > 0, recorded > 0, f"{name}: other possible cells")
        p_values[name] = same_distribution(ours, recorded)
    assert_all_plausible(p_values, rate=1e-3)


def test_tables_match_the_recorded_frequencies(recorded_patterns):
    """Chi-square over the cells; false alarms: 0.1 % over the seven patterns."""
    frequencies, size = recorded_patterns
    p_values = {
        name: goodness_of_fit(np.round(np.array(frequencies[name]) * size), table)
        for name, table in zip(PATTERNS, PATTERN_DISTRIBUTIONS[0], strict=True)
    }
    assert_all_plausible(p_values, rate=1e-3)


def test_draws_match_the_tables(memories):
    """Chi-square over the cells; false alarms: 0.1 % over the 14 tables."""
    p_values = {
        (exact, name): goodness_of_fit(
            pair_counts(memories[exact, index]), PATTERN_DISTRIBUTIONS[exact, index]
        )
        for exact in (0, 1)
        for index, name in enumerate(PATTERNS)
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
        p_values[exact, name] = goodness_of_fit(counts, PATTERN_DISTRIBUTIONS[exact, index])
    assert_all_plausible(p_values, rate=1e-3)


def test_tables_are_distributions():
    np.testing.assert_allclose(PATTERN_DISTRIBUTIONS.sum(axis=(2, 3)), 1, rtol=1e-12)
    assert np.all(PATTERN_DISTRIBUTIONS >= 0)


@pytest.mark.parametrize("name", POOLS)
def test_stuck_patterns_by_hand(name):
    """A uniform draw that lands in the pool counts as in the pool: 0.8 / 3 + 0.2 / 8 per act."""
    pool, answers = POOLS[name]
    for exact in (0, 1):
        table = PATTERN_DISTRIBUTIONS[exact, PATTERNS.index(name)]
        for act in range(8):
            if act not in pool:
                np.testing.assert_allclose(table[act], np.full(8, 0.2 / 8 / 8))
                continue
            allowed = [ANTICOMPLEMENT[act]] if exact else answers
            expected = np.zeros(8)
            expected[allowed] = (0.8 / 3 + 0.2 / 8) / len(allowed)
            np.testing.assert_allclose(table[act], expected)


def test_the_anticomplement_rule_touches_stuck_patterns_only():
    for pool, exact, name in zip(*PATTERN_DISTRIBUTIONS, PATTERNS, strict=True):
        assert np.array_equal(pool, exact) == (name not in POOLS)


def test_exact_anticomplements(memories):
    for name, (pool, _) in POOLS.items():
        drawn = memories[1, PATTERNS.index(name)].ravel()
        client, therapist = drawn % 8, therapist_acts(drawn)
        stuck = np.isin(client, pool)
        np.testing.assert_array_equal(therapist[stuck], ANTICOMPLEMENT[client[stuck]])
        assert len(np.unique(therapist[~stuck])) == 8


def test_every_point_of_the_unit_interval_is_shared_out_as_the_tables_say():
    """All 2²⁴ points that a draw can be made of, counted by the shares of cells and aliases."""
    full = 2**18
    for aliases, table in zip(_ALIASES, PATTERN_DISTRIBUTIONS.reshape(-1, 8, 8), strict=True):
        threshold, alias = aliases >> 6, aliases & 63
        points = threshold.copy()
        np.add.at(points, alias, full - threshold)
        expected = table.T.reshape(-1)
        np.testing.assert_array_equal(points > 0, expected > 0)
        np.testing.assert_allclose(points / 2**24, expected, atol=64 * 2**-24)


def test_a_share_belongs_to_its_cell_up_to_the_threshold_and_then_to_the_alias():
    for row, (exact, index) in enumerate(itertools.product((False, True), range(len(PATTERNS)))):
        threshold, alias = _ALIASES[row] >> 6, _ALIASES[row] & 63
        first, size = np.arange(64) * 2**18, 2**18
        for place, cell in [
            (0 * first, np.where(threshold > 0, np.arange(64), alias)),
            (np.maximum(threshold - 1, 0), np.where(threshold > 0, np.arange(64), alias)),
            (np.minimum(threshold, size - 1), np.where(threshold < size, alias, np.arange(64))),
            (0 * first + size - 1, np.where(threshold < size, alias, np.arange(64))),
        ]:
            points = np.resize((first + place) / 2**24, (2, MEMORY_SIZE)).astype(np.float32)
            drawn = np.asarray(memories_at(points, index, exact)).ravel()
            np.testing.assert_array_equal(drawn[:64], cell)


def test_pairs_of_a_memory_are_independent(memories):
    """Neighbouring pairs of ``mixed_random``; false alarms: 0.1 %."""
    drawn = memories[0, PATTERNS.index("mixed_random")]
    counts = np.bincount(64 * drawn[:, :-1].ravel().astype(int) + drawn[:, 1:].ravel())
    assert_all_plausible(
        {"neighbours": goodness_of_fit(np.resize(counts, 64**2), np.ones(64**2))}, rate=1e-3
    )


@pytest.mark.parametrize("n", range(1, len(PATTERNS) + 1))
def test_mixtures_draw_listed_patterns_only(n):
    """Every mixture of n patterns, at the ends of the unit interval and at every bound."""
    for names in itertools.combinations(PATTERNS, n):
        weights = pattern_weights(names).astype(np.float32)
        bounds = np.float32(np.arange(1, 8) / 8)
        points = np.concatenate([FIRST_AND_LAST_POINT, np.cumsum(weights)[:-1], bounds])
        points = np.minimum(points, FIRST_AND_LAST_POINT[1])
        drawn = {PATTERNS[i] for i in np.asarray(patterns_at(points, weights))}
        assert drawn <= set(names)
        first_and_last = [PATTERNS[i] for i in np.asarray(patterns_at(points, weights))[:2]]
        assert first_and_last == [names[0], names[-1]]


def test_mixtures_are_uniform_over_the_list():
    """A name listed twice weighs twice; false alarms: 0.1 % over three mixtures."""
    mixtures = [list(PATTERNS), ["cold_warm", "mixed_random"], ["cold_warm"] * 2 + ["conflictual"]]
    p_values = {}
    for number, names in enumerate(mixtures):
        points = uniforms(jax.random.key(number), 50_000)
        drawn = np.asarray(patterns_at(points, pattern_weights(names).astype(np.float32)))
        expected = [names.count(name) for name in PATTERNS]
        p_values[number] = goodness_of_fit(np.bincount(drawn, minlength=7), expected)
    assert_all_plausible(p_values, rate=1e-3)


def test_weights_need_not_be_normalised():
    points = uniforms(jax.random.key(9), 1_000)
    weights = np.array([0, 1, 0, 2, 0, 1, 0], np.float32)
    np.testing.assert_array_equal(patterns_at(points, weights), patterns_at(points, weights * 64))


@pytest.mark.parametrize("names", [[], ["warm_stuck"]])
def test_unknown_and_missing_patterns_are_refused(names):
    with pytest.raises(ValueError, match=r"at least one|'warm_stuck' is none of cold_stuck"):
        pattern_weights(names)
