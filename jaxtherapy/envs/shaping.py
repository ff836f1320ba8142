"""Rewards that training alone sees, because an outcome says little about the way to it.

Potential-based shaping (Ng, Harada & Russell 1999): ``F = γ·Φ(after) − Φ(before)`` is added to each
reward. Discounted over a therapy, ``Σ γ^t F_t = γ^T·Φ_T − Φ_0``, so that no therapist gains by it
what another does not: after a termination Φ is 0, and where the sessions ran out, the value of the
final observation lacks what Φ_T adds.
"""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Float32

from jaxtherapy.client.client import share_of_range
from jaxtherapy.client.dyad import Dyad, terminated
from jaxtherapy.client.params import ClientParams
from jaxtherapy.config.settings import Hyperparameters
from jaxtherapy.envs.rewards import outcome_range
from jaxtherapy.fast.promotion import ordinary

POINTS = 100.0
"""Reward points in a unit of the coefficients: what a success in the last session pays."""


@ordinary
def shaping(
    hyper: Hyperparameters, before: Dyad, after: Dyad, params: ClientParams
) -> Float32[Array, "*dyads"] | None:
    """What a session adds to its reward, in reward points; None where all coefficients are off."""
    if not _weights(hyper):
        return None
    later = jnp.where(terminated(after), 0.0, potential(hyper, after, params))
    return hyper.gamma * later - potential(hyper, before, params)


def potential(hyper: Hyperparameters, dyad: Dyad, params: ClientParams) -> Float32[Array, "*dyads"]:
    """Φ of a therapy that goes on, in reward points; every part of it lies within ±1."""
    params = params.numbers_of(dyad)
    share = share_of_range(dyad.client, dyad.client.rs)
    parts = {
        "rs": share,
        "bond": dyad.client.bond,
        "distance": -jnp.maximum(params.threshold - share, 0.0),
    }
    terms = (POINTS * weight * parts[name] for name, weight in _weights(hyper).items())
    return sum(terms, jnp.zeros_like(share)).astype(jnp.float32)


def shaped_range(
    hyper: Hyperparameters, params: ClientParams
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """The least and the most that a therapy with such clients pays, its shaping included."""
    largest = sum((POINTS * jnp.abs(w) for w in _weights(hyper).values()), jnp.float32(0))
    least, most = outcome_range(params)
    return least - largest, most + largest


def _weights(hyper: Hyperparameters) -> dict[str, Any]:
    """The coefficients that are on, by the part of Φ that each weighs."""
    weights = {
        "rs": hyper.shaping_rs,
        "bond": hyper.shaping_bond,
        "distance": hyper.shaping_distance,
    }
    return {name: weight for name, weight in weights.items() if weight is not None}
