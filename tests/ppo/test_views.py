"""A critic that knows more than the actor may."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtherapy.ppo import ppo as ppos
from tests.ppo.small import (
    SETTINGS,
    SMALL,
    assert_identical,
    collect,
    differ,
    init,
    raw,
    with_hyper,
)
from tests.views import BOND_VIEW, with_view

PRIVILEGED = replace(SMALL, critic_view="bond")
FREE = with_hyper(SETTINGS, max_grad_norm=np.inf)


@pytest.fixture(autouse=True)
def views(monkeypatch):
    with_view(monkeypatch, bond=BOND_VIEW)


@pytest.fixture
def begun():
    return init(PRIVILEGED, FREE, 4)


def test_the_critic_sees_its_view_of_every_session_and_of_the_last(begun):
    _, rollout, last = collect(PRIVILEGED, FREE, begun)
    for seen in (rollout.obs.critic, rollout.final_obs, last.critic):
        assert set(seen) == {"bond", "share"}
    assert rollout.obs.actor.history.shape == (SMALL.n_steps, SMALL.n_envs, 50)
    goes_on = ~(rollout.terminated | rollout.truncated)[:-1]
    following = rollout.obs.critic["bond"][1:]
    np.testing.assert_array_equal(following[goes_on], rollout.final_obs["bond"][:-1][goes_on])
    np.testing.assert_array_equal(rollout.obs.critic["bond"][0], begun.dyads.client.bond)


def test_the_actor_does_not_see_it(begun):
    """It acts as beside an ordinary critic: its weights are drawn first."""
    ordinary = init(SMALL, FREE, 4)
    assert_identical(begun.params["actor"], ordinary.params["actor"])
    _, privileged, _ = collect(PRIVILEGED, FREE, begun)
    _, plain, _ = collect(SMALL, FREE, ordinary)
    assert_identical(privileged.action, plain.action)


def test_what_the_critic_sees_moves_the_critic_alone(begun):
    """One update, twice, from the same rollout with other bonds in it."""
    state, rollout, last = collect(PRIVILEGED, FREE, begun)

    @jax.jit
    def learn(factor):
        after, targets, _ = ppos.advantages(PRIVILEGED, FREE, state, rollout, last)
        seen = jax.tree.map(lambda x: factor * x, targets.obs.own_critic)
        other = targets._replace(obs=targets.obs._replace(own_critic=seen))
        return ppos.update(PRIVILEGED, FREE, after, other)[0].params

    one, two = learn(jnp.float32(1)), learn(jnp.float32(3))
    assert_identical(one["actor"], two["actor"])
    assert differ(one["critic"], two["critic"])
    assert differ(one["critic"], begun.params["critic"])


def test_it_trains():
    state = init(PRIVILEGED, SETTINGS, 4)
    after = jax.jit(ppos.train_step, static_argnums=0)(PRIVILEGED, SETTINGS, state)
    assert not after.diverged
    assert after.n_updates == 1
    assert all(np.all(np.isfinite(x)) for x in raw(after.params))
