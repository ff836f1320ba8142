"""The pure functions work, and say the same, under a user's rules of promotion."""

import jax
import numpy as np

from jaxtherapy.client import therapists
from jaxtherapy.client.params import ClientParams
from jaxtherapy.client.simulation import simulate


def test_a_simulation_under_strict_promotion_is_the_ordinary_one():
    key, clients = jax.random.key(0), ClientParams(max_sessions=5)
    expected = simulate(key, clients, therapists.complementary, 3)
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        found = simulate(key, clients, therapists.complementary, 3)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(a, b)
