"""The interpersonal circumplex (Leary 1957; Kiesler 1996): eight octants, indexed clockwise."""

import numpy as np

N_OCTANTS = 8

OCTANTS = ("D", "WD", "W", "WS", "S", "CS", "C", "CD")

OCTANT_NAMES = (
    "dominant",
    "warm-dominant",
    "warm",
    "warm-submissive",
    "submissive",
    "cold-submissive",
    "cold",
    "cold-dominant",
)

D, WD, W, WS, S, CS, C, CD = range(N_OCTANTS)

COLD, NEUTRAL, WARM = (CS, C, CD), (D, S), (WD, W, WS)

COMPLEMENT = np.array([S, WS, W, WD, D, CD, C, CS], np.int8)
"""Same on affiliation, opposite on control."""

ANTICOMPLEMENT = np.array([D, CD, C, CS, S, WS, W, WD], np.int8)
"""Opposite on affiliation, same on control."""
