"""Random bits are JAX's own, computed another way."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtherapy.client.chance import random_bits, uniforms


@pytest.mark.parametrize("n", [1, 2, 3, 115, 3 * 1024])
def test_bits_are_those_of_jax(n):
    for seed in range(3):
        key = jax.random.key(seed)
        bits = random_bits(jax.random.key_data(key), jnp.arange(n, dtype=jnp.uint32))
        np.testing.assert_array_equal(bits, jax.random.bits(key, (n,), jnp.uint32))


def test_many_keys_at_once():
    keys = jax.random.split(jax.random.key(0), 5)
    at_once = jax.vmap(lambda key: uniforms(key, 7))(keys)
    np.testing.assert_array_equal(at_once, np.stack([uniforms(key, 7) for key in keys]))


def test_uniforms_are_multiples_of_the_resolution_below_one():
    points = np.asarray(uniforms(jax.random.key(1), 100_000), float)
    assert points.min() >= 0
    assert points.max() <= 1 - 2**-24
    np.testing.assert_array_equal(points * 2**24, np.round(points * 2**24))
