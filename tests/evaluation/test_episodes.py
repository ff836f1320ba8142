"""Which therapies are shown, and that they are told as they were."""

import numpy as np

from jaxtherapy.evaluation.course import bond_at, decode
from jaxtherapy.evaluation.episodes import choose, chosen_episodes
from jaxtherapy.evaluation.outcomes import NOT_HELD, Outcomes, Record
from jaxtherapy.evaluation.results import CellInfo


def chosen(ends, sessions, rs=None):
    """``ends``: a letter per therapy, s(uccess), d(ropout) or o(ut of sessions)."""
    ends = np.array(list(ends))
    rs = np.zeros(len(ends)) if rs is None else np.array(rs)
    found = list(choose(ends == "s", ends == "d", np.array(sessions), rs))
    assert [place for reason, place in found if reason == "shared"] == list(range(len(ends)))[:2]
    return {reason: place for reason, place in found if reason != "shared"}


def test_the_fastest_success_is_the_shortest_and_the_typical_one_has_the_median_length():
    found = chosen("sssss", [30, 50, 40, 10, 20])
    assert found == {"fastest success": 3, "typical success": 0}


def test_failures_are_no_successes_however_fast():
    found = chosen("dsoss", [10, 40, 60, 20, 30])
    assert (found["fastest success"], found["typical success"]) == (3, 4)
    assert (found["typical failure"], found["dropout"]) == (2, 0)


def test_the_typical_failure_has_the_median_rs_of_those_out_of_sessions():
    found = chosen("oosood", [60] * 5 + [10], [0.5, 0.1, 0.9, 0.3, 0.2, 0.0])
    assert found["typical failure"] == 3  # of 0.1, 0.2, 0.3, 0.5 the upper of the middle two
    assert chosen("sooo", [9, 60, 60, 60], [0.0, 0.4, 0.6, 0.5])["typical failure"] == 3


def test_a_reason_without_a_therapy_is_left_out():
    assert chosen("d", [10]) == {"dropout": 0}
    assert set(chosen("sss", [1, 2, 3])) == {"fastest success", "typical success"}


def test_an_episode_is_of_its_own_cell_and_client():
    """Two cells, three clients each; whose therapy it is can be told from acts and RS."""
    cells, clients = np.mgrid[:2, :3]
    initial = 0.1 * cells + 0.01 * clients
    sessions = 3 + cells + clients
    now = np.arange(6)[:, None, None]
    acts = np.where(now < sessions, 64 * cells + 8 * clients + now, NOT_HELD).astype(np.int16)
    rs = 1 - initial - 0.1 * (now + 1)
    ends = Outcomes(
        success=(cells == 1),
        dropout=(cells == 0) & (clients == 2),
        sessions=sessions,
        reward=1000.0 * cells + clients,
        rs=np.take_along_axis(rs, sessions[None] - 1, 0)[0],
        bond=np.zeros((2, 3)),
        initial_rs=initial,
        sessions_to_success=sessions,
        relapse=(cells == 2),
        near_miss=(cells == 2),
        one_act=np.ones((2, 3)),
        misheard=np.zeros((2, 3)),
    )
    numbers = np.array([[10, 11, 12], [20, 21, 22]])
    flat = Outcomes(*(part.reshape(-1) for part in ends))
    record = Record(acts, rs)
    therapies = decode(record, flat.initial_rs, flat.success, cells.reshape(-1), (2.0, 0.4))
    kinds = [
        CellInfo(name, name, "cold_stuck", "bond_only", threshold, 0.5, "random")
        for name, threshold in (("easy", 0.3), ("hard", 0.6))
    ]
    told = chosen_episodes(
        "me", kinds, numbers.reshape(-1), flat, therapies, lambda cell, _: (0.3, 0.6)[cell]
    )
    assert [(each.reason, each.cell, each.client) for each in told] == [
        ("shared", "easy", 10),
        ("shared", "hard", 20),
        ("fastest success", "hard", 20),
        ("typical success", "hard", 21),
        ("typical failure", "easy", 10),  # the higher of two at last, the lower at first
        ("dropout", "easy", 12),
    ]
    outcomes = {"easy": {"dropout", "out of sessions"}, "hard": {"success"}}
    for cell, expected in outcomes.items():
        assert {each.outcome for each in told if each.cell == cell} == expected
    for each in told:
        cell, client = (each.cell == "hard"), each.client % 10
        assert each.threshold == (0.6 if cell else 0.3)
        assert each.sessions == 3 + cell + client and each.reward == 1000 * cell + client
        assert set(each.client_act) == {cell} and set(each.therapist_act) == {client}
        assert each.heard_act == list(range(each.sessions))
        start = 0.1 * cell + 0.01 * client
        np.testing.assert_allclose(each.initial_rs, start)
        np.testing.assert_allclose(each.rs, 1 - start - 0.1 * np.arange(1, each.sessions + 1))
        np.testing.assert_allclose(each.bond, bond_at(np.array(each.rs), 2.0, 0.4), atol=1e-4)
        np.testing.assert_allclose(each.initial_bond, bond_at(start, 2.0, 0.4), atol=1e-4)
