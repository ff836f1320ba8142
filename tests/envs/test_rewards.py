"""What an outcome is worth. Every ending: ``tests/client/test_dyad.py``."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtherapy.client.client import new_client
from jaxtherapy.client.dyad import open_with
from jaxtherapy.client.params import ClientParams
from jaxtherapy.config.distributions import Distribution
from jaxtherapy.envs.outcomes import total_reward
from jaxtherapy.envs.rewards import outcome_range, reward

PARAMS = ClientParams(max_sessions=60)
DYAD = jax.jit(lambda: open_with(new_client(jnp.eye(8), jnp.zeros(50, jnp.int8), PARAMS), 0))
"""To be called, or all that collect tests would compile it."""


@pytest.mark.parametrize(
    ("success", "dropped_out", "time", "expected"),
    [
        (False, False, 5, 0),
        (False, False, 60, 0),
        (True, False, 1, 218),
        (True, False, 60, 100),
        (False, True, 10, -150),
        (True, True, 10, -150),  # dropout wins
    ],
)
def test_rewards(success, dropped_out, time, expected):
    ended = DYAD().replace(
        success=jnp.bool_(success), dropped_out=jnp.bool_(dropped_out), time=jnp.int32(time)
    )
    earned = reward(ended, PARAMS)
    assert earned == expected
    assert earned.dtype == np.float32
    assert earned.shape == ()


@pytest.mark.parametrize(
    ("success", "dropped_out", "expected"),
    [(False, False, 0), (True, False, 5 - 0.5 * 40), (False, True, -7), (True, True, -7)],
)
def test_all_three_numbers_are_settings(success, dropped_out, expected):
    params = PARAMS.replace(success_reward=5, reward_per_session_saved=-0.5, dropout_reward=-7)
    ended = DYAD().replace(
        success=jnp.bool_(success), dropped_out=jnp.bool_(dropped_out), time=jnp.int32(20)
    )
    assert reward(ended, params) == expected


def test_a_success_before_the_end_is_paid_once():
    """Of whoever goes on: in its own session, and in the total; a dropout costs as ever."""
    succeeded = DYAD().replace(success=jnp.bool_(True), success_time=jnp.int32(5))
    for time, left, last, total in ((5, False, 210, 210), (9, False, 0, 210), (10, True, -150, 60)):
        now = succeeded.replace(time=jnp.int32(time), dropped_out=jnp.bool_(left))
        assert reward(now, PARAMS) == last
        assert total_reward(now, PARAMS) == total
    stopped = succeeded.replace(time=jnp.int32(5), success_time=None)
    assert total_reward(stopped, PARAMS) == reward(stopped, PARAMS) == 210


def test_many_dyads_at_once_are_rewarded_one_by_one():
    ended = jax.tree.map(lambda x: jnp.stack([x, x]), DYAD()).replace(
        success=jnp.array([True, False]), dropped_out=jnp.array([False, True])
    )
    np.testing.assert_array_equal(reward(ended, PARAMS), [220, -150])


@pytest.mark.parametrize(
    ("numbers", "least", "most"),
    [
        ({}, -150, 218),
        ({"dropout_reward": 5.0}, 0, 218),
        ({"reward_per_session_saved": -3.0}, -150, 100),
        ({"success_reward": -10.0, "reward_per_session_saved": -3.0}, -187, 0),
        ({"stop_at_success": False, "dropout_reward": 5.0}, 0, 223),
    ],
)
def test_no_outcome_pays_more_or_less(numbers, least, most):
    assert outcome_range(PARAMS.replace(**numbers)) == (least, most)


def test_no_client_that_may_come_is_paid_more_or_less():
    """Whoever is there now: a client of a rollout may have been followed by others."""
    params = PARAMS.replace(
        max_sessions=Distribution("choice", (20, 60, 40)),
        success_reward=Distribution("uniform", (10.0, 1_000.0)),
        dropout_reward=Distribution("normal", (-150.0, 10.0), (-200, -100)),
    )
    assert outcome_range(params) == (-200, 1_118)
