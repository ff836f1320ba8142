"""Settings that change while training: functions of the updates so far and of nothing else."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtherapy.config.schedules import KINDS, Schedule
from jaxtherapy.ppo import ppo as ppos
from jaxtherapy.ppo.schedules import settings_at
from tests.ppo.small import (
    SETTINGS,
    SMALL,
    assert_close,
    assert_identical,
    differ,
    evaluate,
    init,
    with_clients,
    with_hyper,
)

train = jax.jit(ppos.train, static_argnums=0)

STEPS = SMALL.steps_per_update


def schedule(kind, start, end, n_updates):
    return Schedule(kind, *map(np.float32, (start, end, n_updates * STEPS)))


def scheduled(**hyperparameters):
    return SETTINGS.replace(hyperparameters=SETTINGS.hyperparameters.replace(**hyperparameters))


def rate_at(settings, n_updates):
    at = settings_at(SMALL, settings, jnp.int32(n_updates))
    return float(at.hyperparameters.learning_rate)


# Kind → value a quarter, half and three quarters of the way from 8 to 2.
WAYPOINTS = {
    "linear": (6.5, 5, 3.5),
    "cosine": (5 + 3 * np.sqrt(0.5), 5, 5 - 3 * np.sqrt(0.5)),
    "exponential": (8 / np.sqrt(2), 4, 4 / np.sqrt(2)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_from_start_to_end_and_beyond(kind):
    settings = scheduled(learning_rate=schedule(kind, 8, 2, 4))
    found = [rate_at(settings, n) for n in range(7)]
    np.testing.assert_allclose(found, [8, *WAYPOINTS[kind], 2, 2, 2], rtol=1e-5)


def test_the_compiled_schedule_is_that_of_the_configuration():
    """One formula serves both."""
    for kind in KINDS:
        plain = Schedule(kind, 8.0, 2.0, 4 * STEPS)
        for n in range(6):
            compiled = rate_at(scheduled(learning_rate=schedule(kind, 8, 2, 4)), n)
            np.testing.assert_allclose(compiled, plain.at(n * STEPS), rtol=1e-5)


def test_clients_change_too():
    hard = schedule("linear", 0.5, 0.9, 2)
    settings = SETTINGS.replace(clients=SETTINGS.clients.replace(threshold=hard))
    at = settings_at(SMALL, settings, jnp.int32(1))
    np.testing.assert_allclose(at.clients.threshold, 0.7, rtol=1e-6)
    assert at.clients.entropy is settings.clients.entropy


def test_constants_cost_nothing(monkeypatch):
    """The program of a training step is the one without schedules."""
    state = init(SMALL, SETTINGS, 0)

    def program():
        jaxpr = jax.make_jaxpr(partial(ppos.train_step, SMALL))(SETTINGS, state)
        return re.sub(r"0x[0-9a-f]+", "", str(jaxpr))

    ours = program()
    monkeypatch.setattr(ppos, "settings_at", lambda ppo, settings, n_updates: settings)
    assert ours == program()
    changed = with_hyper(SETTINGS, gamma=0.5).replace(clients=SETTINGS.clients)
    monkeypatch.setattr(ppos, "settings_at", lambda *_: changed)
    assert ours != program(), "nothing is traced anew, so nothing is compared"


CHANGING = scheduled(
    learning_rate=schedule("linear", 1e-2, 1e-4, 2), ent_coef=schedule("exponential", 1, 0.01, 5)
)


def test_chunks_never_change_a_number():
    begun = init(SMALL, CHANGING, 5)
    at_once = train(SMALL, CHANGING, begun, 3)
    in_chunks = train(SMALL, CHANGING, train(SMALL, CHANGING, begun, 1), 2)
    assert_identical(at_once, in_chunks)
    constant = train(SMALL, with_hyper(SETTINGS, learning_rate=1e-2, ent_coef=1), begun, 1)
    first = train(SMALL, CHANGING, begun, 1)
    assert_close(first.params, constant.params)
    assert differ(at_once.params, train(SMALL, SETTINGS, begun, 3).params)


def test_every_update_learns_with_its_own_value():
    """Down to nothing over two updates: from the third on, weights stand still."""
    stopping = scheduled(
        learning_rate=schedule("linear", 1e-2, 0, 2), ent_coef=CHANGING.hyperparameters.ent_coef
    )
    states = [init(SMALL, stopping, 5)]
    for _ in range(3):
        states.append(train(SMALL, stopping, states[-1], 1))
    assert differ(states[1].params, states[2].params)
    assert_identical(states[2].params, states[3].params)
    assert differ(states[2].key, states[3].key)


def test_training_begins_with_the_start_and_is_evaluated_where_it_stands():
    """First clients with the first value, evaluation clients with the present one."""
    warming = SETTINGS.replace(
        clients=SETTINGS.clients.replace(
            threshold=schedule("linear", 0.9, 0.1, 2), entropy=schedule("linear", 1e6, 0.5, 2)
        )
    )
    begun = init(SMALL, warming, 3)
    assert_close(begun, init(SMALL, with_clients(SETTINGS, threshold=0.9, entropy=1e6), 3))
    for n, (threshold, entropy) in enumerate([(0.9, 1e6), (0.5, 5e5 + 0.25), (0.1, 0.5)]):
        state = begun.replace(n_updates=jnp.int32(n))
        now = evaluate(SMALL, warming, state)
        settings = with_clients(SETTINGS, threshold=threshold, entropy=entropy)
        assert_close(now, evaluate(SMALL, settings, state), rtol=1e-4, atol=1e-4)


def test_schedules_can_be_swept():
    """Start, end and horizon are leaves."""
    many = Schedule("linear", *map(jnp.asarray, ([1.0, 2.0], [0.0, 0.0], [2.0 * STEPS, STEPS])))
    rates = jax.vmap(lambda one: settings_at(SMALL, scheduled(learning_rate=one), jnp.int32(1)))(
        many
    ).hyperparameters.learning_rate
    np.testing.assert_allclose(rates, [0.5, 0.0])
