"""What the client remembers, and how satisfied and bonded that leaves it.

Memory is the last 50 exchanges, oldest first, each a pair in one int8 (:mod:`.pairs`; therapist
acts *as heard*). Everything downstream is a recency-weighted sum over it.
"""

import functools
import operator
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int, Int8

from jaxtherapy.client.octants import N_OCTANTS
from jaxtherapy.client.pairs import encode_pairs, therapist_acts
from jaxtherapy.fast.compiling import outlined

MEMORY_SIZE = 50

_ROOT_AGE = np.sqrt(np.arange(MEMORY_SIZE) / (MEMORY_SIZE - 1))


def recency_weights(recency_ratio: Float[ArrayLike, ""]) -> Float[Array, "50"]:
    """``w_i ∝ 1 + (ρ − 1)·sqrt(i / 49)``, summing to 1; ρ is the newest:oldest ratio."""
    weights = 1.0 + (jnp.asarray(recency_ratio) - 1.0) * jnp.asarray(_ROOT_AGE)
    return weights / jnp.sum(weights)


def remember(
    memory: Int8[Array, "50"], client_act: Int[Array, ""], heard_act: Int[Array, ""]
) -> Int8[Array, "50"]:
    """Appends the newest pair; the oldest drops out."""
    later = jax.lax.pad(memory, jnp.int8(0), [(-1, 1, 0)])
    newest = encode_pairs(client_act, heard_act)[None]
    return jax.lax.dynamic_update_slice(later, newest, (MEMORY_SIZE - 1,))


def total(terms: Sequence[Float[Array, "*n"]]) -> Float[Array, "*n"]:
    """Their sum, in four running sums: always the same order, and few additions wait for another.

    Sums over memory are written out because compilers make vector instructions of them; of a
    reduction over fifty numbers they make a chain of additions, several times slower on a CPU.
    """
    sums = list(terms[:4])
    for place, term in enumerate(terms[4:]):
        sums[place % 4] = sums[place % 4] + term
    return functools.reduce(operator.add, sums)


@outlined
def relationship_satisfaction(
    utilities: Float[Array, "8 8"], memory: Int8[Array, "50"], weights: Float[Array, "50"]
) -> Float[Array, ""]:
    """``RS = Σ_i w_i · utilities[therapist_i, client_i]``, in utility units."""
    utilities = utilities.reshape(-1)
    # Codes are 0..63: none is negative, none out of bounds. Converted one by one, within the sum.
    return total(
        [
            weights[i] * utilities.at[memory[i].astype(jnp.uint8)].get(mode="promise_in_bounds")
            for i in range(MEMORY_SIZE)
        ]
    )


def bond(
    satisfaction: Float[Array, ""],
    u_low: Float[Array, ""],
    u_high: Float[Array, ""],
    alpha: Float[ArrayLike, ""],
    offset: Float[ArrayLike, ""],
) -> Float[Array, ""]:
    """``sigmoid(2·α·((RS − lo)/(hi − lo) − offset))``, in (0, 1).

    A constant matrix (``hi = lo``) leaves nothing to be satisfied about: its share counts as 0.
    """
    share = share_between(satisfaction, u_low, u_high)
    return jax.nn.sigmoid(2 * alpha * (share - offset))


def share_between(
    value: Float[Array, "*n"], low: Float[Array, "*ends"], high: Float[Array, "*ends"]
) -> Float[Array, "*n"]:
    """Where a value lies between two ends, as a share of what is between them; 0 for nothing."""
    between = high - low
    return jnp.where(between > 0, (value - low) / jnp.where(between > 0, between, 1), 0)


def _weighted_counts(
    codes: Int8[Array, "50"], weights: Float[Array, "50"], every_code: Float[Array, " n"]
) -> Float[Array, " n"]:
    codes = codes.astype(jnp.float32)  # as the sums are: one kind of vector registers
    return total([jnp.where(codes[i] == every_code, weights[i], 0) for i in range(MEMORY_SIZE)])


@outlined
def weighted_counts(
    codes: Int8[Array, "50"], weights: Float[Array, "50"], every_code: Float[Array, " n"]
) -> Float[Array, " n"]:
    """``Σ_i w_i · [code_i = j]`` for each code ``j``."""
    return _weighted_counts(codes, weights, every_code)


@outlined
def therapist_frequencies(
    memory: Int8[Array, "50"], weights: Float[Array, "50"]
) -> Float[Array, "8"]:
    """P(j): the recency-weighted share of each therapist act."""
    every_act = jnp.arange(N_OCTANTS, dtype=jnp.float32)
    return _weighted_counts(therapist_acts(memory), weights, every_act)


def smoothed_conditional_frequencies(
    memory: Int8[Array, "50"], weights: Float[Array, "50"], smoothing: Float[ArrayLike, ""]
) -> Float[Array, "8 8"]:
    """P(j given i): weighted share of therapist act j among pairs whose client act is i.

    ``smoothing`` is added to each of the 8 weighted counts before normalising. Without smoothing,
    an act never shown says nothing about its answer: uniform, the limit of ever less smoothing.
    """
    every_pair = jnp.arange(N_OCTANTS**2, dtype=jnp.float32)
    joint = weighted_counts(memory, weights, every_pair)
    counts = joint.reshape(N_OCTANTS, N_OCTANTS) + smoothing  # therapist acts first, like codes
    total_counts = total([counts[j] for j in range(N_OCTANTS)])
    known = total_counts > 0
    return jnp.where(known, counts / jnp.where(known, total_counts, 1), 1 / N_OCTANTS).T
