"""Shaping moves what is learned from, and nothing that is reported."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtherapy.config import TrainingConfig
from jaxtherapy.ppo import ppo as ppos
from jaxtherapy.ppo.ppo import train_step
from jaxtherapy.ppo.types import make_settings
from tests.ppo.small import (
    MAX_SESSIONS,
    SETTINGS,
    SMALL,
    advantages,
    assert_identical,
    collect,
    differ,
    evaluate,
    init,
    with_hyper,
)

SHAPED = make_settings(TrainingConfig(threshold=0.5, max_sessions=MAX_SESSIONS, shaping_rs=3))
INFORMED = replace(SMALL, critic_view="omniscient")


@pytest.fixture(scope="module")
def begun():
    return init(SMALL, SETTINGS, 4)


@pytest.fixture(scope="module")
def shaped(begun):
    return collect(SMALL, SHAPED, begun)


def test_what_is_off_is_no_leaf():
    """So the program is that without shaping, and so are its numbers and its cost."""
    hyper = SETTINGS.hyperparameters
    assert hyper.shaping_rs is hyper.shaping_bond is hyper.shaping_distance is None
    assert len(jax.tree.leaves(SHAPED)) == len(jax.tree.leaves(SETTINGS)) + 1
    assert SHAPED.hyperparameters.shaping_rs.dtype == np.float32


def test_sessions_and_rewards_are_those_without_it(begun, shaped):
    state, rollout, last = collect(SMALL, SETTINGS, begun)
    assert rollout.shaping is None
    assert rollout.shaped_reward is rollout.reward
    assert_identical((state, rollout, last), (shaped[0], shaped[1]._replace(shaping=None), last))


def test_a_session_is_paid_by_the_difference_of_potentials():
    _, rollout, _ = collect(INFORMED, SHAPED, init(INFORMED, SHAPED, 4))
    before, after = (300 * seen["rs"] for seen in (rollout.obs.critic, rollout.final_obs))
    assert rollout.terminated.any() and rollout.truncated.any()
    gamma = SHAPED.hyperparameters.gamma
    expected = gamma * np.where(rollout.terminated, 0, after) - before
    np.testing.assert_allclose(rollout.shaping, expected, rtol=1e-4, atol=1e-3)


def test_what_is_learned_is_what_rewards_with_shaping_teach(shaped):
    """Advantages, returns and the scale of returns alike."""
    state, rollout, last = shaped
    added = rollout._replace(reward=rollout.reward + rollout.shaping, shaping=None)
    assert_identical(
        advantages(SMALL, SHAPED, state, rollout, last),
        advantages(SMALL, SETTINGS, state, added, last),
    )
    assert differ(
        advantages(SMALL, SHAPED, state, rollout, last)[1].advantage,
        advantages(SMALL, SETTINGS, state, rollout._replace(shaping=None), last)[1].advantage,
    )


def test_the_log_and_evaluations_are_without_it(begun):
    step = jax.jit(train_step, static_argnums=0)
    without, with_it = (step(SMALL, each, begun) for each in (SETTINGS, SHAPED))
    assert differ(without.params, with_it.params)
    for name in ("reward", "length", "success", "dropped_out"):
        assert_identical(getattr(without.log, name), getattr(with_it.log, name))
    assert_identical(evaluate(SMALL, SETTINGS, begun), evaluate(SMALL, SHAPED, begun))


def test_it_can_be_swept_and_scheduled(begun):
    two = with_hyper(SHAPED, shaping_rs=np.array([0, 3]))
    axes = jax.tree.map(lambda _: None, SHAPED)
    axes = axes.replace(hyperparameters=axes.hyperparameters.replace(shaping_rs=0))

    @jax.jit
    def added(settings):
        of_one = lambda each: ppos.collect(SMALL, each, begun)[1].shaping  # noqa: E731
        return jax.vmap(of_one, in_axes=(axes,))(settings)

    none, three = added(two)
    assert not none.any()
    np.testing.assert_allclose(
        three, collect(SMALL, SHAPED, begun)[1].shaping, rtol=1e-4, atol=1e-3
    )
    fading = make_settings(
        TrainingConfig(threshold=0.5, max_sessions=MAX_SESSIONS, shaping_rs={"linear": [3, 0]})
    )
    step = jax.jit(train_step, static_argnums=0)
    at_first = step(SMALL, fading, begun)
    assert_identical(at_first.log.reward, step(SMALL, SHAPED, begun).log.reward)
    assert jnp.all(jnp.isfinite(at_first.return_stats.std))
