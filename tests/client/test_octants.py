"""The circumplex: who answers whom."""

import numpy as np

from jaxtherapy.client.octants import ANTICOMPLEMENT, COMPLEMENT, OCTANTS
from tests import oracle

AFFILIATION = {"warm": {"WD", "W", "WS"}, "cold": {"CD", "C", "CS"}}
CONTROL = {"dominant": {"D", "WD", "CD"}, "submissive": {"S", "WS", "CS"}}


def side(octant, axis):
    return next((name for name, members in axis.items() if octant in members), "neutral")


def opposite(name):
    pairs = [("warm", "cold"), ("dominant", "submissive"), ("neutral", "neutral")]
    return {**dict(pairs), **{b: a for a, b in pairs}}[name]


def test_complement_is_same_on_affiliation_opposite_on_control():
    for octant, answer in zip(OCTANTS, (OCTANTS[i] for i in COMPLEMENT), strict=True):
        assert side(answer, AFFILIATION) == side(octant, AFFILIATION)
        assert side(answer, CONTROL) == opposite(side(octant, CONTROL))


def test_anticomplement_is_opposite_on_affiliation_same_on_control():
    for octant, answer in zip(OCTANTS, (OCTANTS[i] for i in ANTICOMPLEMENT), strict=True):
        assert side(answer, AFFILIATION) == opposite(side(octant, AFFILIATION))
        assert side(answer, CONTROL) == side(octant, CONTROL)


def test_tables_match_the_specification():
    np.testing.assert_array_equal(COMPLEMENT, oracle.COMPLEMENT)
    np.testing.assert_array_equal(ANTICOMPLEMENT, [oracle.ANTICOMPLEMENT[i] for i in range(8)])
