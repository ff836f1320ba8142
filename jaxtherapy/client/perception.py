"""Parataxic distortion (Sullivan 1953): hearing the therapist one is used to."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, Int8

from jaxtherapy.client.octants import N_OCTANTS
from jaxtherapy.client.pairs import therapist_acts
from jaxtherapy.client.units import compiled_apart

PERCEPTION_WINDOW = 15


@compiled_apart
def habitual_act(memory: Int8[Array, "50"]) -> Int8[Array, ""]:
    """The most frequent therapist act of the newest 15 pairs; a tie goes to the most recent."""
    recent = therapist_acts(memory[-PERCEPTION_WINDOW:])
    every_act = jnp.arange(N_OCTANTS, dtype=jnp.int8)
    count = jnp.zeros(N_OCTANTS, jnp.int16)
    last_heard = jnp.zeros(N_OCTANTS, jnp.int16)
    for place in range(PERCEPTION_WINDOW):
        is_act = recent[place] == every_act
        count += is_act
        last_heard = jnp.where(is_act, jnp.int16(place + 1), last_heard)
    score = count * (PERCEPTION_WINDOW + 1) + last_heard
    # The act itself in the lowest digit, so that the maximum tells whose it is.
    best = jnp.max(score * N_OCTANTS + every_act)
    return (best & (N_OCTANTS - 1)).astype(jnp.int8)


def hear(
    memory: Int8[Array, "50"], therapist_act: Int[Array, ""], accurately: Bool[Array, ""]
) -> Int8[Array, ""]:
    """What the client hears: the act itself, or else the habitual one (before this session)."""
    return jnp.where(accurately, jnp.asarray(therapist_act, jnp.int8), habitual_act(memory))
