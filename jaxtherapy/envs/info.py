"""What environments tell beside the observation: for analyses, not for the therapist."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Int, Int8

from jaxtherapy.client import client as clients
from jaxtherapy.client.dyad import HISTORY_PADDING, Dyad, truncated
from jaxtherapy.client.params import ClientParams

NO_ACT = HISTORY_PADDING
"""Of whoever has not acted yet."""


def info(
    dyad: Dyad,
    params: ClientParams,
    client_act: Int[Array, "*dyads"] | int = NO_ACT,
    therapist_act: Int[Array, "*dyads"] | int = NO_ACT,
) -> dict[str, Any]:
    """Of dyads as they are after a session, or at intake; the acts are those of that session."""

    def act(given: Any) -> Int8[Array, "*dyads"]:
        return jnp.broadcast_to(jnp.asarray(given, jnp.int8), dyad.time.shape)

    return {
        "session": dyad.time,
        "rs": dyad.client.rs,
        "bond": dyad.client.bond,
        "client_action": act(client_act),
        "therapist_action": act(therapist_act),
        "heard_action": dyad.heard_act,
        "success": dyad.success,
        "dropped_out": dyad.dropped_out,
        "max_reached": truncated(dyad, params),
        "pattern": dyad.pattern,
        "initial_rs": dyad.initial_rs,
        "rs_threshold": clients.rs_threshold(dyad.client, params.numbers_of(dyad).threshold),
    }
