"""The client as `Gymnasium <https://gymnasium.farama.org>`_ environments; needs the extra.

Importing this registers ``jaxtherapy/Therapy-v0``; an id may ask for the import:

>>> import gymnasium
>>> env = gymnasium.make("jaxtherapy.gym:jaxtherapy/Therapy-v0", threshold=0.6)
>>> envs = gymnasium.make_vec("jaxtherapy/Therapy-v0", num_envs=1024)
"""

try:
    import gymnasium as _gymnasium
except ModuleNotFoundError:
    raise ImportError(
        "jaxtherapy.gym needs Gymnasium: pip install 'jaxtherapy[gymnasium]'", name="gymnasium"
    ) from None

ID = "jaxtherapy/Therapy-v0"

if ID not in _gymnasium.registry:
    _gymnasium.register(
        ID,
        entry_point="jaxtherapy.gym.therapy:Therapy",
        vector_entry_point="jaxtherapy.gym.therapies:Therapies",
    )
