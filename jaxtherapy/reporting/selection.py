"""Which therapists of many are drawn and told in full."""

import math

from jaxtherapy.evaluation.results import Evaluation

MOST_FOLLOWED = 8
"""Therapists whose course, trajectories and response maps are drawn."""


def median_seeds(evaluation: Evaluation) -> list[str]:
    """Of each group the seed with the median reward; the reference is always among them."""
    overall = evaluation.overall

    def reward(therapist: str) -> float:
        estimate = overall[therapist]["reward"].estimate if overall else None
        return -math.inf if estimate is None else estimate

    by_reward = (sorted(group.therapists, key=reward) for group in evaluation.groups)
    chosen = [therapists[(len(therapists) - 1) // 2] for therapists in by_reward]
    reference = evaluation.settings["reference"]
    first = chosen[:MOST_FOLLOWED]
    if reference in chosen and reference not in first:
        first[-1] = reference
    return first


def followed(evaluation: Evaluation) -> list[str]:
    """Therapists whose course is shown."""
    known = evaluation.courses_by_therapist
    return [name for name in median_seeds(evaluation) if name in known]
