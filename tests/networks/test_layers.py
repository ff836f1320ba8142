"""Linear layers: precision as asked for, orthogonal weights, alone and in batches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxtherapy.networks.layers import linear, orthogonal


@pytest.mark.parametrize(
    ("precision", "dtype", "products"),
    [
        ("auto", jnp.float32, None),
        ("float32", jnp.float32, jax.lax.Precision.HIGHEST),
        ("bfloat16", jnp.bfloat16, None),
    ],
)
def test_precision_is_that_of_products_not_of_weights(precision, dtype, products):
    layer = linear(3, 2, 1.0, precision, nnx.Rngs(0))
    assert (layer.dtype, layer.precision) == (dtype, products)
    assert layer.kernel[...].dtype == layer.bias[...].dtype == jnp.float32
    assert layer(jnp.ones((4, 3))).dtype == dtype


@pytest.mark.parametrize("shape", [(8, 8), (20, 8), (8, 20)], ids=str)
def test_weights_start_orthogonal_with_their_gain(shape):
    kernel = np.asarray(orthogonal(3.0)(jax.random.key(0), shape), float)
    short = kernel if shape[0] < shape[1] else kernel.T
    np.testing.assert_allclose(short @ short.T, 9 * np.eye(min(shape)), atol=1e-4)


def test_weights_of_many_keys_are_those_of_each():
    keys = jax.random.split(jax.random.key(1), 3)
    draw = orthogonal(1.0)
    at_once = jax.vmap(lambda key: draw(key, (8, 4)))(keys)
    for key, kernel in zip(keys, at_once, strict=True):
        np.testing.assert_allclose(draw(key, (8, 4)), kernel, atol=1e-6)
