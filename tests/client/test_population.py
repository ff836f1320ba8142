"""Clients whose numbers differ.

Statistical tests have fixed seeds, so they pass or fail for good; the error rates say how likely
a correct implementation would have failed them with another seed.
"""

import hashlib
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxtherapy.client import therapists
from jaxtherapy.client.dyad import intake, intakes, is_over, observe
from jaxtherapy.client.params import ClientParams, check_params
from jaxtherapy.client.population import draw, draw_numbers, ends
from jaxtherapy.client.simulation import params_of, simulate, simulate_course
from jaxtherapy.client.therapists import Therapist
from jaxtherapy.config.distributions import Distribution
from jaxtherapy.envs.rewards import reward
from jaxtherapy.fast.random_bits import uniforms
from tests.client.replay import arrays, is_double

N = 20_000
ALPHA = 1e-4
"""The error rate of each statistical test."""

UNIFORM = Distribution("uniform", (0.6, 0.9))
POPULATION = ClientParams(
    threshold=UNIFORM,
    max_sessions=Distribution("uniform", (5, 12)),
    recency_ratio=Distribution("log_uniform", (1.0, 10.0)),
    entropy=Distribution("normal", (1.0, 0.5), (0.5, 2.0)),
    baseline_accuracy=Distribution("choice", (0.2, 0.9), weights=(1.0, 3.0)),
)


def drawn(distribution, whole=False, n=N):
    points = uniforms(jax.random.key(5), n)
    return np.asarray(jax.vmap(partial(draw, distribution, whole=whole))(points))


@pytest.mark.parametrize(
    "distribution",
    [
        UNIFORM,
        POPULATION.recency_ratio,
        POPULATION.entropy,
        POPULATION.baseline_accuracy,
    ],
    ids=str,
)
def test_no_draw_is_beyond_the_ends(distribution):
    points = jnp.float32([0, 0.5, 1 - 2**-24])
    values = np.asarray(jax.vmap(partial(draw, distribution))(points))
    low, high = np.min(ends(distribution)), np.max(ends(distribution))
    assert np.all((low <= values) & (values <= high))
    assert (high - low) * 0.99 <= np.ptp(values)


def test_the_ends_of_a_constant_are_the_constant():
    assert ends(0.5).tolist() == [0.5]


# --- constants ------------------------------------------------------------------------------


@pytest.mark.skipif(is_double(), reason="recorded in float32")
def test_constant_clients_are_bit_for_bit_those_before_there_were_populations():
    """Recorded at commit c2feb8e: what was said and heard, and how long therapies took."""
    params = ClientParams(threshold=0.7, max_sessions=30)
    dyads, course = simulate_course(jax.random.key(7), params, therapists.complementary, 200, 30)
    digest = hashlib.sha256()
    for part in (course.held, course.client_act, course.heard_act):
        digest.update(np.asarray(part).tobytes())
    assert digest.hexdigest()[:16] == "a9093b5b86e813bf"
    assert hashlib.sha256(np.asarray(dyads.time).tobytes()).hexdigest()[:16] == "094ee50bc26051ef"


def test_constants_draw_nothing():
    assert intake(jax.random.key(0), ClientParams()).drawn == {}
    params = ClientParams()
    assert params.numbers_of(intake(jax.random.key(0), params)) is params


# --- draws ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("distribution", "expected"),
    [
        (Distribution("uniform", (2.0, 6.0)), stats.uniform(2, 4)),
        (Distribution("log_uniform", (0.1, 10.0)), stats.loguniform(0.1, 10)),
        (Distribution("normal", (3.0, 0.5)), stats.norm(3, 0.5)),
    ],
)
def test_draws_follow_the_distribution(distribution, expected):
    """Kolmogorov-Smirnov."""
    assert stats.kstest(drawn(distribution), expected.cdf).pvalue > ALPHA


