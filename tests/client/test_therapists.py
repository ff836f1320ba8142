"""What baselines do, the omniscient one by brute force; observations and memory."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtherapy.client import dyad as dyads
from jaxtherapy.client import therapists
from jaxtherapy.client.baselines import answers_of, map_name
from jaxtherapy.client.baselines.myopic import expected_next_rs
from jaxtherapy.client.client import new_client
from jaxtherapy.client.params import ClientParams
from jaxtherapy.client.perception import habitual_act
from jaxtherapy.client.simulation import begin, session, simulate_course
from tests import oracle
from tests.client.replay import arrays
from tests.plausibility import assert_all_plausible, goodness_of_fit

KEY, PARAMS = jax.random.key(0), ClientParams()


def facing(client_act):
    client = new_client(jnp.eye(8), jnp.zeros(50, jnp.int8), PARAMS)
    return dyads.open_with(client, client_act)


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


N = 40


@jax.jit
def clients(key, params):
    """Dyads a few sessions into therapy, so that memory and habit have formed."""

    def one(key):
        dyad = dyads.intake(jax.random.fold_in(key, 0), params)
        for number in range(3):
            now = jax.random.fold_in(key, number + 1)
            dyad = dyads.hold_session(now, dyad, jax.random.randint(now, (), 0, 8), params)
        return dyad

    return jax.vmap(one)(jax.random.split(key, N))


@jax.jit
def after_hearing(dyad, act, heard, params):
    """RS after each client heard ``heard`` when ``act`` was done."""
    return jax.vmap(lambda d: dyads.respond(d, act, heard, params).client.rs)(dyad)


@jax.jit
def expectations(dyad, params):
    expected = jax.vmap(lambda d: expected_next_rs(d, params))(dyad)
    chosen = jax.vmap(lambda d: therapists.myopic(jax.random.key(0), d, params))(dyad)
    return expected, chosen, jax.vmap(lambda d: habitual_act(d.client.memory))(dyad)


@pytest.mark.parametrize(
    ("accuracy", "parataxic"), [(0.5, True), (0.2, True), (0.0, True), (0.3, False)]
)
def test_myopic_expectation_by_brute_force(accuracy, parataxic):
    """Every act, both ways of hearing it, through the client's own memory, weighted."""
    params = arrays(ClientParams(baseline_accuracy=accuracy, enable_parataxic=parataxic))
    dyad = clients(jax.random.key(1), params)
    expected, chosen, habit = map(np.asarray, expectations(dyad, params))
    p = accuracy if parataxic else 1.0
    if_heard = np.stack(
        [np.asarray(after_hearing(dyad, jnp.int8(0), jnp.int8(a), params)) for a in range(8)], 1
    )
    misheard = if_heard[np.arange(N), habit]
    brute = p * if_heard + (1 - p) * misheard[:, None]
    # Utilities of tens cancel: near zero only the absolute error means something.
    np.testing.assert_allclose(expected, brute, rtol=1e-5, atol=1e-5)
    if p > 0:
        np.testing.assert_allclose(brute[np.arange(N), chosen], brute.max(1), rtol=1e-6)
        assert len(set(chosen.tolist())) > 3


def test_expectation_is_the_mean_of_played_sessions():
    """20 000 sessions of one dyad: the mean RS lies within five standard errors."""
    params = arrays(ClientParams(baseline_accuracy=0.4))
    dyad = jax.tree.map(lambda leaf: leaf[0], clients(jax.random.key(2), params))
    expected = expected_next_rs(dyad, params)

    @jax.jit
    def played(act):
        keys = jax.random.split(jax.random.key(3), 20_000)
        held = jax.vmap(lambda key: dyads.hold_session(key, dyad, act, params))(keys)
        return held.client.rs

    for act in (0, 3, 6):
        rs = np.asarray(played(jnp.int8(act)), float)
        assert abs(rs.mean() - expected[act]) <= 5 * rs.std() / np.sqrt(20_000) + 1e-4


