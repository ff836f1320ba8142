"""What client and therapist did in one session, as one number: ``8 · therapist + client``."""

import jax.numpy as jnp
from jaxtyping import Array, Int, Int8

from jaxtherapy.client.octants import N_OCTANTS


def encode_pairs(client: Int[Array, "*n"], therapist: Int[Array, "*n"]) -> Int8[Array, "*n"]:
    """The codes of pairs of octants, 0..63."""
    return (therapist * N_OCTANTS + client).astype(jnp.int8)


def therapist_acts(pairs: Int8[Array, "*n"]) -> Int8[Array, "*n"]:
    """The therapist's half."""
    return pairs >> 3  # by eight
