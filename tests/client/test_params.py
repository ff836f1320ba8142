"""What a researcher may vary, and the package's own example."""

import doctest

import jax
import numpy as np
import pytest

import jaxtherapy.client
from jaxtherapy.client.mechanisms import MECHANISMS
from jaxtherapy.client.params import STATIC, ClientParams


def test_unknown_mechanisms_are_refused_by_name():
    with pytest.raises(ValueError, match=r"'bond'.*bond_only"):
        ClientParams(mechanism="bond")


def test_everything_but_what_is_static_is_a_leaf():
    params = ClientParams()
    fields = set(ClientParams.__dataclass_fields__)
    assert len(jax.tree.leaves(params)) == len(fields) - len(STATIC)
    for mechanism in MECHANISMS:
        other = params.replace(mechanism=mechanism)
        assert jax.tree.structure(other) == jax.tree.structure(ClientParams(mechanism=mechanism))


def test_defaults_are_those_of_the_model():
    params = ClientParams()
    assert params.mechanism == "frequency_amplifier"
    numbers = {
        "threshold": 0.9,
        "max_sessions": 100,
        "entropy": 0.5,
        "bond_alpha": 5.0,
        "bond_offset": 0.7,
        "history_weight": 1.0,
        "bond_power": 1.0,
        "smoothing": 0.1,
        "recency_ratio": 2.0,
        "enable_parataxic": True,
        "baseline_accuracy": 0.5,
        "dropout_session": 10,
        "success_reward": 100.0,
        "reward_per_session_saved": 2.0,
        "dropout_reward": -150.0,
        "exact_anticomplement": False,
    }
    assert {name: getattr(params, name) for name in numbers} == numbers
    assert params.max_steps_in_episode == 100
    np.testing.assert_array_equal(params.u_max - params.u_min, np.full((8, 8), 20))


def test_the_example_of_the_package_runs():
    tried = doctest.testmod(jaxtherapy.client)
    assert tried.attempted > 0
    assert tried.failed == 0