def test_a_clipped_normal_has_its_tails_at_the_ends():
    values = drawn(Distribution("normal", (3.0, 1.0), (2.0, 5.0)))
    assert values.min() == 2 and values.max() == 5
    for end, share in ((2, stats.norm.cdf(-1)), (5, stats.norm.sf(2))):
        count = int((values == end).sum())
        assert stats.binomtest(count, N, share).pvalue > ALPHA
    inner = values[(values > 2) & (values < 5)]
    assert stats.kstest(inner, stats.truncnorm(-1, 2, 3, 1).cdf).pvalue > ALPHA


@pytest.mark.parametrize(
    ("distribution", "shares"),
    [
        (Distribution("uniform", (3, 7)), {n: 0.2 for n in range(3, 8)}),
        (
            Distribution("log_uniform", (1, 3)),
            {n: np.log((n + 1) / n) / np.log(4) for n in (1, 2, 3)},
        ),
        (Distribution("choice", (10, 20, 50), weights=(1, 0, 3)), {10: 0.25, 50: 0.75}),
        (Distribution("choice", (10, 20)), {10: 0.5, 20: 0.5}),
        (
            Distribution("normal", (5, 1), (4, 6)),
            {4: stats.norm.cdf(-0.5), 5: 1 - 2 * stats.norm.cdf(-0.5), 6: stats.norm.cdf(-0.5)},
        ),
    ],
)
def test_whole_numbers_are_whole_and_as_frequent_as_they_should_be(distribution, shares):
    """χ²."""
    values = drawn(distribution, whole=True)
    assert values.dtype == np.int32
    found = dict(zip(*np.unique(values, return_counts=True), strict=True))
    assert found.keys() == shares.keys()
    observed, expected = (np.array([each[n] for n in shares]) for each in (found, shares))
    assert stats.chisquare(observed, N * expected).pvalue > ALPHA


@pytest.mark.parametrize("kind", ["uniform", "log_uniform"])
def test_no_point_leaves_the_support(kind):
    points = jnp.concatenate([jnp.linspace(0, 1, 999, endpoint=False), jnp.array([1 - 2**-24])])
    for both in ((0.1, 0.3), (0.85, 0.99), (1, 10_000)):
        values = np.asarray(jax.vmap(partial(draw, Distribution(kind, both)))(points))
        assert np.float32(both[0]) <= values.min() and values.max() <= np.float32(both[1])


@pytest.mark.parametrize(
    "point",
    [
        Distribution("uniform", (0.7, 0.7)),
        Distribution("log_uniform", (0.7, 0.7)),
        Distribution("normal", (0.7, 0.0), (0.1, 0.9)),
        Distribution("choice", (0.7,)),
    ],
)
def test_a_population_of_one_point_is_the_constant(point):
    params = ClientParams(threshold=point, max_sessions=20)
    constant = params.replace(threshold=jnp.float32(0.7))
    run = partial(simulate, therapist=therapists.complementary, n_dyads=300)
    one, other = (jax.jit(run)(jax.random.key(2), arrays(x)) for x in (params, constant))
    np.testing.assert_allclose(one.drawn["threshold"], 0.7, rtol=1e-6)
    # Equal draws but for a rounded threshold: an RS between the two is as good as impossible.
    np.testing.assert_array_equal(one.success, other.success)
    np.testing.assert_array_equal(one.time, other.time)


def test_numbers_are_drawn_independently_and_whoever_else_is_drawn():
    key, numbers = jax.random.key(3), jnp.arange(N)
    together = jax.vmap(lambda i: draw_numbers(key, POPULATION, i))(numbers)
    alone = jax.vmap(lambda i: draw_numbers(key, ClientParams(threshold=UNIFORM), i))(numbers)
    np.testing.assert_array_equal(together["threshold"], alone["threshold"])
    names = sorted(together)
    correlation = np.abs(np.corrcoef([np.asarray(together[n], float) for n in names]))
    np.fill_diagonal(correlation, 0)
    # Each is N(0, 1/N) if independent; ten pairs.
    assert correlation.max() < stats.norm.isf(ALPHA / 20) / np.sqrt(N)


