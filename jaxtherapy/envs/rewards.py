"""What a session is worth to the therapist: nothing, unless it brings success or dropout."""

import jax.numpy as jnp
from jaxtyping import Array, Float32

from jaxtherapy.client.dyad import Dyad, just_succeeded
from jaxtherapy.client.params import ClientParams
from jaxtherapy.client.population import ends
from jaxtherapy.fast.promotion import ordinary


@ordinary
def reward(dyad: Dyad, params: ClientParams) -> Float32[Array, "*dyads"]:
    """−150 for dropout, ``100 + 2·(max_sessions − sessions)`` for success, 0 otherwise; all three
    numbers are settings."""
    params = params.numbers_of(dyad)
    saved = params.max_sessions - dyad.time
    earned = params.success_reward + params.reward_per_session_saved * saved
    earned = jnp.where(just_succeeded(dyad), earned, 0.0)
    return jnp.where(dyad.dropped_out, params.dropout_reward, earned).astype(jnp.float32)


def outcome_range(params: ClientParams) -> tuple[Float32[Array, ""], Float32[Array, ""]]:
    """The least and the most that a therapy with such clients pays, discounted or not."""
    latest = ends(params.success_reward)
    saved = jnp.outer(ends(params.reward_per_session_saved), ends(params.max_sessions) - 1)
    earliest = jnp.add.outer(latest, saved)
    dropout = ends(params.dropout_reward)
    paid = [jnp.zeros(1), dropout, latest, jnp.ravel(earliest)]
    if not params.stop_at_success:  # a client may leave after it
        paid += [jnp.ravel(jnp.add.outer(each, dropout)) for each in paid[2:]]
    outcomes = jnp.concatenate(paid).astype(jnp.float32)
    return jnp.min(outcomes), jnp.max(outcomes)
