"""Every pair of acts has a code of its own."""

import jax.numpy as jnp
import numpy as np

from jaxtherapy.client.pairs import encode_pairs, therapist_acts

PAIRS = jnp.array([(client, therapist) for client in range(8) for therapist in range(8)], jnp.int8)


def test_every_pair_has_a_code_of_its_own():
    codes = encode_pairs(PAIRS[:, 0], PAIRS[:, 1])
    np.testing.assert_array_equal(np.sort(codes), np.arange(64))
    assert codes.dtype == np.int8
    np.testing.assert_array_equal(codes % 8, PAIRS[:, 0])
    np.testing.assert_array_equal(therapist_acts(codes), PAIRS[:, 1])
