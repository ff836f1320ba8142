"""What studies ask of whole therapies. Without JAX, so that commands know it at once."""

BINARY = ("success", "dropout", "near_miss", "relapse")
OUTCOMES = (*BINARY, "reward", "sessions", "final_rs", "bond")
"""Metrics of :mod:`jaxtherapy.evaluation.statistics`."""

METHODS = ("sobol", "morris")
"""Of sensitivity."""
