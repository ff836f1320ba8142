"""What an outcome is worth. Every ending: ``tests/client/test_dyad.py``."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxtherapy.client.dyad import open_with
from jaxtherapy.client.params import ClientParams, meet
from jaxtherapy.envs.rewards import reward

PARAMS = ClientParams(max_sessions=60)
DYAD = open_with(meet(jnp.eye(8), jnp.zeros(50, jnp.int8), PARAMS), 0)


@pytest.mark.parametrize(
    ("success", "dropped_out", "time", "expected"),
    [
        (False, False, 5, 0),
        (False, False, 60, 0),
        (True, False, 1, 218),
        (True, False, 60, 100),
        (False, True, 10, -150),
        (True, True, 10, -150),  # dropout wins
    ],
)
def test_rewards(success, dropped_out, time, expected):
    ended = DYAD.replace(
        success=jnp.bool_(success), dropped_out=jnp.bool_(dropped_out), time=jnp.int32(time)
    )
    earned = reward(ended, PARAMS)
    assert earned == expected
    assert earned.dtype == np.float32
    assert earned.shape == ()
