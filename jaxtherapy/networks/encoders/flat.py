"""Whatever is seen, as one row of numbers through two ReLU layers."""

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PyTree

from jaxtherapy.networks.encoders import Encoder
from jaxtherapy.networks.layers import Precision, linear


class FlatEncoder(Encoder):
    """Two ReLU layers over all numbers of a view."""

    def __init__(
        self, hidden_size: int, view: PyTree, precision: Precision, rngs: nnx.Rngs
    ) -> None:
        self.shapes = tuple(leaf.shape for leaf in jax.tree.leaves(view))
        n_in = sum(map(math.prod, self.shapes))
        self.hidden_1 = linear(n_in, hidden_size, 2**0.5, precision, rngs)
        self.hidden_2 = linear(hidden_size, hidden_size, 2**0.5, precision, rngs)

    def __call__(self, view: PyTree) -> Float[Array, "*batch hidden"]:
        """Features of a batch of views (any leading axes)."""
        rows = [
            leaf.reshape(*leaf.shape[: leaf.ndim - len(shape)], math.prod(shape))
            for leaf, shape in zip(jax.tree.leaves(view), self.shapes, strict=True)
        ]
        numbers = jnp.concatenate(rows, axis=-1).astype(jnp.float32)
        return nnx.relu(self.hidden_2(nnx.relu(self.hidden_1(numbers))))


make = FlatEncoder
