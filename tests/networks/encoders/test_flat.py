"""Whatever is seen as one row of numbers, in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxtherapy.networks.encoders.flat import FlatEncoder

VIEW = {"matrix": jnp.zeros((2, 3), jnp.int8), "number": jnp.zeros(()), "row": jnp.zeros(4)}


def test_leaves_side_by_side_through_two_layers():
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), VIEW)
    net = FlatEncoder(5, shapes, "float32", nnx.Rngs(0))
    rng = np.random.default_rng(0)
    for batch in ((), (3,), (3, 2), (0,)):
        view = {
            name: jnp.asarray(rng.integers(0, 9, (*batch, *x.shape)), x.dtype)
            for name, x in VIEW.items()
        }
        sizes = {"matrix": 6, "number": 1, "row": 4}
        columns = [np.reshape(view[name], (*batch, n)) for name, n in sizes.items()]
        x = np.concatenate(columns, axis=-1).astype(float)
        assert x.shape == (*batch, 11)
        for layer in (net.hidden_1, net.hidden_2):
            x = np.maximum(x @ np.asarray(layer.kernel[...], float) + layer.bias[...], 0)
        np.testing.assert_allclose(net(view), x, rtol=1e-4, atol=1e-4)
