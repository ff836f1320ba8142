"""The simulated client: the model of a person, without any reinforcement learning.

>>> import jax
>>> from jaxtherapy.client import ClientParams, simulate, therapists
>>> params = ClientParams(threshold=0.7)
>>> dyads = simulate(jax.random.key(0), params, therapists.complementary, n_dyads=1_000)
>>> bool(dyads.success.mean() > 0.5)
True
"""

from jaxtherapy.discovery import lazily

_MODULES = {
    "client": "Client",
    "dyad": "Dyad Observation hold_session intake observe",
    "mechanisms": "MECHANISMS",
    "octants": "OCTANTS",
    "params": "ClientParams",
    "patterns": "PATTERNS pattern_weights",
    "population": "draw draw_numbers",
    "simulation": "simulate simulate_course",
    "therapists": "Therapist therapists",
    "utilities": "NAMED_MATRICES",
}
_NAMES = {
    name: f"{__name__}.{module}" for module, names in _MODULES.items() for name in names.split()
}
__all__ = sorted(_NAMES)
__getattr__ = lazily(__name__, _NAMES)
