"""The best fixed map for some clients: searched one answer at a time, from complementarity on.

Every map treats the same clients, so differences between maps are paired. They are other clients
than those that an evaluation with the same seed meets.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int, PyTree

from jaxtherapy.client.baselines import map_name
from jaxtherapy.client.octants import COMPLEMENT, N_OCTANTS
from jaxtherapy.client.params import ClientParams
from jaxtherapy.client.therapists import Therapist, as_therapist, fixed_map
from jaxtherapy.devices.pinned import pinned
from jaxtherapy.evaluation.candidates import Panel
from jaxtherapy.evaluation.grid import Candidate, Design, Programs, play_some
from jaxtherapy.evaluation.outcomes import Outcomes
from jaxtherapy.evaluation.policies import unused
from jaxtherapy.evaluation.results import TherapistInfo

Answers = Int[np.ndarray, "8"]
Score = Callable[[Sequence[Answers]], Float[np.ndarray, " maps"]]

SWEEPS = 3
"""Times over all client acts that a budget allows for."""

MAPS = SWEEPS * N_OCTANTS * (N_OCTANTS - 1) + 1

STREAM = 0x4D4150
"""Sets the clients of a search apart from those of evaluations and trainings."""

_VALUE_OF_RS = 0.4
"""Of a client's whole range of RS, in successes: guides the search where hardly anyone succeeds."""


@dataclass(frozen=True)
class FittedMap:
    """A map that was searched for: the answer to each client act; the share of successes of it
    and of complementarity in the search, with ``clients`` of each kind and in all ``therapies``;
    and the seed that decided the clients."""

    answers: list[int]
    success: float
    complementary: float
    clients: int
    therapies: int
    seed: int


def coordinate_search(score: Score, start: Answers, most: int) -> Answers:
    """Changes one answer at a time to the best of the eight, until no change helps, or before
    more than ``most`` maps would be scored. The score of a map, higher is better, is the same
    every time."""
    return coordinate_searches(lambda maps: score(list(maps[0]))[None], start[None], most)[0]


def coordinate_searches(
    score: Callable[[Int[np.ndarray, "kinds maps 8"]], Float[np.ndarray, "kinds maps"]],
    start: Int[np.ndarray, "kinds 8"],
    most: int,
) -> Int[np.ndarray, "kinds 8"]:
    """:func:`coordinate_search` for several kinds of clients side by side."""
    best = np.array(start)
    highest, scored = score(best[:, None])[:, 0], 1
    unchanged, place, kinds = np.zeros(len(best), int), 0, np.arange(len(best))
    while np.any(unchanged < N_OCTANTS) and scored + N_OCTANTS - 1 <= most:
        others = np.repeat(best[:, None], N_OCTANTS - 1, 1)
        others[..., place] = np.sort((best[:, place, None] + np.arange(1, N_OCTANTS)) % N_OCTANTS)
        scores = score(others)
        leader, scored = np.argmax(scores, 1), scored + N_OCTANTS - 1
        better = scores[kinds, leader] > highest  # never where no change has helped 8 times
        best = np.where(better[:, None], others[kinds, leader], best)
        highest = np.where(better, scores[kinds, leader], highest)
        unchanged = np.where(better, 1, unchanged + 1)
        place = (place + 1) % N_OCTANTS
    return best


def family_of_maps(answers: PyTree) -> Therapist:
    """The therapist of a map: one program plays every map."""
    return as_therapist(fixed_map(answers))


def any_map() -> Candidate:
    """A therapist that answers by another map in each therapy."""
    info = TherapistInfo.alone("fixed_map")
    return Candidate(info, family_of_maps, COMPLEMENT.astype(np.int8), anew=True)


def play_maps(
    programs: Programs,
    who: Candidate,
    maps: Int[np.ndarray, "kinds maps 8"],
    cells: Int[np.ndarray, " kinds"],
    n_clients: int,
    **more: Any,
) -> Outcomes:
    """Maps of :func:`any_map` with the first clients of each cell, by cell, map and client."""
    shape = *maps.shape[:2], n_clients
    kind, number, client = (each.ravel() for each in np.indices(shape))
    weights = maps[kind, number].astype(np.int8)
    played = play_some(programs, who, cells[kind], client, weights=weights, **more)
    return jax.tree.map(lambda x: x.reshape(shape), played.outcomes)


@pinned()
def fit_map(
    clients: Sequence[ClientParams],
    budget: int,
    seed: int,
    weights: Sequence[int] | None = None,
    advance: Callable[[int], None] = lambda therapies: None,
) -> FittedMap:
    """The map with the most successes in a search.

    Args:
        clients: kinds of clients; successes are averaged over them, by ``weights``.
        budget: therapies at most.
        seed: decides the clients and everything that happens to them.
        advance: is told of therapies held.

    Raises:
        ValueError: the budget is too small for one client of each kind.
    """
    n_clients = budget // (MAPS * len(clients))
    if n_clients < 1:
        raise ValueError(f"the budget is {budget}, must be at least {MAPS * len(clients)}")
    key = jax.random.fold_in(jax.random.key(seed), STREAM)
    design = Design(clients, n_clients, key, [0] * len(clients))
    successes: list[tuple[Answers, float]] = []

    who = any_map()
    with Programs(design, [who]) as programs:

        def score(maps: Sequence[Answers]) -> Float[np.ndarray, " maps"]:
            everywhere = np.stack([np.stack(maps)] * len(clients))
            outcomes = play_maps(programs, who, everywhere, np.arange(len(clients)), n_clients)
            advance(outcomes.success.size)
            shares = np.average(outcomes.success.mean(-1), axis=0, weights=weights)
            successes.extend(zip(maps, shares.tolist(), strict=True))
            return np.average(search_score(outcomes).mean(-1), axis=0, weights=weights)

        best = coordinate_search(score, COMPLEMENT, MAPS)
    of_best = next(share for answers, share in successes if np.array_equal(answers, best))
    return FittedMap(
        answers=best.tolist(),
        success=of_best,
        complementary=successes[0][1],
        clients=n_clients,
        therapies=len(successes) * n_clients * len(clients),
        seed=seed,
    )


def search_score(outcomes: Outcomes) -> Float[np.ndarray, "*shape"]:
    """What a search makes most of: success, and in failures how near RS came."""
    return np.where(outcomes.success, 1.0, _VALUE_OF_RS * (outcomes.rs - 1))


def with_map(panel: Panel, fitted: FittedMap) -> Panel:
    """The therapists, and the map that was found as ``fixed_map``."""
    name = unused("fixed_map", {each.id for each in panel.therapists})
    info = TherapistInfo(name, "fixed map", "baseline", name, answers=map_name(fitted.answers))
    candidate = Candidate(info, family_of_maps, np.array(fitted.answers, np.int8))
    return replace(panel, candidates=[*panel.candidates, candidate])
