"""Sorting, reading at the bond, and drawing the act. Recorded payoffs: ``test_recordings.py``."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax

from jaxtherapy.client.expectations import (
    act_probabilities,
    amplified,
    choose_act,
    read_at_bond,
    sort_octants,
)
from jaxtherapy.fast.random_bits import uniforms
from tests.plausibility import assert_all_plausible, goodness_of_fit

LAST_POINT = np.float32(1 - 2**-24)

choose = jax.jit(jax.vmap(choose_act, in_axes=(0, None)))


def test_sorting_network_by_the_zero_one_principle():
    """A network that sorts all 256 zero-one inputs sorts everything (Knuth, vol. 3, 5.3.4)."""
    inputs = np.array(list(itertools.product([0.0, 1.0], repeat=8)), np.float32)
    ordered = np.stack(sort_octants(jnp.asarray(inputs)), axis=-1)
    np.testing.assert_array_equal(ordered, np.sort(inputs, axis=-1))


def test_sorting_keeps_the_values():
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(100, 8, 8)).astype(np.float32)
    inputs[:50] = inputs[:50].round()  # ties
    ordered = np.stack(sort_octants(jnp.asarray(inputs)), axis=-1)
    np.testing.assert_array_equal(ordered, np.sort(inputs, axis=-1))


def test_read_at_bond_interpolates_order_statistics():
    rng = np.random.default_rng(1)
    values = rng.uniform(-70, 70, (300, 8)).astype(np.float32)
    values[:100] = values[:100].round(-1)  # ties
    bonds = rng.uniform(0, 1, 300).astype(np.float32)
    bonds[:8] = np.arange(8, dtype=np.float32) / 7
    bonds[-1], bonds[-2] = 0, 1
    expected = [
        np.interp(7 * bond.astype(float), range(8), np.sort(row))
        for row, bond in zip(values.astype(float), bonds, strict=True)
    ]
    read = jax.vmap(read_at_bond)(values, bonds)
    np.testing.assert_allclose(read, expected, rtol=1e-5, atol=1e-4)


def test_no_bond_expects_the_worst_and_full_bond_the_best():
    values = jnp.array([[3.0, 1, 4, 1, 5, 9, 2, 6]])
    assert read_at_bond(values, jnp.float32(0))[0] == 1
    assert read_at_bond(values, jnp.float32(1))[0] == 9


def test_amplified_utilities_by_hand():
    """Over therapist acts alone, or over both."""
    u, by_act = jnp.arange(64.0).reshape(8, 8), jnp.arange(8.0)
    np.testing.assert_allclose(amplified(u, by_act), u * (1 + np.arange(8))[None])
    np.testing.assert_allclose(amplified(u, u), u * (1 + u))


@pytest.mark.parametrize("entropy", [1e-6, 0.05, 0.5, 1e6])
def test_act_probabilities_are_a_softmax(entropy):
    payoffs = np.random.default_rng(2).uniform(-70, 70, 8)
    probabilities = act_probabilities(jnp.asarray(payoffs, jnp.float32), entropy)
    np.testing.assert_allclose(probabilities, softmax(payoffs / entropy), rtol=1e-3, atol=1e-6)


def test_acts_follow_the_softmax():
    """False alarms: 0.1 % over the family of 20 distributions, 400 000 acts each."""
    rng = np.random.default_rng(3)
    p_values = {}
    for case, spread in enumerate(np.geomspace(0.01, 20, 20)):
        logits = rng.normal(0, spread, 8).astype(np.float32)
        points = uniforms(jax.random.key(case), 400_000)
        counts = np.bincount(choose(points, logits), minlength=8)
        p_values[f"spread {spread:.2g}"] = goodness_of_fit(counts, softmax(logits.astype(float)))
    assert_all_plausible(p_values, rate=1e-3)


def test_acts_invert_the_cumulative_distribution():
    rng = np.random.default_rng(4)
    points = (np.arange(10_000) / 10_000).astype(np.float32)
    for _ in range(10):
        logits = rng.normal(0, 2, 8).astype(np.float32)
        bounds = np.cumsum(softmax(logits.astype(float)))
        clear = np.abs(points[:, None] - bounds).min(axis=1) > 1e-6
        expected = np.searchsorted(bounds, points, side="right")
        np.testing.assert_array_equal(choose(points, logits)[clear], expected[clear])


def test_acts_of_vanishing_probability_are_never_drawn():
    """At the ends of the unit interval too, wherever the possible acts lie."""
    points = np.array([0, 2**-24, 0.5, 1 - 2**-23, LAST_POINT], np.float32)
    for possible in itertools.product([False, True], repeat=8):
        if any(possible):
            logits = np.where(possible, 0.0, -1e9).astype(np.float32)
            drawn = np.asarray(choose(points, logits))
            assert np.all(np.array(possible)[drawn])
            assert drawn[0] == np.flatnonzero(possible)[0]
            assert drawn[-1] == np.flatnonzero(possible)[-1]
