"""What an outcome is worth to the therapist. Nothing is paid before the end."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Float32

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


def outcome_range(dyads: Dyad, params: ClientParams) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """The least and the most that a therapy with any of these clients pays, discounted or not."""
    params = params.numbers_of(dyads)
    latest = params.success_reward
    earliest = latest + params.reward_per_session_saved * (params.max_sessions - 1)
    paid = (0.0, params.dropout_reward, latest, earliest)
    ends = jnp.stack([jnp.ravel(each) for each in jnp.broadcast_arrays(*paid)])
    return jnp.min(ends).astype(jnp.float32), jnp.max(ends).astype(jnp.float32)
