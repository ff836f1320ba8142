"""Drawn, named and given utility matrices."""

import jax
import numpy as np
import pytest
from scipy import stats

from jaxtherapy.client.dyad import intake
from jaxtherapy.client.params import ClientParams
from jaxtherapy.client.utilities import NAMED_MATRICES, U_MAX, U_MIN, draw_utilities
from jaxtherapy.fast.random_bits import uniforms
from tests.chance import assert_all_plausible

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


def test_the_average_matrix_is_the_middle_of_the_bounds():
    np.testing.assert_allclose(NAMED_MATRICES["average"], (U_MIN + U_MAX) / 2)


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
