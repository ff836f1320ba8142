"""Curves, bands and response maps against plain loops."""

import numpy as np
import pytest

from jaxtherapy.client.octants import COMPLEMENT
from jaxtherapy.evaluation import course as courses
from jaxtherapy.evaluation.outcomes import NOT_HELD, Record
from jaxtherapy.evaluation.statistics import Intervals

N, SESSIONS = 12, 30


@pytest.fixture(scope="module")
def therapies():
    generator = np.random.default_rng(0)
    length = generator.integers(3, SESSIONS + 1, N)
    acts = generator.integers(0, 512, (SESSIONS, 2, N // 2))
    held = np.arange(SESSIONS)[:, None, None] < length.reshape(2, -1)
    rs = generator.random((SESSIONS, 2, N // 2))
    initial = generator.random((2, N // 2))
    success = generator.random((2, N // 2)) < 0.5
    acts = np.where(held, acts, NOT_HELD)
    return courses.decode(Record(acts.astype(np.int16), rs), initial, success)


@pytest.fixture(scope="module")
def course(therapies):
    return courses.course_of("x", therapies, Intervals(0.95, 100, 0))


def test_decoding_goes_cell_by_cell():
    acts = np.array([[[8 * 8 * 3 + 8 * 5 + 7, NOT_HELD]]], np.int16)
    record = Record(acts, np.array([[[0.5, 0.0]]]))
    told = courses.decode(record, np.zeros((1, 2)), np.zeros((1, 2), bool))
    assert told.held.tolist() == [[True], [False]]
    assert (told.client_act[0, 0], told.therapist_act[0, 0], told.heard_act[0, 0]) == (3, 5, 7)


def test_distance_on_the_circle():
    for client in range(8):
        distances = courses.distance_from_complement(np.full(8, client), np.arange(8))
        assert sorted(distances) == [0, 1, 1, 2, 2, 3, 3, 4]
        assert distances[COMPLEMENT[client]] == 0
        assert distances[(COMPLEMENT[client] + 4) % 8] == 4


@pytest.mark.parametrize("acts", ["enacted", "heard"])
@pytest.mark.parametrize(
    ("kind", "octants"), [("any", range(8)), ("warm", (1, 2, 3)), ("cold", (5, 6, 7))]
)
def test_sliding_window_by_session(therapies, course, acts, kind, octants):
    answers = therapies.therapist_act if acts == "enacted" else therapies.heard_act
    for session in (0, 4, 9, 10, 25):
        hits, distances, with_any = [], [], 0
        for i in range(N):
            if therapies.length[i] > session:
                before = len(hits)
                for s in range(max(0, session - 9), session + 1):
                    client = therapies.client_act[i, s]
                    if client in octants:
                        gap = abs(int(COMPLEMENT[client]) - int(answers[i, s]))
                        hits.append(gap == 0)
                        distances.append(min(gap, 8 - gap))
                with_any += len(hits) > before
        strand = course.by_session["all"]
        rate = strand.complementarity[acts][kind]
        assert rate.n[session] == len(hits)
        assert rate.therapies[session] == with_any
        if hits:
            assert rate.value[session] == pytest.approx(np.mean(hits), abs=1e-4)
            distance = strand.distance[acts][kind].value[session]
            assert distance == pytest.approx(np.mean(distances), abs=1e-4)
        else:
            assert rate.value[session] is None


def test_normalised_time_ends_with_every_therapy(therapies, course):
    last = therapies.length - 1
    rs = course.by_time["all"].rs
    assert rs.n == [N] * len(courses.TIMES)
    assert rs.mean[-1] == pytest.approx(therapies.rs[np.arange(N), last].mean(), abs=1e-4)
    assert courses.session_at(np.array([0.05, 0.5, 1.0]), np.array([20, 3])).tolist() == [
        [0, 9, 19],
        [0, 1, 2],
    ]


def test_bands_are_quantiles_of_those_still_there(therapies, course):
    band = course.by_session["all"].rs
    assert band.n[0] == N and len(band.mean) == SESSIONS + 1
    assert band.q50[0] == pytest.approx(np.median(therapies.initial_rs), abs=1e-4)
    for session in (1, 5, 20):
        there = therapies.rs[therapies.held[:, session - 1], session - 1]
        assert band.n[session] == len(there)
        for name in ("q05", "q25", "q50", "q75", "q95"):
            expected = np.quantile(there, int(name[1:]) / 100)
            assert getattr(band, name)[session] == pytest.approx(expected, abs=1e-4)
    bond = course.by_session["all"].bond
    assert bond.q50[0] == pytest.approx(
        np.median(1 / (1 + np.exp(-10 * (therapies.initial_rs - 0.7)))), abs=1e-4
    )


def test_successes_and_failures_apart(therapies, course):
    n = int(therapies.success.sum())
    assert course.episodes == {"all": N, "success": n, "failure": N - n}
    assert course.by_time["success"].rs.n[0] == n
    assert course.by_session["failure"].bond.n[0] == N - n


def test_response_maps_by_third(therapies, course):
    counts = np.zeros((3, 8, 8))
    for i in range(N):
        length = therapies.length[i]
        for s in range(length):
            pair = therapies.client_act[i, s], therapies.therapist_act[i, s]
            counts[(s * 3 // length, *pair)] += 1
    for phase, expected in zip(("early", "middle", "late"), counts, strict=True):
        told = course.response_maps[phase]
        assert told.count == expected.sum(1).tolist()
        for row, mine in zip(expected, told.probability, strict=True):
            if row.sum():
                np.testing.assert_allclose(mine, row / row.sum(), atol=1e-4)
            else:
                assert mine == [None] * 8


def test_pointwise_intervals_cover():
    """At one point, 95 % intervals of a clustered share hold it in 92 to 98 % of 500 samples."""
    generator, hits = np.random.default_rng(1), 0
    for _ in range(500):
        own_rate = generator.beta(2, 2, (80, 1))  # therapies differ: sessions within are alike
        weight = generator.integers(0, 11, (80, 1)).astype(float)
        curve = courses._curve(generator.binomial(weight.astype(int), own_rate), weight, 1, 0.95)
        hits += curve.low[0] <= 0.5 <= curve.high[0]
    assert 460 <= hits <= 490


def test_nobody_succeeded(therapies):
    failed = therapies._replace(success=np.zeros(N, bool))
    told = courses.course_of("x", failed, Intervals(0.95, 100, 0))
    assert told.episodes["success"] == 0
    assert set(told.by_time["success"].rs.mean) == {None}
    assert set(told.by_session["success"].complementarity["heard"]["any"].value) == {None}
