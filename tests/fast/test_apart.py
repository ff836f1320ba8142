"""Actor and critic on a device each learn what they learn together. Devices here are a ``vmap``
with the name of the mesh axis; tests/hosts has real ones."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxtherapy.fast import apart
from jaxtherapy.ppo import ppo as ppos
from jaxtherapy.ppo.optimizer import unpack
from tests.client.replay import compile_quickly
from tests.ppo.small import SETTINGS, SMALL, advantages, collect, init, raw, update, with_hyper

APART = replace(SMALL, networks_apart=True)


def on_two_devices(function, *arguments):
    """What each of them returns, with a leading axis."""
    both = jax.vmap(lambda _: function(*arguments), axis_name=apart.NETWORKS)
    return compile_quickly(both)(jnp.arange(2))


@pytest.fixture(scope="module")
def taught():
    """A state and what its rollout teaches, one update after the start."""
    state = init(SMALL, SETTINGS, 0)
    state, _ = update(
        SMALL, SETTINGS, *advantages(SMALL, SETTINGS, *collect(SMALL, SETTINGS, state))[:2]
    )
    return advantages(SMALL, SETTINGS, *collect(SMALL, SETTINGS, state))[:2]


def test_apart_and_together_again(taught):
    before = taught[0].params, taught[0].opt_state
    actor = before[0]["actor"]
    own = on_two_devices(lambda: unpack(apart.own(before)[0], actor))
    kernel = own["output_layer"]["kernel"][...]
    actor, critic = (
        taught[0].params[name]["output_layer"]["kernel"][...] for name in ("actor", "critic")
    )
    np.testing.assert_array_equal(kernel[0], actor)
    np.testing.assert_array_equal(kernel[1][:, :1], critic)
    np.testing.assert_array_equal(kernel[1][:, 1:], 0)
    again = on_two_devices(lambda: apart.together(apart.own(before), before))
    assert jax.tree.structure(again) == jax.tree.structure(before)
    for one, two in zip(raw(before), raw(again), strict=True):
        np.testing.assert_array_equal(two, np.stack([one, one]))


def update_apart(ppo, settings, state, targets):
    """An update as part of a training, which keeps the optimiser's moments apart all along."""
    moments = state.opt_state
    state = state.replace(opt_state=apart.own(moments))
    after, report = ppos.update(ppo, settings, state, targets)
    return after.replace(opt_state=apart.together(after.opt_state, moments)), report


def test_the_norm_is_that_of_both(taught):
    params = taught[0].params
    norms = on_two_devices(lambda: apart.global_norm(apart.own(params)))
    np.testing.assert_allclose(norms, np.full(2, optax.tree.norm(params)), rtol=1e-5)


@pytest.mark.parametrize("max_norm", [0.05, np.inf], ids=str)
def test_they_learn_what_they_learn_together(taught, max_norm):
    settings = with_hyper(SETTINGS, max_grad_norm=max_norm)
    expected = update(SMALL, settings, *taught)
    found = on_two_devices(partial(update_apart, APART, settings), *taught)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, two in zip(raw(expected), raw(found), strict=True):
        np.testing.assert_array_equal(two[0], two[1])
        np.testing.assert_allclose(two[0], one, rtol=1e-3, atol=1e-5)


def test_a_last_minibatch_that_takes_a_remainder(taught):
    """Of another size, so another product."""
    ppo = replace(SMALL, batch_size=48)
    expected = update(ppo, SETTINGS, *taught)
    found = on_two_devices(
        partial(update_apart, replace(ppo, networks_apart=True), SETTINGS), *taught
    )
    for one, two in zip(raw(expected), raw(found), strict=True):
        np.testing.assert_allclose(two[0], one, rtol=1e-3, atol=1e-5)


def test_a_training_of_two_updates(taught):
    """Where moments stay apart between them; they begin with the same clients, and end alike."""
    expected = jax.jit(partial(ppos.train, SMALL))(SETTINGS, taught[0], np.int32(2))
    found = on_two_devices(partial(ppos.train, APART), SETTINGS, taught[0], np.int32(2))
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, two in zip(raw(expected), raw(found), strict=True):
        np.testing.assert_array_equal(two[0], two[1])
        np.testing.assert_allclose(two[0], one, rtol=1e-2, atol=1e-4)
