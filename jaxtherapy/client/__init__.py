"""The simulated client: the model of a person, without any reinforcement learning.

>>> import jax
>>> from jaxtherapy.client import ClientParams, simulate, therapists
>>> params = ClientParams(threshold=0.7)
>>> dyads = simulate(jax.random.key(0), params, therapists.complementary, n_dyads=1_000)
>>> bool(dyads.success.mean() > 0.5)
True
"""

from jaxtherapy.discovery import lazily

_ROOM = "jaxtherapy.client"
_NAMES = {
    "therapists": f"{_ROOM}.therapists",
    "Client": f"{_ROOM}.client",
    "ClientParams": f"{_ROOM}.params",
    "Dyad": f"{_ROOM}.dyad",
    "MECHANISMS": f"{_ROOM}.mechanisms",
    "NAMED_MATRICES": f"{_ROOM}.utilities",
    "OCTANTS": f"{_ROOM}.octants",
    "Observation": f"{_ROOM}.dyad",
    "PATTERNS": f"{_ROOM}.patterns",
    "Therapist": f"{_ROOM}.therapists",
    "hold_session": f"{_ROOM}.dyad",
    "intake": f"{_ROOM}.dyad",
    "observe": f"{_ROOM}.dyad",
    "pattern_weights": f"{_ROOM}.patterns",
    "simulate": f"{_ROOM}.simulation",
    "simulate_course": f"{_ROOM}.simulation",
}
__all__ = sorted(_NAMES)
__getattr__ = lazily(__name__, _NAMES)
