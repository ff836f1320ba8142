"""What is outlined computes the same, and is one call in the program."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxtherapy.fast.compiling import outlined

N = 64


@outlined
def squares(x):
    return {"squares": x * x}


def use_often(x):
    found = squares(x)["squares"]
    return jnp.sum(found[..., :4]) + jnp.max(found)


def test_values_gradients_and_batches():
    x = np.arange(10, dtype=np.float32)
    np.testing.assert_array_equal(squares(x)["squares"], x * x)
    np.testing.assert_array_equal(jax.jit(squares)(x)["squares"], x * x)
    batch = np.stack([x, x + 1])
    np.testing.assert_array_equal(jax.vmap(squares)(batch)["squares"], batch * batch)
    gradient = jax.grad(lambda x: jnp.sum(squares(x)["squares"]))(x)
    np.testing.assert_array_equal(gradient, 2 * x)


def test_one_call_for_the_whole_batch():
    compiled = jax.jit(jax.vmap(use_often)).lower(jnp.ones((N, 8))).compile()
    calls = [line for line in compiled.as_text().splitlines() if " call(" in line]
    assert len([line for line in calls if f"f32[{N},8]" in line]) == 1
