"""What a therapist may see, and how often each exchange has happened in all sessions so far."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float32

from jaxtherapy.client.dyad import HISTORY_SESSIONS, Dyad, Observation
from jaxtherapy.client.dyad import observe as observe_history
from jaxtherapy.client.params import ClientParams
from jaxtherapy.envs.observations import View


class CountedObservation(NamedTuple):
    """The ordinary observation and what it has forgotten.

    Attributes:
        recent: the act to answer, the session's number, the last 25 sessions.
        counts: ``log(1 + n)`` of each exchange, client acts by answers; 1 where n is 25.
    """

    recent: Observation
    counts: Float32[Array, "8 8"]


def observe(dyad: Dyad, params: ClientParams) -> CountedObservation:
    """Of a dyad whose exchanges are counted (:func:`jaxtherapy.client.dyad.counted`)."""
    if dyad.exchanges is None:
        raise ValueError("the dyad's exchanges are not counted; begin with jaxtherapy's counted()")
    counts = jnp.log1p(dyad.exchanges.astype(jnp.float32)) / jnp.log1p(HISTORY_SESSIONS)
    return CountedObservation(observe_history(dyad, params), counts.astype(jnp.float32))


view = View(observe, encoder="history_counts", counts=True)
