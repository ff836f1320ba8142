"""A number and how sure it is."""

from dataclasses import dataclass


@dataclass
class Estimate:
    """A number with its interval (``Evaluation.settings["confidence"]``) and standard error."""

    estimate: float | None
    low: float | None
    high: float | None
    se: float | None = None
