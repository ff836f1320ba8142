"""Therapy as a reinforcement-learning problem: rewards, observations, environments.

:class:`~jaxtherapy.envs.therapy.TherapyEnv` is the gymnax face; it is imported only where it is
asked for, because gymnax is an extra and takes seconds to import.
"""
