"""A random order is a permutation, and all are equally likely."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxtherapy.fast.shuffle import random_order
from tests.plausibility import assert_all_plausible, goodness_of_fit


def test_keys_decide_the_order():
    orders = [np.asarray(random_order(jax.random.key(seed), 24)) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(orders[0], orders[1])
    assert np.any(orders[0] != orders[2])
    assert np.any(orders[0] != np.arange(24))


@pytest.mark.parametrize("n", [1, 2, 3, 512, 2**13, 2**13 + 1])
def test_an_order_has_every_number_once(n):
    order = jax.jit(random_order, static_argnums=1)(jax.random.key(1), n)
    assert order.dtype == jnp.int32
    np.testing.assert_array_equal(np.sort(order), np.arange(n))


def test_all_orders_are_equally_likely():
    """Of five numbers: 120 orders; false alarms: 0.1 %."""
    keys = jax.random.split(jax.random.key(2), 24_000)
    orders = np.asarray(jax.jit(jax.vmap(lambda key: random_order(key, 5)))(keys))
    _, counts = np.unique(orders @ 5 ** np.arange(5), return_counts=True)
    assert len(counts) == 120
    assert_all_plausible({"orders": goodness_of_fit(counts, np.ones(120))}, rate=1e-3)


def test_minibatches_are_random_samples():
    """The most rows that need only one sort: means of minibatches against those of numbers drawn
    without replacement (nearly normal); false alarms: 0.1 %."""
    n, size = 2**13, 64
    keys = jax.random.split(jax.random.key(3), 160)
    orders = np.asarray(jax.jit(jax.vmap(lambda key: random_order(key, n)))(keys))
    means = orders.reshape(-1, size).mean(axis=1)
    spread = np.sqrt((n**2 - 1) / 12 / size * (n - size) / (n - 1))
    expected = stats.norm((n - 1) / 2, spread)
    assert_all_plausible({"means": stats.kstest(means, expected.cdf).pvalue}, rate=1e-3)
