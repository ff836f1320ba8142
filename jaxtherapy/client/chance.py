"""Uniform random numbers, many from one key."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float32, PRNGKeyArray, UInt32

from jaxtherapy.client.units import compiled_apart

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))


@compiled_apart
def random_bits(key: UInt32[Array, "2"], place: UInt32[Array, "n"]) -> UInt32[Array, "n"]:
    """Threefry-2x32 with 20 rounds (Salmon et al. 2011): the bits of ``jax.random.bits``.

    On a CPU JAX runs the rounds as a loop over arrays; written out they are one pass over them.
    """
    keys = key[0], key[1], key[0] ^ key[1] ^ jnp.uint32(0x1BD11BDA)
    a, b = jnp.broadcast_to(keys[0], place.shape), place + keys[1]
    for group in range(5):
        for rotation in _ROTATIONS[group % 2]:
            a = a + b
            b = a ^ ((b << rotation) | (b >> (32 - rotation)))
        a = a + keys[(group + 1) % 3]
        b = b + keys[(group + 2) % 3] + jnp.uint32(group + 1)
    return a ^ b


def uniforms(key: PRNGKeyArray, n: int) -> Float32[Array, "n"]:
    """``n`` independent uniforms on [0, 1) with 24 bits each: multiples of 2⁻²⁴."""
    bits = random_bits(jax.random.key_data(key), jnp.arange(n, dtype=jnp.uint32))
    # On a GPU the barrier keeps XLA from running the generator again in every use.
    bits = jax.lax.optimization_barrier(bits)
    return (bits >> 8).astype(jnp.float32) * 2**-24
