"""The planner with an evaluation's first clients: what knowledge and strategy are worth together.

It costs about half a million simulated sessions per therapy, and so treats few clients.
"""

import time
from collections.abc import Callable
from concurrent.futures import wait
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from jaxtherapy.client.therapists import as_therapist
from jaxtherapy.envs.planner import Planner
from jaxtherapy.evaluation.grid import SLOW, Candidate, Design, Grid, Programs, play_grid
from jaxtherapy.evaluation.outcomes import Outcomes
from jaxtherapy.evaluation.results import TherapistInfo

if TYPE_CHECKING:
    from jaxtherapy.evaluation.evaluation import Request

NAME = "planner"
N_CLIENTS = 400


@dataclass(frozen=True)
class Planned:
    """What the planner reached with the first clients of each cell: outcomes (1, cells,
    clients), as one of the therapists, and the seconds that it took."""

    planner: Planner
    candidate: Candidate
    outcomes: Outcomes
    seconds: float

    def beside(self, grid: Grid) -> Grid:
        """The outcomes of the others with the same clients, and these as the last."""
        n_clients = self.outcomes.success.shape[-1]
        pairs = zip(grid.outcomes, self.outcomes, strict=True)
        outcomes = (np.concatenate([theirs[..., :n_clients], ours]) for theirs, ours in pairs)
        return grid._replace(outcomes=Outcomes(*outcomes))


def candidate_of(planner: Planner, at_once: int = SLOW) -> Candidate:
    """The planner as a therapist; few ``at_once``, so that one can see how far it is."""
    therapist = as_therapist(planner.therapist())
    return Candidate(TherapistInfo.alone(NAME), lambda weights: therapist, at_once=at_once)


def plan_therapies(
    request: "Request",
    planner: Planner,
    n_clients: int,
    tell_seconds: Callable[[float], None] = lambda seconds: None,
    advance: Callable[[int], None] = lambda therapies: None,
) -> Planned:
    """Plays the planner with the first ``n_clients`` of each cell; they have the same numbers in
    the evaluation. ``tell_seconds`` hears, after a first batch, about how long it will take,
    ``advance`` of therapies held."""

    n_cells = len(request.cells)
    design = Design(request.clients, n_clients, request.design.key, [0] * n_cells)
    candidate = candidate_of(planner)
    with Programs(design, [candidate]) as programs:
        programs.wait()
        started = time.perf_counter()
        some = np.arange(min(SLOW, n_clients))
        wait(list(programs.start(candidate, np.zeros_like(some), some)))
        each = (time.perf_counter() - started) / len(some)
        tell_seconds(each * n_cells * n_clients / programs.n_workers)
        outcomes = play_grid(programs, [candidate], design, advance).outcomes
        seconds = time.perf_counter() - started
    return Planned(planner, candidate, outcomes, seconds)
