"""Streamed therapies are those of simulations, whoever's lane they are in."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxtherapy.client.params import client_params
from jaxtherapy.client.simulation import simulate
from jaxtherapy.client.therapists import as_therapist, checked, fixed_map, random
from jaxtherapy.config import TrainingConfig
from jaxtherapy.errors import RunError
from jaxtherapy.evaluation import grid
from jaxtherapy.evaluation.grid import Candidate, Design, Programs, play_some
from jaxtherapy.evaluation.map_search import family_of_maps
from jaxtherapy.evaluation.outcomes import ending
from jaxtherapy.evaluation.results import TherapistInfo

KEY = jax.random.key(3)
# Of every length: two kinds that differ in all the ways that kinds can.
KINDS = [
    client_params(TrainingConfig(**settings, patterns=patterns))
    for settings, patterns in (
        ({"threshold": 0.45, "max_sessions": 30, "dropout_session": 4}, ("cold_warm",)),
        ({"threshold": 0.4, "max_sessions": 13, "entropy": 0.2}, ("conflictual",)),
    )
]
N = 23
PAIRS = [pair.reshape(-1) for pair in np.meshgrid([0, 1], np.arange(N), indexing="ij")]


INFO = TherapistInfo.alone("x")


def play(who, **more):
    with Programs(Design(KINDS, N, KEY, []), [who]) as programs:
        return play_some(programs, who, *PAIRS, **more).outcomes


def alone(therapist, kind):
    """As :func:`jaxtherapy.simulate` has it, kind by kind and all in lockstep."""
    params = KINDS[kind]
    ended = jax.jit(lambda: simulate(KEY, params, therapist, N))()
    return jax.vmap(lambda dyad: ending(dyad, params))(ended)


@pytest.fixture(scope="module")
def in_lockstep():
    return [alone(random, kind) for kind in (0, 1)]


@pytest.mark.parametrize("n_lanes", [5, 64], ids=["few lanes", "more lanes than therapies"])
def test_they_end_as_they_do_in_lockstep(n_lanes, in_lockstep, monkeypatch):
    monkeypatch.setattr(grid, "LANES", {"cpu": n_lanes, "gpu": n_lanes})
    played = play(Candidate(INFO, lambda weights: as_therapist(random)))
    for kind, expected in enumerate(in_lockstep):
        for ours, theirs in zip(played, expected, strict=True):
            if theirs is None:  # what ends don't tell; see test_grid
                continue
            np.testing.assert_allclose(ours[kind * N : (kind + 1) * N], theirs, rtol=1e-5)
    assert len(np.unique(played.sessions)) > 5
    assert played.success.any() and played.dropout.any()


def test_a_therapist_may_be_another_in_each_therapy(monkeypatch):
    maps = np.array([[2, 1, 0, 7, 6, 5, 4, 3], [0, 0, 0, 0, 2, 2, 2, 2]], np.int8)
    monkeypatch.setattr(grid, "LANES", {"cpu": 5, "gpu": 5})
    played = play(Candidate(INFO, family_of_maps, maps[0], anew=True), weights=maps[PAIRS[0]])
    for kind in (0, 1):
        expected = alone(fixed_map(maps[kind]), kind)
        np.testing.assert_array_equal(played.sessions[kind * N : (kind + 1) * N], expected.sessions)


def test_acts_outside_the_eight_are_refused():
    def wild(key, dyad, params):
        return jax.numpy.where(dyad.time == 7, 9, dyad.client_act)

    kinds = [dataclasses.replace(KINDS[0], threshold=np.float32(0.999))]
    who = Candidate(INFO, lambda weights: checked(wild), trusted=False)
    design = Design(kinds, 3, KEY, [])
    with Programs(design, [who]) as programs, pytest.raises(RunError, match="x does acts outside"):
        play_some(programs, who, np.zeros(3, int), np.arange(3))
