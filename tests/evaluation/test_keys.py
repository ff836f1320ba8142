"""Whose random numbers are whose: the therapist's, the client's and the twin's are independent."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtherapy.client.params import client_params
from jaxtherapy.client.perception import habitual_act
from jaxtherapy.client.simulation import simulate_course
from jaxtherapy.config import TrainingConfig
from jaxtherapy.evaluation.course import decode
from jaxtherapy.evaluation.grid import Player, play_grid, recorded_clients
from jaxtherapy.evaluation.twin import Twins
from tests.plausibility import assert_all_plausible, independent

KEY, CLIENTS, SESSIONS = jax.random.key(21), 2_000, 3
CELL = client_params(TrainingConfig(max_sessions=SESSIONS))


def drawing(weights):
    """As a twin does that answers by any octant, from the same kind of number."""
    return lambda key, dyad, params: jnp.floor(8 * jax.random.uniform(key))


@pytest.fixture(scope="module")
def therapies():
    grid = play_grid([drawing], [Player(0)], [CELL], CLIENTS, CLIENTS, KEY, SESSIONS)
    ends = [part[0] for part in (grid.outcomes.initial_rs, grid.outcomes.success)]
    return decode(grid.records.acts[0], grid.records.rs[0], *ends)


def test_what_a_therapist_draws_tells_nothing_of_how_it_is_heard(therapies):
    """False alarms: 0.1 %."""
    dyads, _ = simulate_course(KEY, CELL, drawing(None), CLIENTS, n_sessions=0)
    act, heard = therapies.therapist_act[:, 0], therapies.heard_act[:, 0]
    tells = act != np.asarray(jax.vmap(habitual_act)(dyads.client.memory))
    p_value = independent(act[tells], (heard == act)[tells], 8, 2)
    assert_all_plausible({"act, hearing": p_value}, rate=1e-3)


def test_what_a_therapist_draws_tells_nothing_of_its_twins_acts(therapies):
    """False alarms: 0.1 %."""
    twins = Twins([CELL], recorded_clients(1, CLIENTS, CLIENTS), KEY, SESSIONS)
    twin = twins.play(np.full((1, 8, 8), 1 / 8, np.float32))
    held = therapies.held & twin.held
    p_value = independent(therapies.therapist_act[held], twin.therapist_act[held], 8, 8)
    assert_all_plausible({"act, twin's act": p_value}, rate=1e-3)
