"""What a whole therapy was worth."""

import jax.numpy as jnp
from jaxtyping import Array, Float32

from jaxtherapy.client.dyad import Dyad, sessions_to_success
from jaxtherapy.client.params import ClientParams
from jaxtherapy.envs.rewards import reward
from jaxtherapy.fast.promotion import ordinary


@ordinary
def total_reward(dyad: Dyad, params: ClientParams) -> Float32[Array, "*dyads"]:
    """The rewards of all sessions so far: that of the last, and that of an earlier success."""
    last = reward(dyad, params)
    if dyad.success_time is None:
        return last
    then = sessions_to_success(dyad)
    stayed = jnp.zeros_like(dyad.dropped_out)
    earned = reward(dyad.replace(time=then, dropped_out=stayed), params)
    return last + jnp.where(dyad.success & (then < dyad.time), earned, 0.0)
