"""Reinforcement-learning therapists against a simulated therapy client, end to end in JAX.

Rooms of the house; the core first, pure functions on pytrees:

* :mod:`jaxtherapy.client`: the model of a person, without reinforcement learning.
* :mod:`jaxtherapy.envs`: the client as a gymnax environment, and its rewards.
* :mod:`jaxtherapy.networks`: the actor-critic (Flax NNX); :mod:`jaxtherapy.first_layer` makes its
  first layer fast.
* :mod:`jaxtherapy.agents`: PPO and evaluation.
* :mod:`jaxtherapy.compiling`: what XLA has to be told.

Around it the shell, with files, clocks, progress and signals:

* :mod:`jaxtherapy.training`: the host loop, checkpoints, logs, devices and hosts.
* :mod:`jaxtherapy.analysis`: evaluation and its report; what only computes belongs to the core.
* :mod:`jaxtherapy.config`: every setting, its default and its bounds.
* :mod:`jaxtherapy.torch_weights`: PyTorch's file format, without PyTorch.
* :mod:`jaxtherapy.train`, ``evaluate``, ``report``, ``play`` and ``convert``: the commands.

This file imports nothing, so that light tools (the ``.pth`` reader) load without JAX.
"""

__version__ = "0.1.0"
