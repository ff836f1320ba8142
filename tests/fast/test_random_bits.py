"""Random bits are Threefry's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtherapy.fast.random_bits import random_bits, threefry, uniforms

ONES = 2**32 - 1
PI = (0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344)


@pytest.mark.parametrize(
    ("counters", "key", "words"),
    [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((ONES, ONES), (ONES, ONES), (0x1CB996FC, 0xBB002BE7)),
        (*PI, (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_known_answers(counters, key, words):
    """Those of Random123, the authors' library."""
    counters = tuple(jnp.uint32(x) for x in counters)
    assert tuple(map(int, threefry(jnp.array(key, jnp.uint32), counters))) == words


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


def test_a_key_has_one_sequence_to_start_anywhere_in():
    key = jax.random.key(4)
    whole = uniforms(key, 100)
    np.testing.assert_array_equal(uniforms(key, 30, start=70), whole[70:])
    np.testing.assert_array_equal(uniforms(key, 30, start=jnp.uint32(70)), whole[70:])
