"""The search for a fixed map: finds what was planted, and treats other clients than evaluations."""

import jax
import numpy as np
import pytest

from jaxtherapy.client.octants import COMPLEMENT
from jaxtherapy.client.params import ClientParams
from jaxtherapy.client.simulation import simulate
from jaxtherapy.client.therapists import BASELINES, complementary, fixed_map
from jaxtherapy.evaluation import map_search
from jaxtherapy.evaluation.candidates import panel_of
from jaxtherapy.evaluation.map_search import MAPS, coordinate_search, fit_map, with_map
from tests.client.replay import arrays

PLANTED = np.array([3, 0, 2, 7, 7, 1, 6, 4])


class Planted:
    """Counts right answers, and how many maps it was asked about."""

    def __init__(self):
        self.maps = []

    def __call__(self, maps):
        self.maps += [tuple(each.tolist()) for each in maps]
        return np.array([(each == PLANTED).sum() for each in maps], float)


def test_the_search_finds_a_planted_map():
    score = Planted()
    assert (coordinate_search(score, COMPLEMENT, MAPS) == PLANTED).all()
    assert len(score.maps) <= 1 + 7 * 2 * 8


def test_the_search_changes_one_answer_at_a_time():
    score = Planted()
    coordinate_search(score, COMPLEMENT, 1 + 7)
    assert score.maps[0] == tuple(COMPLEMENT.tolist())
    assert {each[0] for each in score.maps} == set(range(8))
    assert {each[1:] for each in score.maps} == {tuple(COMPLEMENT[1:].tolist())}


@pytest.mark.parametrize("most", [1, 7, 8, 20, MAPS])
def test_the_search_keeps_within_its_budget(most):
    score = Planted()
    coordinate_search(score, COMPLEMENT, most)
    assert len(score.maps) <= most


def test_the_search_stops_where_nothing_helps():
    score = Planted()
    assert (coordinate_search(score, PLANTED, 10**6) == PLANTED).all()
    assert len(score.maps) == 1 + 8 * 7


def clients(**changes):
    """Therapies of few sessions, who are complemented by one act: CS."""
    u = np.full((8, 8), 0.0)
    u[:, 5] = 1.0
    return arrays(
        ClientParams(
            threshold=0.6, max_sessions=40, baseline_accuracy=1.0, u_min=u, u_max=u
        ).replace(**changes)
    )


def test_a_map_is_fitted_to_clients():
    told = []
    kinds = [clients(), clients(threshold=0.55)]
    found = fit_map(kinds, budget=MAPS * 2 * 20, seed=3, advance=told.append)
    assert found.clients == 20
    assert sum(told) == found.therapies <= MAPS * 2 * 20
    assert found.answers.count(5) >= 6, "all like CS best"
    assert found.success == 1.0 > found.complementary
    again = fit_map(kinds, budget=MAPS * 2 * 20, seed=3)
    assert again == found


def test_a_budget_that_is_too_small_is_refused():
    with pytest.raises(ValueError, match=f"must be at least {MAPS}"):
        fit_map([clients()], budget=MAPS - 1, seed=0)


def test_what_was_found_is_a_therapist_by_name():
    found = map_search.FittedMap([4, 3, 2, 1, 0, 7, 6, 5], 0.5, 0.5, 10, 100, 0)
    panel = with_map(panel_of({"complementary": "complementary"}), found)
    info = panel.therapists[-1]
    assert (info.id, info.kind, info.group) == ("fixed_map", "baseline", "fixed_map")
    assert info.answers == "fixed_map:S,WS,W,WD,D,CD,C,CS"
    params = clients(threshold=1.0)

    def play(therapist):
        return jax.jit(lambda key: simulate(key, params, therapist, 30))(jax.random.key(0))

    candidate = panel.candidates[-1]
    theirs = play(complementary)
    for ours in (
        candidate.family(candidate.weights),
        BASELINES[info.answers],
        fixed_map(COMPLEMENT),
    ):
        jax.tree.map(np.testing.assert_array_equal, play(ours), theirs)
