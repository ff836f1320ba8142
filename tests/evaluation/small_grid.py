"""Grids of few therapies."""

import numpy as np

from jaxtherapy.evaluation.candidates import Panel
from jaxtherapy.evaluation.control import untrained
from jaxtherapy.evaluation.grid import Candidate, Design, Programs, play_grid
from jaxtherapy.evaluation.results import TherapistInfo


def candidate(family, weights=(), trusted=True, name="x"):
    return Candidate(TherapistInfo(name, name, "custom", name), family, weights, trusted)


def panel_of(*therapists):
    """Therapists without weights."""
    family = untrained(therapists)
    numbers = range(1, len(therapists) + 1)
    return Panel([candidate(family, np.int32(n), name=f"x{n}") for n in numbers], family)


def play(panel, cells, n_clients, n_recorded, key, then=lambda programs, grid, design: grid):
    """The grid, or what ``then`` makes of it while programs are there."""
    design = Design(cells, n_clients, key, [n_recorded] * len(cells))
    with Programs(design, panel.everyone) as programs:
        grid = play_grid(programs, panel.candidates, design)
        return then(programs, grid, design)
