"""Reinforcement-learning therapists against a simulated therapy client, end to end in JAX.

Rooms of the house:

* :mod:`jaxtherapy.client`: the model of a person. Pure functions, no reinforcement learning.
* :mod:`jaxtherapy.envs`: the client as a gymnax environment.
* :mod:`jaxtherapy.networks`: the actor-critic (Flax NNX).
* :mod:`jaxtherapy.agents`: PPO and evaluation as pure functions on pytrees.
* :mod:`jaxtherapy.training`: the host loop around them: files, clocks, progress, signals.
* :mod:`jaxtherapy.config`: every setting, its default and its bounds.

This file imports nothing, so that light tools (the ``.pth`` reader) load without JAX.
"""

__version__ = "0.1.0"
