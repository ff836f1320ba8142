"""What an outcome is worth to the therapist. Nothing is paid before the end."""

import jax.numpy as jnp
from jaxtyping import Array, Float32

from jaxtherapy.client.client import ClientParams
from jaxtherapy.client.dyad import Dyad

DROPOUT_REWARD = -150.0
SUCCESS_REWARD = 100.0
REWARD_PER_SESSION_SAVED = 2.0


def reward(dyad: Dyad, params: ClientParams) -> Float32[Array, ""]:
    """−150 for dropout, ``100 + 2·(max_sessions − sessions)`` for success, 0 otherwise."""
    success_reward = SUCCESS_REWARD + REWARD_PER_SESSION_SAVED * (params.max_sessions - dyad.time)
    earned = jnp.where(dyad.success, success_reward, 0.0)
    return jnp.where(dyad.dropped_out, DROPOUT_REWARD, earned).astype(jnp.float32)
