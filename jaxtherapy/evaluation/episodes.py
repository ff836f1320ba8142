"""Therapies worth watching: a handful per therapist, for a replay."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxtherapy.evaluation.course import Therapies
from jaxtherapy.evaluation.outcomes import Outcomes
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
    threshold_of: Callable[[int, int], float],
) -> list[Episode]:
    """Of the therapies of one therapist, each with its end and the number of its client.

    Shared are the first therapies of the first cells, the same for every therapist.
    ``threshold_of`` a cell's place and a client's number is that client's own.
    """
    # Cells alternate, so that the shared ones come from different cells.
    first = np.searchsorted(therapies.cell, therapies.cell)
    order = np.lexsort((therapies.cell, np.arange(len(first)) - first))
    ends, therapies, clients = ends.at(order), therapies.where(order), clients[order]
    episodes = []
    for reason, place in choose(ends.success, ends.dropout, ends.sessions_to_success, ends.rs):
        end, therapy = ends.at(place), therapies.where(place)
        cell, client, held = int(therapy.cell), int(clients[place]), therapy.held
        outcome = "success" if end.success else "out of sessions"
        episode = Episode(
            therapist=therapist,
            cell=cells[cell].id,
            client=client,
            reason=reason,
            outcome="dropout" if end.dropout else outcome,
            sessions=int(end.sessions),
            threshold=threshold_of(cell, client),
            reward=float(end.reward),
            initial_rs=round(float(therapy.initial_rs), 4),
            initial_bond=round(float(therapy.initial_bond), 4),
            client_act=therapy.client_act[held].tolist(),
            therapist_act=therapy.therapist_act[held].tolist(),
            heard_act=therapy.heard_act[held].tolist(),
            rs=np.round(therapy.rs[held].astype(float), 4).tolist(),
            bond=np.round(therapy.bond[held], 4).tolist(),
        )
        episodes.append(episode)
    return episodes
