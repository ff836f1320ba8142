"""Recency, RS and bond at their edges."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxtherapy.client.memory import (
    bond,
    conditional_frequencies,
    recency_weights,
    relationship_satisfaction,
    remember,
    therapist_frequencies,
)
from jaxtherapy.client.pairs import encode_pairs, therapist_acts

PAIRS = np.array([(client, therapist) for client in range(8) for therapist in range(8)], np.int8)


def random_memory(seed=0):
    return np.random.default_rng(seed).integers(0, 64, 50).astype(np.int8)


def test_every_pair_has_a_code_of_its_own():
    codes = np.asarray(encode_pairs(PAIRS[:, 0], PAIRS[:, 1]))
    np.testing.assert_array_equal(np.sort(codes), np.arange(64))
    assert codes.dtype == np.int8
    np.testing.assert_array_equal(codes % 8, PAIRS[:, 0])
    np.testing.assert_array_equal(therapist_acts(codes), PAIRS[:, 1])


@pytest.mark.parametrize("ratio", [1.0, 2.0, 7.5, 1e6])
def test_recency_weights(ratio):
    weights = np.asarray(recency_weights(ratio), float)
    raw = 1 + (ratio - 1) * np.sqrt(np.arange(50) / 49)
    np.testing.assert_allclose(weights, raw / raw.sum(), rtol=1e-6)
    np.testing.assert_allclose(weights[-1] / weights[0], ratio, rtol=1e-5)


def test_remembering_drops_the_oldest():
    memory = random_memory()
    after = np.asarray(remember(jnp.asarray(memory), jnp.int8(5), jnp.int8(3)))
    np.testing.assert_array_equal(after, [*memory[1:], encode_pairs(jnp.int8(5), jnp.int8(3))])
    assert after.dtype == np.int8


def test_rows_are_client_acts_and_columns_therapist_acts():
    u = np.arange(64, dtype=np.float32).reshape(8, 8)
    memory = encode_pairs(np.full(50, 5, np.int8), np.full(50, 3, np.int8))
    rs = relationship_satisfaction(jnp.asarray(u.T), memory, recency_weights(2.0))
    np.testing.assert_allclose(rs, u[5, 3], rtol=1e-6)


@pytest.mark.parametrize(("alpha", "offset"), [(5.0, 0.7), (0.0, 0.7), (5.0, 0.0)])
def test_bond_is_a_sigmoid_of_the_share(alpha, offset):
    for share in (0.0, 0.3, 0.7, 1.0):
        expected = 1 / (1 + np.exp(-2 * alpha * (share - offset)))
        actual = bond(-40 + 100 * share, -40.0, 60.0, alpha, offset)
        np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_steep_bonds_saturate():
    assert bond(0.0, -40.0, 60.0, 1000.0, 0.7) == 0
    assert bond(60.0, -40.0, 60.0, 1000.0, 0.7) == 1


def test_bond_of_a_constant_matrix_is_that_of_no_share():
    expected = bond(-40.0, -40.0, 60.0, 5.0, 0.7)
    np.testing.assert_array_equal(bond(20.0, 20.0, 20.0, 5.0, 0.7), expected)


def test_frequencies_are_shares():
    memory, weights = random_memory(), recency_weights(3.0)
    shares = therapist_frequencies(memory, weights)
    np.testing.assert_allclose(jnp.sum(shares), 1, rtol=1e-6)
    given = conditional_frequencies(memory, weights, 0.1)
    np.testing.assert_allclose(jnp.sum(given, axis=1), np.ones(8), rtol=1e-6)


def test_without_smoothing_acts_never_shown_expect_anything():
    memory = encode_pairs(np.full(50, 6, np.int8), np.full(50, 2, np.int8))
    given = np.asarray(conditional_frequencies(memory, recency_weights(2.0), 0.0))
    np.testing.assert_array_equal(given[6], np.eye(8)[2])
    np.testing.assert_array_equal(np.delete(given, 6, axis=0), np.full((7, 8), 1 / 8))
