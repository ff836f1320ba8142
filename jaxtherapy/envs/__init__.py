"""The client as a reinforcement-learning environment.

:class:`~jaxtherapy.envs.therapy.TherapyEnv` is the gymnax face. It is not imported here because
importing gymnax takes seconds (plotting libraries), which training does not need.
"""
