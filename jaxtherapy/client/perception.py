"""Parataxic distortion (Sullivan 1953): hearing the therapist one is used to."""

import functools
import operator

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Int, Int8

from jaxtherapy.client.pairs import therapist_acts
from jaxtherapy.fast.compiling import outlined

PERCEPTION_WINDOW = 15


@outlined
def habitual_act(memory: Int8[Array, "50"]) -> Int8[Array, ""]:
    """The most frequent therapist act of the newest 15 pairs; a tie goes to the most recent."""
    recent = memory[-PERCEPTION_WINDOW:]
    # An act as the place of its digit, four bits each: eight counts of at most 15 are one number.
    digits = [4 * therapist_acts(pair).astype(jnp.uint32) for pair in recent]
    counts = functools.reduce(operator.add, [jnp.uint32(1) << digit for digit in digits])
    # Count, then place, then act: the largest number is that of the habitual act.
    scores = [
        ((counts >> digit) & 15) << 9 | jnp.uint32(place << 5) | digit
        for place, digit in enumerate(digits)
    ]
    return ((functools.reduce(jnp.maximum, scores) & 31) >> 2).astype(jnp.int8)


def hear(
    memory: Int8[Array, "50"], therapist_act: Int[ArrayLike, ""], accurately: Bool[ArrayLike, ""]
) -> Int8[Array, ""]:
    """What the client hears: the act itself, or else the habitual one (before this session)."""
    return jnp.where(accurately, jnp.asarray(therapist_act, jnp.int8), habitual_act(memory))
