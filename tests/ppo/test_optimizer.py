"""Where Adam keeps its numbers, and that it is PyTorch's."""

import chex
import jax.numpy as jnp
import numpy as np
import optax

from jaxtherapy.ppo.optimizer import adam, adam_state, with_adam_state

PARAMS = {"kernel": jnp.ones((3, 2)), "bias": jnp.zeros(2)}
GRADIENT = {"kernel": jnp.full((3, 2), 1e-8), "bias": jnp.array([3.0, 0.0])}


def test_epsilon_is_pytorchs():
    """A gradient as small as ε moves by half a step, none by none."""
    optimizer = adam(0.1)
    step, _ = optimizer.update(GRADIENT, optimizer.init(PARAMS), PARAMS)
    np.testing.assert_allclose(step["kernel"], np.full((3, 2), -0.05), rtol=1e-3)
    np.testing.assert_allclose(step["bias"], [-0.1, 0], rtol=1e-5)


def test_count_and_averages_are_read_and_replaced():
    optimizer = adam(0.1)
    state = optimizer.update(GRADIENT, optimizer.init(PARAMS), PARAMS)[1]
    found = adam_state(state)
    assert isinstance(found, optax.ScaleByAdamState)
    assert found.count == 1
    np.testing.assert_allclose(found.mu["bias"], [0.3, 0], rtol=1e-6)
    np.testing.assert_allclose(found.nu["bias"], [0.009, 0], rtol=1e-5)
    other = found._replace(count=jnp.int32(7))
    replaced = with_adam_state(state, other)
    assert adam_state(replaced).count == 7
    chex.assert_trees_all_equal(with_adam_state(replaced, found), state)
