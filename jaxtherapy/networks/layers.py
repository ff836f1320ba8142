"""Linear layers with the precision that was asked for, and their initial weights."""

from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array

from jaxtherapy.fast.compiling import on_cpu

Precision = Literal["auto", "float32", "bfloat16"]
"""Of matrix products. ``auto``: the device's fast path for float32 (TF32 on NVIDIA GPUs, float32
on CPUs); ``float32``: full float32 everywhere; ``bfloat16``: bfloat16 operands."""


def linear(n_in: int, n_out: int, gain: float, precision: Precision, rngs: nnx.Rngs) -> nnx.Linear:
    """A linear layer whose weights start orthogonal."""
    return nnx.Linear(
        n_in,
        n_out,
        kernel_init=orthogonal(gain),
        dtype=jnp.bfloat16 if precision == "bfloat16" else jnp.float32,
        precision=jax.lax.Precision.HIGHEST if precision == "float32" else None,
        rngs=rngs,
    )


def orthogonal(gain: float) -> nnx.Initializer:
    """Orthogonal weights (Saxe et al. 2014), as Flax draws them.

    On a CPU, a batch of them (many seeds) is made one after another: LAPACK's batched QR in jaxlib
    0.10 shares its work out in the thread pool it runs in, and with few cores can wait for itself
    for ever.
    """
    draw = nnx.initializers.orthogonal(gain)

    def initializer(key: Array, shape: Any, dtype: Any = jnp.float32, **options: Any) -> Array:
        def one(key_data: Array) -> Array:
            single = jax.random.wrap_key_data(key_data, impl=jax.random.key_impl(key))
            return draw(single, shape, dtype, **options)

        if on_cpu():
            one = jax.custom_batching.sequential_vmap(one)
        return one(jax.random.key_data(key))

    return initializer
