"""Recorded clients and therapies, number by number.

The recordings are float64. Under ``JAX_ENABLE_X64=1`` (``test_double_precision.py``) they must be
met to 1e-9 relative, without any floor but that XLA takes subnormal numbers for zero. In float32 to
1e-4 relative, with an absolute floor for values near zero:

* RS, expected payoffs, threshold: 1e-4 utility units, where utilities span about 140 of them.
* bond: 1e-6 on its scale from 0 to 1.
* probabilities: 1e-4 on their scale from 0 to 1. Most are tiny, and ``exp(x / T)`` turns an error
  of δ in a payoff into one of δ / T of the probability: relative to those no float32 would do.
"""

import jax
import numpy as np
import pytest

from jaxtherapy.client.mechanisms import MECHANISMS
from jaxtherapy.client.params import ClientParams
from jaxtherapy.client.patterns import PATTERNS
from tests.client.replay import ACCURATE, INACCURATE, feelings, is_double, replay

RELATIVE = 1e-9 if is_double() else 1e-4
PAYOFF_FLOOR = 0 if is_double() else 1e-4
BOND_FLOOR = 0 if is_double() else 1e-6
PROBABILITY_FLOOR = np.finfo(np.float64).tiny if is_double() else 1e-4


def assert_close(actual, recorded, floor):
    np.testing.assert_allclose(actual, recorded, rtol=RELATIVE, atol=floor)


def numbers(tree):
    return jax.tree.map(np.asarray, tree)


def test_recorded_names_are_in_our_order(recorded_expectations, recorded_episodes):
    assert tuple(recorded_expectations["mechanism_names"]) == tuple(MECHANISMS)
    assert tuple(recorded_episodes["mechanism_names"]) == tuple(MECHANISMS)
    assert tuple(recorded_episodes["pattern_names"]) == PATTERNS


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_expectations(recorded_expectations, mechanism):
    recorded = recorded_expectations
    cases = np.flatnonzero(recorded["mechanism"] == list(MECHANISMS).index(mechanism))
    assert len(cases) == 100
    for case in cases:
        params = ClientParams(
            mechanism=mechanism,
            threshold=0.8,
            entropy=recorded["entropy"][case],
            bond_alpha=recorded["bond_alpha"][case],
            bond_offset=recorded["bond_offset"][case],
            history_weight=recorded["history_weight"][case],
            smoothing=recorded["smoothing_alpha"][case],
            bond_power=recorded["bond_power"][case],
        )
        felt = numbers(feelings(recorded["u_matrix"][case], recorded["memory"][case], params))
        assert_close(felt.rs, recorded["relationship_satisfaction"][case], PAYOFF_FLOOR)
        assert_close(felt.bond, recorded["bond"][case], BOND_FLOOR)
        assert_close(felt.expected_payoffs, recorded["expected_payoffs"][case], PAYOFF_FLOOR)
        assert_close(felt.probabilities, recorded["action_probabilities"][case], PROBABILITY_FLOOR)
        assert_close(felt.rs_threshold, recorded["threshold_80"][case], PAYOFF_FLOOR)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_episodes(recorded_episodes, mechanism):
    recorded = recorded_episodes
    episodes = np.flatnonzero(recorded["mechanism"] == list(MECHANISMS).index(mechanism))
    assert len(episodes) == 21
    for episode in episodes:
        params = ClientParams(
            mechanism=mechanism,
            threshold=recorded["threshold"][episode],
            max_sessions=recorded["max_sessions"][episode],
            entropy=recorded["entropy"][episode],
            history_weight=recorded["history_weight"][episode],
            bond_alpha=recorded["bond_alpha"][episode],
            bond_offset=recorded["bond_offset"][episode],
            enable_parataxic=recorded["enable_perception"][episode],
            baseline_accuracy=recorded["baseline_accuracy"][episode],
        )
        length = recorded["length"][episode]
        # Rows past the end are −1; any act does there, they are not looked at.
        acts = {
            key: np.maximum(recorded[key][episode], 0).astype(np.int8)
            for key in ("client_action", "therapist_action")
        }
        accurately = recorded["heard_accurately"][episode] == 1
        begun, sessions = numbers(
            replay(
                recorded["u_matrix"][episode],
                recorded["initial_memory"][episode],
                acts["client_action"],
                acts["therapist_action"],
                np.where(accurately, ACCURATE, INACCURATE).astype(np.float32),
                params,
            )
        )
        held = jax.tree.map(lambda values, length=length: values[:length], sessions)
        row = {key: values[episode] for key, values in recorded.items() if len(values) == 105}
        row = {key: values[:length] if values.ndim else values for key, values in row.items()}

        assert_close(begun.initial_rs, row["initial_rs"], PAYOFF_FLOOR)
        assert_close(begun.client.bond, row["initial_bond"], BOND_FLOOR)

        assert_close(held.probabilities, row["client_probabilities"], PROBABILITY_FLOOR)
        np.testing.assert_array_equal(held.client_action, row["client_action"])
        np.testing.assert_array_equal(held.history, row["history"])
        # Recorded as observed, hence in float32.
        np.testing.assert_allclose(held.session_number, row["session_number"], rtol=1e-6)

        np.testing.assert_array_equal(held.heard_act, row["perceived_action"])
        assert_close(held.rs, row["relationship_satisfaction"], PAYOFF_FLOOR)
        assert_close(held.bond, row["bond"], BOND_FLOOR)
        np.testing.assert_array_equal(held.reward, row["reward"])
        np.testing.assert_array_equal(held.terminated, row["terminated"])
        np.testing.assert_array_equal(held.truncated, row["truncated"])

        assert held.success[-1] == row["success"]
        assert held.dropped_out[-1] == row["dropped_out"]
        assert held.terminated[-1] or held.truncated[-1]
