"""The actor-critic (Flax NNX): from what is seen to acts and values."""

from jaxtherapy.discovery import lazily

_NAMES = {
    "Actor": "jaxtherapy.networks.actor_critic",
    "ActorCritic": "jaxtherapy.networks.actor_critic",
    "Critic": "jaxtherapy.networks.actor_critic",
    "N_FEATURES": "jaxtherapy.networks.encoders.history",
    "Precision": "jaxtherapy.networks.layers",
    "TherapyNet": "jaxtherapy.networks.encoders.history",
    "make_therapy_networks": "jaxtherapy.networks.actor_critic",
}
__all__ = sorted(_NAMES)
__getattr__ = lazily(__name__, _NAMES)
