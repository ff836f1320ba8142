"""One number of each of many therapies, by client."""

import numpy as np
from jaxtyping import Float, Int

from jaxtherapy.evaluation.grid import Candidate, Programs, play_some
from jaxtherapy.studies.questions import OUTCOMES

_AT_ONCE = 100_000
"""Therapies whose records are kept in memory."""


def outcome_of(
    programs: Programs,
    candidate: Candidate,
    cell: Int[np.ndarray, " n"],
    client: Int[np.ndarray, " n"],
    outcome: str,
) -> Float[np.ndarray, " n"]:
    """An outcome of one therapist's therapies with these clients, in their order."""
    parts = []
    for start in range(0, len(cell), _AT_ONCE):
        here = slice(start, start + _AT_ONCE)
        ended, _ = play_some(programs, candidate, cell[here], client[here])
        parts.append(np.asarray(getattr(ended, OUTCOMES[outcome]), float))
    return np.concatenate(parts)
