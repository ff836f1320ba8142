"""How memory shapes expectations: by hand, and what holds of every file in the folder."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtherapy.client.client import expected_payoffs, new_client
from jaxtherapy.client.dyad import intakes
from jaxtherapy.client.expectations import amplified, read_at_bond
from jaxtherapy.client.mechanisms import MECHANISMS
from jaxtherapy.client.params import ClientParams
from tests.client.replay import arrays

every_mechanism = pytest.mark.parametrize("name", tuple(MECHANISMS))

N_CLIENTS = 20


@pytest.fixture(scope="module")
def clients():
    return jax.jit(
        lambda: intakes(jax.random.key(0), ClientParams(), jnp.arange(N_CLIENTS))
    )().client


def amplifications(name, clients, params):
    return jax.vmap(lambda client: MECHANISMS[name](client, params))(clients)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bond_only", None),
        ("frequency_amplifier", 2.0 * 1.0),
        ("conditional_amplifier", 2.0 * 1.1 / 1.8),
        ("bond_weighted_frequency_amplifier", 0.5**3 * 2.0 * 1.0),
        ("bond_weighted_conditional_amplifier", 0.5**3 * 2.0 * 1.1 / 1.8),
    ],
)
def test_by_hand(name, expected):
    """A memory of nothing but (C, W): the frequency of W is 1, given C (1 + 0.1) / (1 + 0.8)."""
    params = ClientParams(
        mechanism=name, history_weight=2.0, smoothing=0.1, bond_power=3.0, recency_ratio=2.0
    )
    client = new_client(jnp.ones((8, 8)), jnp.full(50, 8 * 2 + 6, jnp.int8), params)
    amplification = MECHANISMS[name](client.replace(bond=jnp.float32(0.5)), params)
    if expected is None:
        assert amplification is None
    else:
        adjusted = amplified(jnp.ones((8, 8)), amplification)
        np.testing.assert_allclose(adjusted[6, 2], 1 + expected, rtol=1e-6)


@every_mechanism
def test_every_mechanism_is_one_documented_file(name):
    module = importlib.import_module(f"jaxtherapy.client.mechanisms.{name}")
    assert module.amplification is MECHANISMS[name]
    assert module.__doc__
    assert ClientParams(mechanism=name).mechanism == name


@every_mechanism
def test_every_mechanism_gives_finite_numbers_for_each_act_or_pair(name, clients):
    found = amplifications(name, clients, ClientParams(mechanism=name))
    if found is None:
        return
    assert found.shape in ((N_CLIENTS, 8), (N_CLIENTS, 8, 8))
    assert found.dtype == clients.u.dtype  # no integers, no silent double precision
    assert np.all(np.isfinite(found))
    # Of memories that know nothing but one exchange too, at the ends of what bonds can be.
    for code in (0, 63):
        for bond in (0.0, 1.0):
            client = new_client(clients.u[0], jnp.full(50, code, jnp.int8), ClientParams())
            amplification = MECHANISMS[name](
                client.replace(bond=jnp.float32(bond)), ClientParams(mechanism=name, smoothing=0.0)
            )
            assert np.all(np.isfinite(amplification))


@every_mechanism
def test_every_mechanism_computes_the_same_when_compiled_and_batched(name, clients):
    params = arrays(ClientParams(mechanism=name))
    payoffs = jax.vmap(expected_payoffs, in_axes=(0, None))
    at_once = jax.jit(payoffs)(clients, params)
    assert at_once.shape == (N_CLIENTS, 8)
    for i in range(3):
        alone = expected_payoffs(jax.tree.map(lambda x, i=i: x[i], clients), params)
        np.testing.assert_allclose(at_once[i], alone, rtol=1e-4, atol=1e-3)


@every_mechanism
def test_no_mechanism_works_without_history_weight(name, clients):
    """Amplifiers have one strength; at 0 utilities are as they are."""
    params = ClientParams(mechanism=name, history_weight=0.0)
    payoffs = jax.vmap(expected_payoffs, in_axes=(0, None))(clients, params)
    plain = jax.vmap(lambda client: read_at_bond(client.u, client.bond))(clients)
    np.testing.assert_allclose(payoffs, plain, rtol=1e-5, atol=1e-4)


@every_mechanism
def test_every_amplifier_grows_with_history_weight(name, clients):
    one, two = (
        amplifications(name, clients, ClientParams(mechanism=name, history_weight=weight))
        for weight in (1.0, 2.0)
    )
    if one is not None:
        np.testing.assert_allclose(two, 2 * one, rtol=1e-5)
        assert np.any(one != 0)


@every_mechanism
def test_every_number_of_a_mechanism_can_be_swept(name, clients):
    """A leaf that is read as a Python number fails here."""
    client = jax.tree.map(lambda x: x[0], clients)
    params = arrays(ClientParams(mechanism=name))
    many = jax.tree.map(lambda x: np.stack([x, x]), params)
    swept = jax.jit(jax.vmap(expected_payoffs, in_axes=(None, 0)))(client, many)
    alone = expected_payoffs(client, params)
    np.testing.assert_allclose(swept, np.stack([alone, alone]), rtol=1e-4, atol=1e-3)
