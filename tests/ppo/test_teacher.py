"""Copying a baseline: what it would do is kept with each session, and the loss draws to it."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtherapy.client.baselines import BASELINES
from jaxtherapy.client.octants import COMPLEMENT
from jaxtherapy.client.therapists import Therapist
from jaxtherapy.envs.planner import Planner, best_answers
from jaxtherapy.errors import ConfigError
from jaxtherapy.networks.actor_critic import with_weights
from jaxtherapy.ppo import losses
from jaxtherapy.ppo import ppo as ppos
from jaxtherapy.ppo.teacher import advice, begin, teacher_of
from tests.ppo.small import SETTINGS, SMALL, advantages, collect, init, numpy, with_hyper
from tests.training import tiny

TAUGHT = replace(SMALL, teacher="complementary")


def advised(name, key, dyads):
    """What a teacher says that remembers nothing."""
    ppo, params = replace(SMALL, teacher=name), SETTINGS.clients
    return advice(ppo, key, dyads, params, begin(ppo, params))[1]


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
    told = advised("best_cell", jax.random.key(0), dyads)
    for number, act in enumerate(told):
        dyad = jax.tree.map(lambda x, number=number: x[number], dyads)
        assert act == BASELINES["best_cell"](jax.random.key(0), dyad, params)


def test_one_that_draws_does_so_for_each_client(rollout):
    dyads = rollout[0].dyads
    told = [advised("random", key, dyads) for key in jax.random.split(jax.random.key(0), 8)]
    assert len({tuple(column) for column in np.stack(told).T.tolist()}) == SMALL.n_envs


def test_one_may_answer_with_a_plain_number(rollout, monkeypatch):
    monkeypatch.setattr("jaxtherapy.ppo.teacher.BASELINES", {"stubborn": lambda key, view: 3})
    told = advised("stubborn", jax.random.key(0), rollout[0].dyads)
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
    update = jax.jit(ppos.update, static_argnums=0)
    for _ in range(15):
        state, _ = update(TAUGHT, settings, state, batch)
    logits = with_weights(SMALL, state.params).actor(batch.obs.actor)
    assert jnp.mean(jnp.argmax(logits, axis=1) == batch.advice) > 0.95


def test_an_unknown_one_is_refused_before_anything_is_made(folder, capsys):
    assert tiny.train(folder, "--teacher", "freud") == 2
    assert "teacher 'freud' is no baseline; name one of complementary, " in capsys.readouterr().err
    assert not (folder / "models").exists() and not (folder / "logs").exists()


def test_what_it_remembers_begins_with_each_therapy(rollout, monkeypatch):
    """One that counts its own sessions says how many it has held with each client."""
    counting = Therapist(
        lambda key, memory, view: (memory + 1, jnp.minimum(memory, 7)),
        begin=lambda params: jnp.int32(0),
    )
    monkeypatch.setattr("jaxtherapy.ppo.teacher.BASELINES", {"counting": counting})
    ppo, dyads = replace(SMALL, teacher="counting"), rollout[0].dyads
    dyads = dyads.replace(time=jnp.array([0, 3, 0, 5]))
    memory = jnp.array([4, 4, 0, 2])
    memory, told = advice(ppo, jax.random.key(0), dyads, SETTINGS.clients, memory)
    assert told.tolist() == [0, 4, 0, 2] and memory.tolist() == [1, 5, 1, 3]
    assert begin(ppo, SETTINGS.clients).tolist() == [0] * SMALL.n_envs


def test_the_planner_plans_at_the_start_of_a_rollout(rollout, monkeypatch):
    """Whatever the session: it keeps no map from the rollout before."""
    best_answers_alone = Planner(library=lambda dyad: best_answers(dyad)[None], simulations=1)
    monkeypatch.setattr("jaxtherapy.ppo.teacher._PLANNER", best_answers_alone)
    dyads = rollout[0].dyads.replace(time=jnp.arange(1, 1 + SMALL.n_envs))
    expected = [
        BASELINES["myopic"](
            jax.random.key(0), jax.tree.map(lambda x, i=i: x[i], dyads), SETTINGS.clients
        )
        for i in range(SMALL.n_envs)
    ]
    assert advised("planner", jax.random.key(0), dyads).tolist() == expected


def test_one_that_counts_exchanges_is_refused(monkeypatch):
    minded = Therapist(lambda key, memory, view: (memory, 0), counts=True)
    monkeypatch.setattr("jaxtherapy.ppo.teacher.BASELINES", {"minded": minded})
    with pytest.raises(ConfigError, match="teacher minded counts exchanges"):
        teacher_of(replace(SMALL, teacher="minded"))
