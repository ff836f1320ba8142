"""Shaping leads the way without moving the goal."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxtherapy.client.client import new_client
from jaxtherapy.client.dyad import hold_session, intakes, is_over, open_with, terminated
from jaxtherapy.client.params import ClientParams
from jaxtherapy.config.settings import Hyperparameters
from jaxtherapy.envs.shaping import potential, shaping

PARAMS = ClientParams(threshold=0.7)
DYAD = open_with(new_client(2 * jnp.eye(8) - 1, jnp.zeros(50, jnp.int8), PARAMS), 0)
OFF = Hyperparameters(gamma=0.5)


def at(share, bond=0.0, **ending):
    """A dyad whose client, with utilities from −1 to 1, is this far."""
    client = DYAD.client.replace(rs=jnp.float32(2 * share - 1), bond=jnp.float32(bond))
    return DYAD.replace(client=client, **{name: jnp.bool_(x) for name, x in ending.items()})


def test_it_is_off_by_default():
    assert shaping(Hyperparameters(), at(0.2), at(0.4), PARAMS) is None


@pytest.mark.parametrize(
    ("coefficients", "expected"),
    [
        ({"shaping_rs": 3.0}, 300 * (0.5 * 0.4 - 0.2)),
        ({"shaping_bond": 2.0}, 200 * (0.5 * 0.9 - 0.1)),
        ({"shaping_distance": 1.0}, 100 * (0.5 * -0.3 - -0.5)),
        ({"shaping_rs": 3.0, "shaping_bond": 2.0}, 300 * (0.2 - 0.2) + 200 * (0.45 - 0.1)),
        ({"shaping_rs": 0.0}, 0),
    ],
    ids=str,
)
def test_each_coefficient_counts_hundreds_of_points(coefficients, expected):
    before, after = at(0.2, bond=0.1), at(0.4, bond=0.9)
    hyper = OFF.replace(**coefficients)
    np.testing.assert_allclose(shaping(hyper, before, after, PARAMS), expected, atol=1e-4)


def test_beyond_the_threshold_there_is_no_distance():
    hyper = OFF.replace(shaping_distance=1.0)
    assert potential(hyper, at(0.75), PARAMS) == 0
    np.testing.assert_allclose(potential(hyper, at(0.65), PARAMS), -5, atol=1e-4)
    own = PARAMS.replace(threshold=0.75)  # of each client
    np.testing.assert_allclose(potential(hyper, at(0.65), own), -10, atol=1e-4)


@pytest.mark.parametrize("ending", ["success", "dropped_out"])
def test_after_a_termination_nothing_is_left(ending):
    after = at(0.9, **{ending: True})
    hyper = OFF.replace(shaping_rs=1.0)
    np.testing.assert_allclose(shaping(hyper, at(0.6), after, PARAMS), -60, atol=1e-4)


def test_where_sessions_run_out_the_potential_stays():
    hyper = OFF.replace(shaping_rs=1.0)
    last = at(0.4).replace(time=jnp.int32(PARAMS.max_sessions))
    np.testing.assert_allclose(shaping(hyper, at(0.6), last, PARAMS), 20 - 60, atol=1e-4)


def test_a_client_whose_utilities_are_all_the_same_has_no_share():
    flat = DYAD.replace(client=DYAD.client.replace(u_high=DYAD.client.u_low))
    assert shaping(OFF.replace(shaping_rs=1.0), flat, flat, PARAMS) == 0


numbers = st.floats(0, 1, width=32)


@settings(max_examples=100, deadline=None)
@given(
    way=st.lists(st.tuples(numbers, numbers), min_size=2, max_size=12),
    gamma=numbers,
    coefficients=st.tuples(*[st.none() | st.floats(0, 10, width=32)] * 3),
    ending=st.sampled_from(["success", "dropped_out", "max_sessions", "goes on"]),
)
def test_returns_telescope(way, gamma, coefficients, ending):
    """Σ γ^t F_t = γ^T·Φ_T − Φ_0 along any way through a therapy, Φ_T 0 if it terminated."""
    names = ("shaping_rs", "shaping_bond", "shaping_distance")
    given_ones = dict(zip(names, coefficients, strict=True))
    hyper = Hyperparameters(gamma=np.float32(gamma), **given_ones)
    ended = {ending: True} if ending in ("success", "dropped_out") else {}
    dyads = [at(*each) for each in way[:-1]] + [at(*way[-1], **ended)]
    last = PARAMS.max_sessions if ending == "max_sessions" else len(dyads)
    dyads[-1] = dyads[-1].replace(time=jnp.int32(last))
    stack = jax.tree.map(lambda *x: jnp.asarray(np.stack(x)), *dyads)
    before, after = (jax.tree.map(lambda x, i=i: x[i:][: len(way) - 1], stack) for i in (0, 1))
    added = shaping(hyper, before, after, PARAMS)
    if not any(each is not None for each in coefficients):
        assert added is None
        return
    of = np.asarray(potential(hyper, stack, PARAMS), np.float64)
    n = len(way) - 1
    rest = 0 if ended else float(np.float32(gamma)) ** n * of[-1]
    total = np.sum(float(np.float32(gamma)) ** np.arange(n) * np.asarray(added, np.float64))
    np.testing.assert_allclose(total, rest - of[0], atol=1e-5 * (1 + np.abs(of).max()) * n)


def test_returns_of_simulated_therapies_telescope():
    """Clients from intake to each of the three endings."""
    params = PARAMS.replace(threshold=0.5, max_sessions=14)
    hyper = Hyperparameters(gamma=0.9, shaping_rs=3.0, shaping_bond=1.0, shaping_distance=2.0)
    numbers = jnp.arange(32)

    def session(dyads, key):
        acts = jax.random.randint(key, numbers.shape, 0, 8)
        hold = jax.vmap(hold_session, in_axes=(None, 0, 0, None, 0))
        later = hold(key, dyads, acts, params, numbers)
        over = is_over(dyads, params)
        later = jax.tree.map(
            lambda x, y: jnp.where(over.reshape(-1, *[1] * (x.ndim - 1)), x, y), dyads, later
        )
        return later, jnp.where(over, 0.0, shaping(hyper, dyads, later, params))

    @jax.jit
    def run():
        first = intakes(jax.random.key(0), params, numbers)
        last, added = jax.lax.scan(session, first, jax.random.split(jax.random.key(1), 14))
        return first, last, added

    first, last, added = run()
    assert last.success.any() and last.dropped_out.any() and (~terminated(last)).any()
    total = np.sum(0.9 ** np.arange(14)[:, None] * added, axis=0)
    rest = jnp.where(terminated(last), 0, 0.9**last.time * potential(hyper, last, params))
    np.testing.assert_allclose(total, rest - potential(hyper, first, params), atol=0.02)
