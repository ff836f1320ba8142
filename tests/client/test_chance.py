"""Random bits are Threefry's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtherapy.client.chance import random_bits, threefry, uniforms

ONES = 2**32 - 1
PI = (0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344)


@pytest.mark.parametrize(
    ("rounds", "counters", "key", "words"),
    [
        (13, (0, 0), (0, 0), (0x9D1C5EC6, 0x8BD50731)),
        (13, (ONES, ONES), (ONES, ONES), (0xFD36D048, 0x2D17272C)),
        (13, *PI, (0xBA3E4725, 0xF27D669E)),
        (20, (0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        (20, (ONES, ONES), (ONES, ONES), (0x1CB996FC, 0xBB002BE7)),
        (20, *PI, (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_known_answers(rounds, counters, key, words):
    """Those of Random123, the authors' library."""
    counters = tuple(jnp.uint32(x) for x in counters)
    assert tuple(map(int, threefry(jnp.array(key, jnp.uint32), counters, rounds))) == words


@pytest.mark.parametrize("n", [1, 2, 3, 115, 3 * 1024])
def test_with_twenty_rounds_bits_are_those_of_jax(n):
    for seed in range(3):
        key = jax.random.key(seed)
        place = jnp.arange(n, dtype=jnp.uint32)
        a, b = threefry(jax.random.key_data(key), (jnp.zeros_like(place), place), rounds=20)
        np.testing.assert_array_equal(a ^ b, jax.random.bits(key, (n,), jnp.uint32))


def test_each_bit_is_even_and_independent_of_the_next_places():
    """Of 2¹⁸ places under one key: z-scores of 32 bits and their agreement with neighbours;
    false alarms: 0.1 % over all."""
    bits = random_bits(jax.random.key_data(jax.random.key(3)), jnp.arange(2**18, dtype=jnp.uint32))
    digits = (np.asarray(bits)[:, None] >> np.arange(32)) & 1
    agreement = digits[1:] == digits[:-1]
    for share in (digits.mean(axis=0), agreement.mean(axis=0)):
        assert np.abs(share - 0.5).max() < 4.3 * 0.5 / np.sqrt(2**18 - 1)


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
