"""Therapies worth watching: a handful per therapist, for a replay."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxtherapy.evaluation.course import Therapies
from jaxtherapy.evaluation.grid import Outcomes
from jaxtherapy.evaluation.results import CellInfo, Episode

N_SHARED = 2


def choose(
    success: Bool[np.ndarray, " n"],
    dropout: Bool[np.ndarray, " n"],
    sessions: Int[np.ndarray, " n"],
    final_rs: Float[np.ndarray, " n"],
) -> Iterator[tuple[str, int]]:
    """Reason and place of each chosen therapy; a reason without a therapy is left out."""
    for place in range(min(N_SHARED, len(success))):
        yield "shared", place
    succeeded = np.flatnonzero(success)
    if succeeded.size:
        by_length = succeeded[np.argsort(sessions[succeeded], kind="stable")]
        yield "fastest success", int(by_length[0])
        yield "typical success", int(by_length[len(by_length) // 2])
    ran_out = np.flatnonzero(~success & ~dropout)
    if ran_out.size:
        by_rs = ran_out[np.argsort(final_rs[ran_out], kind="stable")]
        yield "typical failure", int(by_rs[len(by_rs) // 2])
    dropped = np.flatnonzero(dropout)
    if dropped.size:
        yield "dropout", int(dropped[0])


def chosen_episodes(
    therapist: str,
    cells: Sequence[CellInfo],
    clients: Int[np.ndarray, " n"],
    ends: Outcomes,
    therapies: Therapies,
) -> list[Episode]:
    """Of the therapies of one therapist, each with its end and the number of its client.

    Shared are the first therapies of the first cells, the same for every therapist.
    """
    # Cells alternate, so that the shared ones come from different cells.
    first = np.searchsorted(therapies.cell, therapies.cell)
    order = np.lexsort((therapies.cell, np.arange(len(first)) - first))
    told = ends.at(order)
    return [
        _episode(therapist, reason, order[place], cells, clients, ends, therapies)
        for reason, place in choose(told.success, told.dropout, told.sessions, told.rs)
    ]


def _episode(
    therapist: str,
    reason: str,
    place: int,
    cells: Sequence[CellInfo],
    clients: Int[np.ndarray, " n"],
    ends: Outcomes,
    therapies: Therapies,
) -> Episode:
    cell, held = cells[therapies.cell[place]], therapies.held[place]
    outcome = "success" if ends.success[place] else "out of sessions"
    return Episode(
        therapist=therapist,
        cell=cell.id,
        client=int(clients[place]),
        reason=reason,
        outcome="dropout" if ends.dropout[place] else outcome,
        sessions=int(ends.sessions[place]),
        threshold=cell.threshold,
        reward=float(ends.reward[place]),
        initial_rs=round(float(therapies.initial_rs[place]), 4),
        initial_bond=round(float(therapies.initial_bond[place]), 4),
        client_act=therapies.client_act[place][held].tolist(),
        therapist_act=therapies.therapist_act[place][held].tolist(),
        heard_act=therapies.heard_act[place][held].tolist(),
        rs=np.round(therapies.rs[place][held].astype(float), 4).tolist(),
        bond=np.round(therapies.bond[place][held], 4).tolist(),
    )