def test_drawn_numbers_do_not_touch_utilities_and_memory():
    population = ClientParams(threshold=UNIFORM)
    one, other = (
        jax.jit(intakes)(jax.random.key(4), params, jnp.arange(50))
        for params in (population, ClientParams(threshold=0.7))
    )
    for ours, theirs in zip(
        jax.tree.leaves(one.replace(drawn={})), jax.tree.leaves(other), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


# --- what the numbers do --------------------------------------------------------------------


def test_every_client_lives_by_its_own_numbers():
    """Dyad by dyad as a client whose constants are what it drew."""
    key = jax.random.key(6)
    run = jax.jit(partial(simulate, therapist=therapists.myopic, n_dyads=6))
    own_numbers = jax.jit(params_of)
    dyads = run(key, POPULATION)
    for i in range(6):
        own = own_numbers(key, POPULATION, i)
        assert {name: float(getattr(own, name)) for name in dyads.drawn} == {
            name: float(each[i]) for name, each in dyads.drawn.items()
        }
        alone = run(key, own)
        assert (alone.time[i], alone.success[i]) == (dyads.time[i], dyads.success[i])
        assert alone.dropped_out[i] == dyads.dropped_out[i]
        np.testing.assert_allclose(alone.client.rs[i], dyads.client.rs[i], rtol=1e-5)
        np.testing.assert_allclose(alone.client.bond[i], dyads.client.bond[i], rtol=1e-4)
        np.testing.assert_allclose(reward(alone, own)[i], reward(dyads, POPULATION)[i], rtol=1e-6)


def test_therapies_end_at_each_clients_own_number_of_sessions():
    params = POPULATION.replace(threshold=1.0, dropout_session=0)
    run = jax.jit(partial(simulate, therapist=therapists.random, n_dyads=300))
    dyads = run(jax.random.key(8), params)
    np.testing.assert_array_equal(dyads.time, dyads.drawn["max_sessions"])
    assert set(np.unique(dyads.time)) == set(range(5, 13))
    assert is_over(dyads, params).all()


def test_therapists_and_views_are_given_plain_numbers():
    seen = []

    def begin(params):
        seen.append(params)
        return params.max_sessions

    def act(key, memory, view):
        params = view[1]
        seen.append(params)
        return memory, jnp.where(memory == params.max_sessions, 3, -1)  # else refused

    therapist = Therapist(act, begin, see=lambda dyad, params: (dyad, params))
    simulate(jax.random.key(0), POPULATION, therapist, n_dyads=5)
    for params in seen:
        assert not any(isinstance(each, Distribution) for each in vars(params).values())
    dyad = intake(jax.random.key(0), POPULATION)
    view = observe(dyad.replace(time=jnp.int32(2)), POPULATION)
    assert view.session_number[0] == pytest.approx(2 / int(dyad.drawn["max_sessions"]))


def test_bounds_can_be_swept():
    """``vmap`` over a distribution's end: each run as it would be by itself."""

    def thresholds(high):
        params = ClientParams(threshold=Distribution("uniform", (0.5, high)), max_sessions=15)
        dyads = simulate(jax.random.key(1), params, therapists.complementary, n_dyads=64)
        return dyads.drawn["threshold"], dyads.success

    highs = jnp.array([0.5, 0.7, 0.9])
    together, alone = jax.jit(jax.vmap(thresholds))(highs), jax.jit(thresholds)
    for i, high in enumerate(highs):
        for ours, theirs in zip(together, alone(high), strict=True):
            np.testing.assert_array_equal(ours[i], theirs)
    assert together[0][1].max() <= 0.7 < together[0][2].max()


def test_numbers_out_of_bounds_are_refused():
    check_params(POPULATION)
    for bad in (
        {"threshold": Distribution("uniform", (0.5, 1.5))},
        {"entropy": Distribution("normal", (1, 1))},
        {"max_sessions": Distribution("choice", (0, 5))},
    ):
        with pytest.raises(ValueError, match=next(iter(bad))):
            check_params(ClientParams(**bad))
