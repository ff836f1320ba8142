"""Whole therapies against the plain-NumPy client, at parameters that nobody recorded.

Acts and the uniform points of hearing are given to both sides, so everything else is determined.
Runs in float32 as it stands, where only large errors can be told from rounding, and again in
float64 (``test_double_precision.py``), where 1e-9 is asked for.
"""

import jax
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jaxtherapy.client.mechanisms import MECHANISMS
from jaxtherapy.client.params import ClientParams
from jaxtherapy.client.utilities import NAMED_MATRICES
from tests.client.replay import N_SESSIONS, arrays, is_double, replay
from tests.oracle import Settings, Therapy

N_COMPARED = 27
"""Sessions held against the oracle: enough for the history of 25 to scroll."""


def floats(low, high, *edges):
    """Floats that float32 holds exactly, and edges that deserve more than chance."""
    inside = st.floats(np.float32(low).item(), np.float32(high).item(), width=32)
    return st.one_of(inside, st.sampled_from([np.float32(edge).item() for edge in edges]))


parameters = st.fixed_dictionaries(
    {
        "threshold": floats(0.02, 1, 1),
        "max_sessions": st.sampled_from([1, 2, 9, 10, 11, 26, 100]),
        "entropy": floats(0.05, 10, 1e-6, 1e6),
        "bond_alpha": floats(0.125, 20, 0, 1000),
        "bond_offset": floats(0, 1, 0.7),
        "history_weight": floats(0, 3, 0, 1),
        "bond_power": floats(0.5, 4, 0, 1),
        "smoothing": floats(0.01, 2, 0),
        "recency_ratio": floats(1, 20, 1, 1e6),
        "enable_parataxic": st.booleans(),
        "baseline_accuracy": floats(0, 1, 0, 1),
        "dropout_session": st.sampled_from([0, 1, 10, 10, 25]),
        "success_reward": floats(-100, 100, 100),
        "reward_per_session_saved": floats(-5, 5, 2),
        "dropout_reward": floats(-200, 200, -150),
    }
)
matrices = st.sampled_from(["uniform", "whole numbers", "constant", *NAMED_MATRICES])
seeds = st.integers(0, 2**32 - 1)


def draw_matrix(rng, kind):
    if kind == "uniform":
        return rng.uniform(-70, 70, (8, 8)).astype(np.float32)
    if kind == "whole numbers":  # full of ties
        return rng.integers(-2, 3, (8, 8)).astype(np.float32)
    if kind == "constant":
        return np.full((8, 8), rng.integers(-70, 71)).astype(np.float32)
    return NAMED_MATRICES[kind].astype(np.float32)


def draw_acts(rng, size):
    """Acts from a few octants only, so that memory repeats itself and ties are common."""
    octants = rng.choice(8, size=rng.integers(1, 9), replace=False)
    return rng.choice(octants, size=size).astype(np.int8)


@pytest.mark.parametrize("mechanism", tuple(MECHANISMS))
@settings(max_examples=30 if is_double() else 15)
@given(chosen=parameters, matrix=matrices, seed=seeds)
@example(
    chosen={
        "threshold": 1.0,
        "max_sessions": 10,
        "entropy": 1e-6,
        "bond_alpha": 1000.0,
        "bond_offset": 0.5,
        "history_weight": 1.0,
        "bond_power": 0.0,
        "smoothing": 0.0,
        "recency_ratio": 1.0,
        "enable_parataxic": True,
        "baseline_accuracy": 0.0,
        "dropout_session": 10,
        "success_reward": 100.0,
        "reward_per_session_saved": 2.0,
        "dropout_reward": -150.0,
    },
    matrix="constant",
    seed=0,
)
def test_whole_therapies(mechanism, chosen, matrix, seed):
    rng = np.random.default_rng(seed)
    u = draw_matrix(rng, matrix)
    memory = np.stack([draw_acts(rng, 50), draw_acts(rng, 50)], axis=1)
    client_acts, therapist_acts = draw_acts(rng, N_SESSIONS), draw_acts(rng, N_SESSIONS)
    points = (rng.integers(0, 2**24, N_SESSIONS) * 2.0**-24).astype(np.float32)

    params = arrays(ClientParams(mechanism=mechanism, **chosen))
    begun, sessions = jax.tree.map(
        np.asarray, replay(u, memory, client_acts, therapist_acts, points, params)
    )
    therapy = Therapy(u, memory, Settings(mechanism=mechanism, **chosen))

    span = max(abs(therapy.lowest), abs(therapy.highest))
    rounding = 1e-11 if is_double() else 1e-5
    rs_error = rounding * max(span, 1)
    # Errors of RS reach bond through a slope of at most α / 2, and payoffs through 7 · bond times
    # the gap between neighbours. In float64 that is small at any α.
    bond_error = 1e-9 if is_double() else min(1.0, rounding * (1 + chosen["bond_alpha"]))
    payoff_error = (
        1e-9 * max(span, 1)
        if is_double()
        else 20 * bond_error * max(span, 1) * (1 + chosen["history_weight"])
    )
    probability_error = min(1.0, payoff_error / (2 * chosen["entropy"])) + rounding

    for values in jax.tree.leaves(sessions):
        assert np.all(np.isfinite(values))
    np.testing.assert_allclose(sessions.probabilities.sum(axis=1), 1, rtol=1e-5)
    assert np.all((sessions.bond >= 0) & (sessions.bond <= 1))
    np.testing.assert_allclose(begun.initial_rs, therapy.initial_rs, rtol=0, atol=rs_error)
    np.testing.assert_allclose(begun.client.bond, therapy.bond(), rtol=0, atol=bond_error)

    for session in range(N_COMPARED):
        ours = jax.tree.map(lambda values, session=session: values[session], sessions)
        expected = therapy.expected_payoffs()
        np.testing.assert_allclose(ours.expected_payoffs, expected, rtol=0, atol=payoff_error)
        np.testing.assert_allclose(
            ours.probabilities, therapy.probabilities(), rtol=0, atol=probability_error
        )
        np.testing.assert_array_equal(ours.history, therapy.history())
        np.testing.assert_allclose(ours.session_number, therapy.session_number(), rtol=1e-6)

        accurately = points[session] < chosen["baseline_accuracy"]
        client_act, therapist_act = int(client_acts[session]), int(therapist_acts[session])
        heard = therapy.session(client_act, therapist_act, accurately)
        rs = therapy.rs()
        assert ours.heard_act == heard
        np.testing.assert_allclose(ours.rs, rs, rtol=0, atol=rs_error)
        np.testing.assert_allclose(ours.bond, therapy.bond(), rtol=0, atol=bond_error)

        # Where two sums are equal but for rounding, either side may be right about which is more.
        success_is_clear = abs(rs - therapy.rs_threshold()) > 2 * rs_error
        may_leave = therapy.counter == chosen["dropout_session"]
        dropout_is_clear = not may_leave or abs(rs - therapy.initial_rs) > 2 * rs_error
        if success_is_clear and dropout_is_clear:
            assert ours.dropped_out == therapy.dropout
            assert ours.success == (therapy.success and not therapy.dropout)
            assert ours.terminated == therapy.terminated()
            assert ours.truncated == therapy.truncated()
            np.testing.assert_allclose(ours.reward, therapy.reward(), rtol=1e-5, atol=1e-4)
