"""Uniform random numbers, many from one key."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float32, PRNGKeyArray, UInt32

from jaxtherapy.fast.compiling import outlined

_ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
_ROUNDS = 20


def threefry(
    key: UInt32[Array, "2"], counters: tuple[Array, Array]
) -> tuple[UInt32[Array, "*n"], UInt32[Array, "*n"]]:
    """Threefry-2x32 with 20 rounds (Salmon et al. 2011): two random words per pair of counters.
    JAX's own rounds are a loop over arrays on a CPU; written out they are one pass over them."""
    keys = key[0], key[1], key[0] ^ key[1] ^ jnp.uint32(0x1BD11BDA)
    a, b = counters[0] + keys[0], counters[1] + keys[1]
    for done in range(_ROUNDS):
        rotation = _ROTATIONS[done % 8]
        a = a + b
        b = a ^ ((b << rotation) | (b >> (32 - rotation)))
        if done % 4 == 3:
            group = done // 4 + 1
            a = a + keys[group % 3]
            b = b + keys[(group + 1) % 3] + jnp.uint32(group)
    return a, b


@outlined
def random_bits(key: UInt32[Array, "2"], place: UInt32[Array, " n"]) -> UInt32[Array, " n"]:
    """32 random bits for each place: those of ``jax.random.bits``."""
    a, b = threefry(key, (jnp.zeros_like(place), place))
    return a ^ b


def uniforms(key: PRNGKeyArray, n: int, start: int | UInt32[Array, ""] = 0) -> Float32[Array, " n"]:
    """``n`` independent uniforms on [0, 1) with 24 bits each: multiples of 2⁻²⁴.

    A key has 2³² of them; ``start`` says from which on.
    """
    place = jnp.asarray(start, jnp.uint32) + jnp.arange(n, dtype=jnp.uint32)
    bits = random_bits(jax.random.key_data(key), place)
    # On a GPU the barrier keeps XLA from running the generator again in every use.
    bits = jax.lax.optimization_barrier(bits)
    return (bits >> 8).astype(jnp.float32) * 2**-24
