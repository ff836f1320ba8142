"""Copying a baseline: what it would do is kept with each session, and the loss draws to it."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtherapy.client.baselines import BASELINES
from jaxtherapy.client.octants import COMPLEMENT
from jaxtherapy.client.therapists import Therapist
from jaxtherapy.errors import ConfigError
from jaxtherapy.networks.actor_critic import with_weights
from jaxtherapy.ppo import losses
from jaxtherapy.ppo import ppo as ppos
from jaxtherapy.ppo.teacher import advice, teacher_of
from tests.client.replay import compile_quickly
from tests.ppo.small import SETTINGS, SMALL, advantages, collect, init, numpy, with_hyper
from tests.training import tiny

TAUGHT = replace(SMALL, teacher="complementary")


@pytest.fixture(scope="module")
def rollout():
    return collect(TAUGHT, SETTINGS, init(SMALL, SETTINGS, 4))


def test_it_answers_what_the_client_does(rollout):
    transitions = numpy(rollout[1])
    np.testing.assert_array_equal(
        transitions.advice, np.asarray(COMPLEMENT)[transitions.obs.actor.client_action]
    )
    assert transitions.advice.dtype == np.int8
    assert np.any(transitions.advice != transitions.action)


def test_one_that_knows_all_sees_the_client(rollout):
    dyads = rollout[0].dyads
    params = SETTINGS.clients
    told = advice(replace(SMALL, teacher="best_cell"), jax.random.key(0), dyads, params)
    for number, act in enumerate(told):
        dyad = jax.tree.map(lambda x, number=number: x[number], dyads)
        assert act == BASELINES["best_cell"](jax.random.key(0), dyad, params)


def test_one_that_draws_does_so_for_each_client(rollout):
    dyads = rollout[0].dyads
    told = [
        advice(replace(SMALL, teacher="random"), key, dyads, SETTINGS.clients)
        for key in jax.random.split(jax.random.key(0), 8)
    ]
    assert len({tuple(column) for column in np.stack(told).T.tolist()}) == SMALL.n_envs


def test_one_may_answer_with_a_plain_number(rollout, monkeypatch):
    monkeypatch.setattr("jaxtherapy.ppo.teacher.BASELINES", {"stubborn": lambda key, view: 3})
    ppo = replace(SMALL, teacher="stubborn")
    told = advice(ppo, jax.random.key(0), rollout[0].dyads, SETTINGS.clients)
    assert told.tolist() == [3] * SMALL.n_envs and told.dtype == np.int8


def test_without_one_nothing_is_kept():
    state = init(SMALL, SETTINGS, 4)
    _, transitions, _ = collect(SMALL, SETTINGS, state)
    assert transitions.advice is None
    assert teacher_of(SMALL) is None


def test_the_loss_gains_the_cross_entropy(rollout):
    state, transitions, last = rollout
    _, batch, _ = advantages(TAUGHT, SETTINGS, state, transitions, last)
    networks = with_weights(SMALL, state.params)
    hyper = with_hyper(SETTINGS, teacher_coef=3).hyperparameters
    alone, _ = losses.loss(hyper, networks, batch._replace(advice=None))
    together, _ = losses.loss(hyper, networks, batch)
    logits = np.asarray(networks.actor(batch.obs.actor), np.float64)
    log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    said = log_probs[np.arange(len(logits)), np.asarray(batch.advice)]
    np.testing.assert_allclose(together - alone, -3 * said.mean(), rtol=1e-4)


def test_a_policy_becomes_its_teacher(rollout):
    state, transitions, last = rollout
    settings = with_hyper(SETTINGS, teacher_coef=10, learning_rate=0.01)
    _, batch, _ = advantages(TAUGHT, settings, state, transitions, last)
    update = compile_quickly(ppos.update, static_argnums=0)
    for _ in range(15):
        state, _ = update(TAUGHT, settings, state, batch)
    logits = with_weights(SMALL, state.params).actor(batch.obs.actor)
    assert jnp.mean(jnp.argmax(logits, axis=1) == batch.advice) > 0.95


def test_an_unknown_one_is_refused_before_anything_is_made(folder, capsys):
    assert tiny.train(folder, "--teacher", "freud") == 2
    assert "teacher 'freud' is no baseline; name one of complementary, " in capsys.readouterr().err
    assert not (folder / "models").exists() and not (folder / "logs").exists()


@pytest.mark.parametrize("more", [{"begin": lambda params: jnp.zeros(3)}, {"counts": True}])
def test_one_with_a_memory_is_refused(monkeypatch, more):
    minded = Therapist(lambda key, memory, view: (memory, 0), **more)
    monkeypatch.setattr("jaxtherapy.ppo.teacher.BASELINES", {"minded": minded})
    with pytest.raises(ConfigError, match="teacher minded has a memory"):
        teacher_of(replace(SMALL, teacher="minded"))
