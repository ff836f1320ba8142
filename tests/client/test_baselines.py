"""What holds of every baseline; what each one does: ``test_therapists.py``.

That its answers are octants, and the same for the same key: ``tests/test_choices.py``.
"""

import importlib
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtherapy.client.baselines import BASELINES
from jaxtherapy.client.dyad import hold_session, intakes
from jaxtherapy.client.octants import OCTANTS
from jaxtherapy.client.params import ClientParams
from jaxtherapy.client.simulation import simulate_course
from jaxtherapy.client.therapists import as_therapist
from jaxtherapy.discovery import names_in
from tests.client.replay import arrays

CONSTANT = [name for name in BASELINES if name.startswith("constant_")]
every_baseline = pytest.mark.parametrize("name", [x for x in BASELINES if x not in CONSTANT[1:]])

N_DYADS = 64
PARAMS = arrays(ClientParams(threshold=1.0, max_sessions=30))


@pytest.fixture(scope="module")
def dyads():
    """A few sessions into therapy, so that there is a past together."""

    def session(dyad, key):
        key_act, key_session = jax.random.split(key)
        acts = jax.random.randint(key_act, (N_DYADS,), 0, 8)
        hold = jax.vmap(hold_session, in_axes=(None, 0, 0, None, 0))
        return hold(key_session, dyad, acts, PARAMS, jnp.arange(N_DYADS)), None

    @jax.jit
    def run():
        begun = intakes(jax.random.key(0), PARAMS, jnp.arange(N_DYADS))
        return jax.lax.scan(session, begun, jax.random.split(jax.random.key(1), 4))[0]

    return run()


@cache
def compiled(name):
    therapist = as_therapist(BASELINES[name])

    def one(key, dyad):
        return therapist.act(key, therapist.begin(PARAMS), therapist.see(dyad, PARAMS))[1]

    return jax.jit(jax.vmap(one))


def answers(name, dyads, seed=0):
    return compiled(name)(jax.random.split(jax.random.key(seed), N_DYADS), dyads)


def test_files_come_first_and_eight_constants_follow():
    files = names_in("client/baselines")
    names = list(BASELINES)
    assert len(BASELINES) == len(names) == len(set(names))
    assert set(names[: len(files)]) == set(files)
    assert names[len(files) :] == [f"constant_{octant}" for octant in OCTANTS]
    with pytest.raises(KeyError):
        BASELINES["constant_X"]


@pytest.mark.parametrize("name", names_in("client/baselines"))
def test_every_baseline_is_one_documented_file(name):
    module = importlib.import_module(f"jaxtherapy.client.baselines.{name}")
    assert module.__doc__
    assert module.therapist is BASELINES[name]


@every_baseline
def test_every_baseline_answers_a_dyad_as_if_it_were_alone(name, dyads):
    among = answers(name, dyads)
    order = jax.tree.map(lambda x: x[::-1], dyads)
    if np.all(among == answers(name, dyads, seed=1)):  # draws nothing, or other keys would show
        np.testing.assert_array_equal(answers(name, order), among[::-1])


@every_baseline
def test_every_baseline_treats_whole_therapies(name):
    treat = partial(simulate_course, therapist=BASELINES[name], n_dyads=8, n_sessions=12)
    dyads, course = jax.jit(treat)(jax.random.key(2), PARAMS)
    assert np.all((course.therapist_act >= 0) & (course.therapist_act < 8))
    assert np.all(dyads.time == course.held.sum(axis=0))
    assert np.all(np.isfinite(dyads.client.rs))