# --- memory --------------------------------------------------------------------------------------


def in_turn(key, memory, observation):
    """Answers with the number of the session and remembers how many there were."""
    return memory + 1, memory % 8


COUNTING = therapists.Therapist(in_turn, begin=lambda params: jnp.int32(0))


def test_a_therapist_may_remember(course_of_counting):
    """What it begins with at intake and passes on from session to session, dyad by dyad."""
    _, course = course_of_counting
    for i in range(N):
        held = course.held[:, i]
        np.testing.assert_array_equal(course.therapist_act[held, i], np.arange(held.sum()) % 8)


@pytest.fixture(scope="module")
def course_of_counting():
    params = arrays(ClientParams(threshold=0.7, max_sessions=20))
    simulated = jax.jit(lambda key: simulate_course(key, params, COUNTING, N, 24))
    return jax.tree.map(np.asarray, simulated(jax.random.key(4)))


def test_memory_is_left_as_it_is_once_a_therapy_is_over(course_of_counting):
    """Therapies of one batch end at different times; none is remembered that is not held."""
    _, course = course_of_counting
    params = arrays(ClientParams(threshold=0.7, max_sessions=20))

    @jax.jit
    def remembered(key):
        def next_session(before, time):
            held = jax.vmap(lambda i, one: session(key, time, i, one, COUNTING, params)[0])
            return held(jnp.arange(N), before), None

        first = jax.vmap(lambda i: begin(key, i, COUNTING, params))(jnp.arange(N))
        return jax.lax.scan(next_session, first, jnp.arange(1, 25))[0]

    last = remembered(jax.random.key(4))
    np.testing.assert_array_equal(last.memory, last.dyad.time)
    np.testing.assert_array_equal(last.memory, course.held.sum(axis=0))
    assert len(np.unique(last.memory)) > 2


def test_functions_without_memory_are_therapists():
    """Of two arguments: what a therapist may see. Of three: everything."""
    dyad = facing(5)

    def open_book(key, dyad, params):
        assert isinstance(dyad, dyads.Dyad) and isinstance(params, ClientParams)
        return dyad.client_act

    def closed_book(key, observation):
        assert isinstance(observation, dyads.Observation)
        return observation.client_action

    def with_a_default(key, observation, shift=1):
        return observation.client_action + shift

    for function, act in ((open_book, 5), (closed_book, 5), (with_a_default, 6)):
        therapist = therapists.as_therapist(function)
        memory = therapist.begin(PARAMS)
        after, answer = therapist.act(KEY, memory, therapist.see(dyad, PARAMS))
        assert answer == act
        assert jax.tree.leaves((memory, after)) == []


def test_a_therapist_stays_one():
    assert therapists.as_therapist(COUNTING) is COUNTING


def test_a_therapist_sees_what_it_asks_for():
    """By default what a therapist may see."""
    dyad = facing(2)
    assert isinstance(COUNTING.see(dyad, PARAMS), dyads.Observation)
    omniscient = therapists.Therapist(
        lambda key, memory, bond: (memory, jnp.int8(0)), see=lambda dyad, params: dyad.client.bond
    )
    assert omniscient.see(dyad, PARAMS) == dyad.client.bond


def test_taking_turns_keeps_memories_apart():
    """Only the therapist whose turn it is acts and remembers."""
    down = therapists.Therapist(
        lambda key, memory, view: ({"left": memory["left"] - 1}, memory["left"]),
        begin=lambda params: {"left": jnp.int32(7)},
    )
    mirror = therapists.as_therapist(therapists.mirror)
    together = [COUNTING, down, mirror]
    dyad = facing(4)

    @jax.jit
    def one(which, memory):
        turn = therapists.taking_turns(together, which)
        return turn.act(KEY, memory, turn.see(dyad, PARAMS))

    memory = therapists.taking_turns(together, jnp.int32(0)).begin(PARAMS)
    acts = []
    for which in (0, 0, 1, 2, 1, 0):
        memory, act = one(which, memory)
        acts.append(int(act))
    assert acts == [0, 1, 7, 4, 6, 2]
    assert memory == (3, {"left": 5}, ())


