"""New clients, drawn: matrices between bounds, patterns by weight, memories by alias tables."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxtherapy.client.dyad import intake
from jaxtherapy.client.intake import (
    _ALIASES,
    N_POINTS,
    draw_client,
    draw_memory,
    draw_pattern,
    draw_utilities,
)
from jaxtherapy.client.memory import MEMORY_SIZE
from jaxtherapy.client.octants import ANTICOMPLEMENT
from jaxtherapy.client.pairs import therapist_acts
from jaxtherapy.client.params import ClientParams
from jaxtherapy.client.patterns import PATTERNS, distributions, pattern_weights
from jaxtherapy.client.utilities import NAMED_MATRICES, U_MAX, U_MIN
from jaxtherapy.fast.random_bits import uniforms
from tests.client.test_patterns import POOLS
from tests.plausibility import assert_all_plausible, goodness_of_fit, same_distribution

TABLES = distributions()
N_MEMORIES = 6_000

FIRST_AND_LAST_POINT = np.array([0, 1 - 2**-24], np.float32)

memories_at = jax.jit(jax.vmap(draw_memory, in_axes=(0, None, None)))
patterns_at = jax.jit(jax.vmap(draw_pattern, in_axes=(0, None)))


def test_a_client_is_made_of_points_of_its_own():
    """Matrix, pattern and memory, in this order, and every one of them is used once."""
    points = uniforms(jax.random.key(3), N_POINTS)
    client, pattern = draw_client(points, ClientParams())
    u, which, memory = jnp.split(points, [64, 65])
    np.testing.assert_allclose(client.u, U_MIN + (U_MAX - U_MIN) * u.reshape(8, 8), rtol=1e-5)
    assert pattern == draw_pattern(which[0], np.ones(7))
    np.testing.assert_array_equal(client.memory, draw_memory(memory, pattern, False))


# --- utilities -----------------------------------------------------------------------------------

N_DRAWS = 20_000

draw_many = jax.jit(jax.vmap(draw_utilities, in_axes=(0, None, None)))


@pytest.fixture(scope="module")
def matrices():
    points = uniforms(jax.random.key(0), 64 * N_DRAWS).reshape(N_DRAWS, 64)
    return np.asarray(draw_many(points, U_MIN, U_MAX), float)


def test_cells_are_uniform_between_their_bounds(matrices):
    """Kolmogorov–Smirnov per cell; false alarms: 0.1 % over the 64 cells."""
    assert np.all(matrices >= U_MIN)
    assert np.all(matrices <= U_MAX)
    shares = ((matrices - U_MIN) / (U_MAX - U_MIN)).reshape(N_DRAWS, 64)
    p_values = {cell: stats.kstest(shares[:, cell], "uniform").pvalue for cell in range(64)}
    assert_all_plausible(p_values, rate=1e-3)


def test_cells_are_independent(matrices):
    """Correlation of every pair of cells; false alarms: 0.1 % over the 2016 pairs."""
    correlations = np.corrcoef(matrices.reshape(N_DRAWS, 64), rowvar=False)
    pairs = zip(*np.triu_indices(64, 1), strict=True)
    z = {pair: np.arctanh(correlations[pair]) * np.sqrt(N_DRAWS - 3) for pair in pairs}
    assert_all_plausible({pair: 2 * stats.norm.sf(abs(x)) for pair, x in z.items()}, rate=1e-3)


@pytest.mark.parametrize("name", NAMED_MATRICES)
def test_named_matrices_are_exact(name):
    u = NAMED_MATRICES[name]
    assert u.shape == (8, 8)
    drawn = np.asarray(draw_many(uniforms(jax.random.key(1), 3 * 64).reshape(3, 64), u, u))
    np.testing.assert_array_equal(drawn, np.broadcast_to(u.astype(np.float32), (3, 8, 8)))


def test_given_matrices_are_exact():
    u = np.random.default_rng(0).uniform(-1e3, 1e3, (8, 8)).astype(np.float32)
    client = intake(jax.random.key(2), ClientParams(u_min=u, u_max=u)).client
    np.testing.assert_array_equal(client.u, u)
    assert client.u_low == u.min()
    assert client.u_high == u.max()


def test_bounds_may_be_whole_numbers():
    u = np.arange(64).reshape(8, 8)
    client = intake(jax.random.key(3), ClientParams(u_min=u, u_max=u)).client
    np.testing.assert_array_equal(client.u, u)
    assert client.u.dtype == np.float32


# --- patterns and memories -----------------------------------------------------------------------


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


def test_draws_match_the_tables(memories):
    """Chi-square over the cells; false alarms: 0.1 % over the 14 tables."""
    p_values = {
        (exact, name): goodness_of_fit(pair_counts(memories[exact, index]), TABLES[exact, index])
        for exact in (0, 1)
        for index, name in enumerate(PATTERNS)
    }
    assert_all_plausible(p_values, rate=1e-3)


def test_exact_anticomplements(memories):
    for name, (pool, _) in POOLS.items():
        drawn = memories[1, PATTERNS.index(name)].ravel()
        client, therapist = drawn % 8, np.asarray(therapist_acts(jnp.asarray(drawn)))
        stuck = np.isin(client, pool)
        np.testing.assert_array_equal(therapist[stuck], ANTICOMPLEMENT[client[stuck]])
        assert len(np.unique(therapist[~stuck])) == 8


def test_every_point_of_the_unit_interval_is_shared_out_as_the_tables_say():
    """All 2²⁴ points that a draw can be made of, counted by the shares of cells and aliases."""
    full = 2**18
    for aliases, table in zip(_ALIASES, TABLES.reshape(-1, 8, 8), strict=True):
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
