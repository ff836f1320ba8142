"""What an outcome is worth to the therapist. Nothing is paid before the end."""

import jax.numpy as jnp
from jaxtyping import Array, Float32

from jaxtherapy.client.dyad import Dyad
from jaxtherapy.client.params import ClientParams
from jaxtherapy.fast.promotion import ordinary


@ordinary
def reward(dyad: Dyad, params: ClientParams) -> Float32[Array, "*dyads"]:
    """−150 for dropout, ``100 + 2·(max_sessions − sessions)`` for success, 0 otherwise; all three
    numbers are settings."""
    params = params.numbers_of(dyad)
    saved = params.max_sessions - dyad.time
    earned = params.success_reward + params.reward_per_session_saved * saved
    earned = jnp.where(dyad.success, earned, 0.0)
    return jnp.where(dyad.dropped_out, params.dropout_reward, earned).astype(jnp.float32)
