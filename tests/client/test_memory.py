"""Recency, RS and bond at their edges."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxtherapy.client.memory import (
    bond,
    recency_weights,
    relationship_satisfaction,
    remember,
    smoothed_conditional_frequencies,
    therapist_frequencies,
)
from jaxtherapy.client.pairs import encode_pairs

F32 = jnp.float32


def random_memory(seed=0):
    return jnp.asarray(np.random.default_rng(seed).integers(0, 64, 50), jnp.int8)


def nothing_but(client_act, therapist_act):
    return encode_pairs(jnp.full(50, client_act, jnp.int8), jnp.full(50, therapist_act, jnp.int8))


@pytest.mark.parametrize("ratio", [1.0, 2.0, 7.5, 1e6])
def test_recency_weights(ratio):
    weights = np.asarray(recency_weights(ratio), float)
    raw = 1 + (ratio - 1) * np.sqrt(np.arange(50) / 49)
    np.testing.assert_allclose(weights, raw / raw.sum(), rtol=1e-6)
    np.testing.assert_allclose(weights[-1] / weights[0], ratio, rtol=1e-5)


def test_remembering_drops_the_oldest():
    memory = random_memory()
    after = np.asarray(remember(memory, jnp.int8(5), jnp.int8(3)))
    np.testing.assert_array_equal(after, [*memory[1:], encode_pairs(jnp.int8(5), jnp.int8(3))])
    assert after.dtype == np.int8


def test_rows_are_client_acts_and_columns_therapist_acts():
    u = np.arange(64, dtype=np.float32).reshape(8, 8)
    memory = nothing_but(5, 3)
    rs = relationship_satisfaction(jnp.asarray(u.T), memory, recency_weights(2.0))
    np.testing.assert_allclose(rs, u[5, 3], rtol=1e-6)


@pytest.mark.parametrize(("alpha", "offset"), [(5.0, 0.7), (0.0, 0.7), (5.0, 0.0)])
def test_bond_is_a_sigmoid_of_the_share(alpha, offset):
    for share in (0.0, 0.3, 0.7, 1.0):
        expected = 1 / (1 + np.exp(-2 * alpha * (share - offset)))
        actual = bond(F32(-40 + 100 * share), F32(-40), F32(60), alpha, offset)
        np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_steep_bonds_saturate():
    assert bond(F32(0), F32(-40), F32(60), 1000.0, 0.7) == 0
    assert bond(F32(60), F32(-40), F32(60), 1000.0, 0.7) == 1


def test_bond_of_a_constant_matrix_is_that_of_no_share():
    expected = bond(F32(-40), F32(-40), F32(60), 5.0, 0.7)
    np.testing.assert_array_equal(bond(F32(20), F32(20), F32(20), 5.0, 0.7), expected)


def test_frequencies_are_shares():
    memory, weights = random_memory(), recency_weights(3.0)
    shares = therapist_frequencies(memory, weights)
    np.testing.assert_allclose(jnp.sum(shares), 1, rtol=1e-6)
    given = smoothed_conditional_frequencies(memory, weights, 0.1)
    np.testing.assert_allclose(jnp.sum(given, axis=1), np.ones(8), rtol=1e-6)


def test_without_smoothing_acts_never_shown_expect_anything():
    memory = nothing_but(6, 2)
    given = np.asarray(smoothed_conditional_frequencies(memory, recency_weights(2.0), 0.0))
    np.testing.assert_array_equal(given[6], np.eye(8)[2])
    np.testing.assert_array_equal(np.delete(given, 6, axis=0), np.full((7, 8), 1 / 8))
