"""Therapists compared on the same clients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtherapy.client import therapists
from jaxtherapy.client.octants import COMPLEMENT
from jaxtherapy.evaluation.comparison import compare
from jaxtherapy.ppo import evaluation
from tests.ppo.small import (
    SETTINGS,
    SMALL,
    assert_close,
    assert_identical,
    evaluate,
    evaluate_therapist,
    init,
)

CLIENTS = SETTINGS.clients


def complementary_again(key, dyad, params):
    """The same therapist in other words, to be another function for JAX."""
    return jnp.asarray(COMPLEMENT, jnp.int32)[dyad.client_act]


@pytest.fixture(scope="module")
def state():
    return init(SMALL, SETTINGS, 1)


@pytest.fixture(scope="module")
def compared(state):
    """The untrained policy among the baselines, and one of those twice."""

    def run(params, key):
        learner = evaluation.policy_therapist(SMALL, params)
        four = (therapists.complementary, therapists.random, learner, complementary_again)
        return compare(SMALL, CLIENTS, key, four).result

    return jax.jit(run)(state.params, state.eval_key)


def row(result, i):
    return jax.tree.map(lambda x: x[i], result)


def test_one_row_per_therapist(compared):
    for outcome in compared:
        assert outcome.shape == (4,)
        assert np.all(np.isfinite(outcome))


def test_a_row_is_what_the_therapist_does_alone(state, compared):
    alone = evaluate_therapist(SMALL, CLIENTS, state.eval_key, therapists.complementary)
    assert_close(row(compared, 0), alone)
    assert_close(row(compared, 2), evaluate(SMALL, SETTINGS, state))


def test_all_meet_the_same_clients(compared):
    """Doing the same leads to the same, to the bit; and company does not matter."""
    assert_identical(row(compared, 0), row(compared, 3))
    assert np.any(compared.reward_mean[0] != compared.reward_mean[1])
