"""Baselines do what they are called."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtherapy.client import therapists
from jaxtherapy.client.dyad import open_with
from jaxtherapy.client.person import ClientParams, meet
from tests import oracle
from tests.chance import assert_all_plausible, goodness_of_fit

KEY, PARAMS = jax.random.key(0), ClientParams()


def facing(client_act):
    client = meet(jnp.eye(8), jnp.zeros(50, jnp.int8), PARAMS)
    return open_with(client, client_act)


@pytest.mark.parametrize("client_act", range(8))
def test_answers(client_act):
    dyad = facing(client_act)
    assert therapists.complementary(KEY, dyad, PARAMS) == oracle.COMPLEMENT[client_act]
    assert therapists.anticomplementary(KEY, dyad, PARAMS) == oracle.ANTICOMPLEMENT[client_act]
    assert therapists.mirror(KEY, dyad, PARAMS) == client_act
    assert therapists.constant(client_act)(KEY, facing(3), PARAMS) == client_act


def test_random_is_uniform():
    """False alarms: 0.1 %."""
    keys = jax.random.split(jax.random.key(1), 20_000)
    acts = jax.vmap(lambda key: therapists.random(key, facing(0), PARAMS))(keys)
    counts = np.bincount(acts, minlength=8)
    assert_all_plausible({"uniform": goodness_of_fit(counts, np.ones(8))}, rate=1e-3)
