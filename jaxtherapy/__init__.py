"""Reinforcement-learning therapists against a simulated therapy client, end to end in JAX.

Rooms, in the order in which they may import each other (a room imports only from rooms above it):

* :mod:`jaxtherapy.errors`, :mod:`jaxtherapy.config`: what can go wrong; every setting, once.
* :mod:`jaxtherapy.fast`: what exists for speed alone, each piece with a plain twin.
* :mod:`jaxtherapy.client`: the model of a person, without reinforcement learning.
* :mod:`jaxtherapy.envs`: rewards, observations, the gymnax environment.
* :mod:`jaxtherapy.networks`: the actor-critic (Flax NNX).
* :mod:`jaxtherapy.ppo`: the algorithm.
* :mod:`jaxtherapy.devices`: where runs are computed: devices, hosts, memory, compiled programs.
* :mod:`jaxtherapy.storage`: files: folders of runs, logs, checkpoints, ``.pth``.
* :mod:`jaxtherapy.evaluation`: therapists compared, the course of therapy, statistics.
* :mod:`jaxtherapy.reporting`: figures, tables, the report.
* :mod:`jaxtherapy.training`: the life of a run.
* :mod:`jaxtherapy.cli`: the commands.

This file imports nothing, so that light tools (the ``.pth`` reader) load without JAX.
"""

__version__ = "0.1.0"
