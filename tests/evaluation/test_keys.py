"""Whose random numbers are whose: therapist's, client's and control's are independent."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtherapy.client.params import client_params
from jaxtherapy.client.perception import habitual_act
from jaxtherapy.client.simulation import simulate_course
from jaxtherapy.config import TrainingConfig
from jaxtherapy.evaluation.course import decode
from jaxtherapy.evaluation.grid import play_some
from tests.evaluation.small_grid import panel_of, play
from tests.plausibility import assert_all_plausible, independent

KEY, CLIENTS, SESSIONS = jax.random.key(21), 2_000, 3
CELL = client_params(TrainingConfig(max_sessions=SESSIONS))


def drawing(key, dyad, params):
    """As a control does that answers by any octant, from the same kind of number."""
    return jnp.int8(jnp.floor(8 * jax.random.uniform(key)))


@pytest.fixture(scope="module")
def both():
    """The therapies of a therapist, and of its control that answers by any octant."""
    panel = panel_of(drawing)

    def then(programs, grid, design):
        told = []
        for number, answers in ((1, None), (0, np.full((1, 8, 8), 1 / 8, np.float32))):
            who = replace(panel.candidates[0], weights=np.int32(number))
            _, ends, record, _ = play_some(programs, who, *design.recorded, answers=answers)
            told.append(decode(record, ends.initial_rs, ends.success))
        return told

    return play(panel, [CELL], CLIENTS, CLIENTS, KEY, then)


def test_what_a_therapist_draws_tells_nothing_of_how_it_is_heard(both):
    """False alarms: 0.1 %."""
    dyads, _ = simulate_course(KEY, CELL, drawing, CLIENTS, n_sessions=0)
    therapies = both[0]
    act, heard = therapies.therapist_act[:, 0], therapies.heard_act[:, 0]
    tells = act != np.asarray(jax.vmap(habitual_act)(dyads.client.memory))
    p_value = independent(act[tells], (heard == act)[tells], 8, 2)
    assert_all_plausible({"act, hearing": p_value}, rate=1e-3)


def test_what_a_therapist_draws_tells_nothing_of_its_controls_acts(both):
    """False alarms: 0.1 %."""
    therapies, control = both
    held = therapies.held & control.held
    p_value = independent(therapies.therapist_act[held], control.therapist_act[held], 8, 8)
    assert_all_plausible({"act, control's act": p_value}, rate=1e-3)
