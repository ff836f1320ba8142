"""What holds of every view of a dyad."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtherapy.client.dyad import hold_session, intakes
from jaxtherapy.client.params import ClientParams
from jaxtherapy.config.settings import PPO
from jaxtherapy.envs.observations import VIEWS, View
from jaxtherapy.networks.encoders import ENCODERS
from tests.client.replay import arrays, compile_quickly

every_view = pytest.mark.parametrize("name", tuple(VIEWS))

N_DYADS, N_SESSIONS = 8, 30
PARAMS = arrays(ClientParams(threshold=1.0, max_sessions=40))


@pytest.fixture(scope="module")
def therapies():
    """Dyads before each of so many sessions, (sessions, dyads)."""

    def session(dyads, key):
        key_act, key = jax.random.split(key)
        acts = jax.random.randint(key_act, (N_DYADS,), 0, 8)
        hold = jax.vmap(hold_session, in_axes=(None, 0, 0, None, 0))
        return hold(key, dyads, acts, PARAMS, jnp.arange(N_DYADS)), dyads

    @compile_quickly
    def run():
        begun = intakes(jax.random.key(0), PARAMS, jnp.arange(N_DYADS))
        return jax.lax.scan(session, begun, jax.random.split(jax.random.key(1), N_SESSIONS))[1]

    return run()


def observe(name, therapies):
    view = jax.vmap(jax.vmap(lambda dyad: VIEWS[name].observe(dyad, PARAMS)))
    return compile_quickly(view)(therapies)


@every_view
def test_every_view_is_one_documented_file_that_an_encoder_reads(name):
    module = importlib.import_module(f"jaxtherapy.envs.observations.{name}")
    assert module.__doc__
    assert isinstance(module.view, View)
    assert module.view.encoder in ENCODERS


@every_view
def test_every_view_has_finite_numbers_of_one_shape_in_every_session(name, therapies):
    seen = observe(name, therapies)
    assert jax.tree.leaves(seen)
    for path, leaf in jax.tree.leaves_with_path(seen):
        assert leaf.shape[:2] == (N_SESSIONS, N_DYADS), path
        assert leaf.dtype in (jnp.float32, jnp.int32, jnp.int8, jnp.bool_), path
        assert not leaf.weak_type, path
        assert np.all(np.isfinite(leaf)), path


@every_view
def test_every_view_changes_as_therapy_goes_on(name, therapies):
    seen = jax.tree.leaves(observe(name, therapies))
    assert any(np.any(leaf[0] != leaf[-1]) for leaf in seen)
    assert any(np.any(leaf[:, 0] != leaf[:, 1]) for leaf in seen)


@every_view
def test_every_view_can_be_swept_over_clients(name, therapies):
    dyad = jax.tree.map(lambda x: x[3, 0], therapies)
    many = jax.tree.map(lambda x: np.stack([x, x]), PARAMS)
    swept = jax.vmap(VIEWS[name].observe, in_axes=(None, 0))(dyad, many)
    alone = VIEWS[name].observe(dyad, PARAMS)
    for ours, theirs in zip(*map(jax.tree.leaves, (swept, alone)), strict=True):
        np.testing.assert_array_equal(ours, np.stack([theirs, theirs]))


HIDDEN_FROM_THERAPISTS = ("client", "heard_act", "initial_rs", "pattern", "success", "dropped_out")


def test_by_default_nothing_is_seen_of_what_a_client_hides(therapies):
    """Only its acts: another person who acts the same looks the same."""
    hidden = {field: getattr(therapies, field) for field in HIDDEN_FROM_THERAPISTS}
    others = jax.tree.map(lambda x: ~x if x.dtype == bool else x + jnp.ones((), x.dtype), hidden)
    for name in {PPO().actor_view, PPO().critic_view}:
        seen, of_others = (observe(name, x) for x in (therapies, therapies.replace(**others)))
        for one, other in zip(*map(jax.tree.leaves, (seen, of_others)), strict=True):
            np.testing.assert_array_equal(one, other)
