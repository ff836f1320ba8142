"""What is told between two rows of the log; of whole trainings: ``test_training.py``."""

import jax.numpy as jnp
import numpy as np

from jaxtherapy.ppo.log import empty_log, extend_log, return_scale
from jaxtherapy.ppo.running_statistics import statistics_of
from jaxtherapy.ppo.types import Losses, Transition


def rollout():
    """Two steps of three therapies: a success, a dropout, one cut off, three that go on."""
    terminated = jnp.array([[True, False, False], [False, True, False]])
    truncated = jnp.array([[False, False, False], [False, False, True]])
    return Transition(
        obs=None,
        action=None,
        log_prob=None,
        reward=jnp.array([[110.0, 0, 0], [0, -150, 0]]),
        terminated=terminated,
        truncated=truncated,
        final_obs=None,
        length=jnp.array([[7, 9, 11], [1, 10, 12]]),
        success=jnp.array([[True, False, False], [False, False, False]]),
        dropped_out=jnp.array([[False, False, False], [False, True, False]]),
    )


def test_only_therapies_that_ended_are_told_of():
    report = Losses(*map(jnp.float32, range(7)))
    log = extend_log(extend_log(empty_log(), rollout(), report), rollout(), report)
    assert (log.n_updates, log.reward.count, log.length.count) == (2, 6, 6)
    np.testing.assert_allclose(log.reward.mean, (110 - 150 + 0) / 3, rtol=1e-5)
    np.testing.assert_allclose(log.length.mean, (7 + 10 + 12) / 3, rtol=1e-5)
    assert (log.success, log.dropped_out) == (2, 2)
    np.testing.assert_allclose(log.losses, 2 * np.arange(7))


def test_a_success_that_is_no_end_is_told_of_at_the_end():
    """Of therapies that go on: all that they have paid, and one success each."""
    true = jnp.ones((2, 3), bool)
    total = jnp.array([[210.0, 0, 0], [0, 60, 210]])
    told = rollout()._replace(success=true, total=total)
    log = extend_log(empty_log(), told, Losses(*map(jnp.float32, range(7))))
    assert (log.success, log.dropped_out) == (3, 1)
    np.testing.assert_allclose(log.reward.mean, (210 + 60 + 210) / 3, rtol=1e-5)


def test_an_empty_log_tells_of_nothing():
    log = empty_log()
    assert (log.n_updates, log.reward.count, log.success) == (0, 0, 0)
    assert not np.any(log.losses)


def test_the_unit_of_values_is_at_least_one_point():
    assert return_scale(statistics_of(jnp.array([1.0, 1.2]))) == 1
    np.testing.assert_allclose(return_scale(statistics_of(jnp.array([-50.0, 50.0]))), 50)
