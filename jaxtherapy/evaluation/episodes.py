"""Therapies worth watching: a handful per therapist, for a replay."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxtherapy.evaluation.course import Therapies, bond_at, decode
from jaxtherapy.evaluation.grid import Outcomes, Record
from jaxtherapy.evaluation.results import Episode

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
    cell_ids: list[str],
    thresholds: list[float],
    clients: Int[np.ndarray, "cells recorded"],
    outcomes: Outcomes,
    records: Record,
    alpha: float,
    offset: float,
) -> list[Episode]:
    """From outcomes (cells, recorded clients) and records (sessions, cells, recorded clients).

    Shared are the first recorded clients of the first cells, the same for every therapist.
    """
    # Cells alternate, so that the shared ones come from different cells.
    acts, rs = (np.swapaxes(part, 1, 2) for part in records)
    ends = Outcomes(*(part.T for part in outcomes))
    therapies = decode(acts, rs, ends.initial_rs, ends.success)
    flat = Outcomes(*(part.reshape(-1) for part in ends))
    numbers = clients.T.reshape(-1)
    return [
        _episode(
            therapist,
            int(numbers[place]),
            place,
            reason,
            cell_ids,
            thresholds,
            therapies,
            flat,
            alpha,
            offset,
        )
        for reason, place in choose(flat.success, flat.dropout, flat.sessions, flat.rs)
    ]


def _episode(
    therapist: str,
    client: int,
    place: int,
    reason: str,
    cell_ids: list[str],
    thresholds: list[float],
    therapies: Therapies,
    flat: Outcomes,
    alpha: float,
    offset: float,
) -> Episode:
    cell = place % len(cell_ids)
    held = therapies.held[place]
    rs = therapies.rs[place][held].astype(float)
    initial = float(therapies.initial_rs[place])
    outcome = "success" if flat.success[place] else "out of sessions"
    return Episode(
        therapist=therapist,
        cell=cell_ids[cell],
        client=client,
        reason=reason,
        outcome="dropout" if flat.dropout[place] else outcome,
        sessions=int(flat.sessions[place]),
        threshold=thresholds[cell],
        reward=float(flat.reward[place]),
        initial_rs=round(initial, 4),
        initial_bond=round(float(bond_at(np.array(initial), alpha, offset)), 4),
        client_act=therapies.client_act[place][held].tolist(),
        therapist_act=therapies.therapist_act[place][held].tolist(),
        heard_act=therapies.heard_act[place][held].tolist(),
        rs=np.round(rs, 4).tolist(),
        bond=np.round(bond_at(rs, alpha, offset), 4).tolist(),
    )