def test_there_is_a_baseline_for_every_octant():
    constants = [name for name in therapists.BASELINES if name.startswith("constant_")]
    assert constants == [f"constant_{o}" for o in ("D", "WD", "W", "WS", "S", "CS", "C", "CD")]
    acts = [int(therapists.BASELINES[name](KEY, facing(0), PARAMS)) for name in constants]
    assert acts == list(range(8))


def test_a_therapist_that_counts_sees_all_exchanges_so_far():
    """Alone, and taking turns with one that does not."""

    def act(key, memory, dyad):
        return memory, (jnp.sum(dyad.exchanges) % 8).astype(jnp.int8)

    counting = therapists.Therapist(act, see=lambda dyad, params: dyad, counts=True)
    params = arrays(ClientParams(threshold=1.0, max_sessions=30, dropout_session=0))
    in_turn = therapists.taking_turns(
        [counting, therapists.as_therapist(therapists.random)], jnp.int32(0)
    )
    for therapist in (counting, in_turn):
        ended, course = simulate_course(KEY, params, therapist, n_dyads=2, n_sessions=30)
        np.testing.assert_array_equal(course.therapist_act[:, 0], np.arange(30) % 8)
        assert ended.exchanges.sum() == 60
    assert simulate_course(KEY, params, therapists.mirror, 2, 3)[0].exchanges is None


# --- maps -----------------------------------------------------------------------------------

MAP = "fixed_map:S,WS,W,WD,D,CD,C,CS"


def test_a_map_is_the_baseline_that_it_encodes():
    """Complementarity and a constant act, bit for bit over whole therapies, by name too."""
    play = partial(simulate_course, KEY, params=arrays(PARAMS), n_dyads=20, n_sessions=15)
    for of_map, same in (
        (therapists.fixed_map(oracle.COMPLEMENT), therapists.complementary),
        (therapists.BASELINES[MAP], therapists.complementary),
        (therapists.fixed_map([6] * 8), therapists.constant(6)),
    ):
        ours, theirs = (jax.jit(partial(play, therapist=x))() for x in (of_map, same))
        jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_many_maps_are_one_program():
    """A map is a leaf: vmap over maps, as over any other."""
    maps = jnp.stack([jnp.asarray(oracle.COMPLEMENT), jnp.full(8, 3)])

    def play(answers):
        therapist = therapists.fixed_map(answers)
        return simulate_course(KEY, arrays(PARAMS), therapist, 6, 8)[1].therapist_act

    both = jax.jit(jax.vmap(play))(maps)
    for ours, answers in zip(both, maps, strict=True):
        np.testing.assert_array_equal(ours, jax.jit(play)(answers))


def test_maps_have_names():
    assert map_name(oracle.COMPLEMENT) == MAP
    assert answers_of(MAP) == list(oracle.COMPLEMENT)
    assert answers_of(MAP.replace("WS", "ws")) == list(oracle.COMPLEMENT)
    assert MAP in therapists.BASELINES and MAP not in list(therapists.BASELINES)
    for wrong in ("fixed_map:", "fixed_map:S", MAP + ",C", MAP.replace("CD", "X"), MAP[1:]):
        assert wrong not in therapists.BASELINES


@pytest.mark.parametrize("client_act", range(8))
def test_best_cell_leads_warm_acts_to_what_the_client_likes_most(client_act):
    u = np.arange(64.0).reshape(8, 8) % 7 + np.eye(8)
    u[3, 6] = 100.0
    client = new_client(jnp.asarray(u, jnp.float32), jnp.zeros(50, jnp.int8), PARAMS)
    answer = therapists.best_cell(KEY, dyads.open_with(client, client_act), PARAMS)
    assert answer == (6 if client_act in (1, 2, 3) else u[client_act].argmax())
