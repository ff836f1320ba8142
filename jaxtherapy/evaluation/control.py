"""The stationary control of the shape test: a therapist that never changes.

Therapies stop at success, so their last sessions are selected, and their first ones by what made
them last: even a therapist who answers the same way throughout can look high–low–high. Its control
answers each client act with the therapist's own pooled P(act | client act) in that kind of client,
the same way in every session, treats the same clients and is stopped by the same rules. Only what
a therapist shows beyond its control is a course.

Both draw their acts independently. If the therapist is as stationary as its control the two are
exchangeable given the client, and so are those pairs of therapies in which both were long, or both
succeeded: their differences then average 0, whatever the selection does to each. The table is
pooled over clients: a therapist who answers each client by a table of its own may exceed its
control without changing.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from jaxtherapy.client.dyad import Dyad
from jaxtherapy.client.expectations import choose_act
from jaxtherapy.client.octants import N_OCTANTS
from jaxtherapy.client.therapists import Answer, Therapist, as_therapist, taking_turns
from jaxtherapy.evaluation.course import Therapies, therapies_of
from jaxtherapy.evaluation.grid import Candidate, Design, Programs, play_some
from jaxtherapy.evaluation.results import TherapistInfo
from jaxtherapy.evaluation.stream import Cell, Family

_STREAM = 0x5457
"""Sets a control's draws apart from those of its therapist."""


def stationary(key: PRNGKeyArray, dyad: Dyad, params: Cell) -> Int[Array, ""]:
    """Draws from the row of the client's act, whatever else is the case."""
    point = jax.random.uniform(jax.random.fold_in(key, _STREAM))
    return choose_act(point, jnp.log(params.answers[dyad.client_act]))


def untrained(therapists: Sequence[Therapist | Answer]) -> Family:
    """Therapists without weights, by number from 1, as one program; number 0 is the control."""
    everyone = [as_therapist(each) for each in (stationary, *therapists)]

    def family(number: PyTree) -> Therapist:
        return taking_turns(everyone, number)

    return family


def response_tables(therapies: Therapies, n_cells: int) -> Float[np.ndarray, "cells 8 8"]:
    """P(act | client act) in each cell, its sessions pooled.

    An act that no client of a cell showed is answered as in all cells, or by any octant.
    """
    n_pairs = N_OCTANTS**2
    pair = therapies.client_act * N_OCTANTS + therapies.therapist_act
    code = (therapies.cell[:, None] * n_pairs + pair)[therapies.held]
    counts = np.bincount(code, minlength=n_cells * n_pairs).reshape(n_cells, N_OCTANTS, N_OCTANTS)
    for instead in (counts.sum(0), np.ones((N_OCTANTS, N_OCTANTS), int)):
        counts = np.where(counts.sum(-1, keepdims=True) > 0, counts, instead)
    return (counts / counts.sum(-1, keepdims=True)).astype(np.float32)


def control(family: Family) -> Candidate:
    """The control of :func:`untrained`'s family."""
    return Candidate(TherapistInfo.alone("control", "control"), family, np.int32(0))


def control_of(
    therapies: Therapies, programs: Programs, family: Family, design: Design
) -> Therapies:
    """The therapies of a therapist's control, with the clients of ``therapies``, the recorded;
    the family is :func:`untrained`'s, one that ``programs`` has compiled."""
    tables = response_tables(therapies, len(design.cells))
    played = play_some(programs, control(family), *design.recorded, answers=tables)
    return therapies_of(design, played.outcomes, played.records)
