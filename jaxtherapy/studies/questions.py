"""What studies ask of whole therapies. Without JAX, so that commands know it at once."""

OUTCOMES = {
    "success": "success",
    "dropout": "dropout",
    "near_miss": "near_miss",
    "relapse": "relapse",
    "reward": "reward",
    "sessions": "sessions",
    "final_rs": "rs",
    "bond": "bond",
}
"""By the name that users give, the field of :class:`~jaxtherapy.evaluation.outcomes.Outcomes`."""

BINARY = ("success", "dropout", "near_miss", "relapse")

METHODS = ("sobol", "morris")
"""Of sensitivity."""
