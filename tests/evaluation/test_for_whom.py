"""Which clients succeed with whom: against counting, textbook formulas and planted properties."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxtherapy.client import therapists
from jaxtherapy.client.params import ClientParams
from jaxtherapy.client.simulation import simulate
from jaxtherapy.config.distributions import Distribution
from jaxtherapy.evaluation import for_whom as whom
from jaxtherapy.evaluation.evaluation import Request
from jaxtherapy.evaluation.for_whom import effects, groups_of, jackknife, tree
from jaxtherapy.evaluation.properties import properties_of
from jaxtherapy.evaluation.results import CLIENT_GROUPS, CellInfo
from jaxtherapy.evaluation.statistics import Intervals
from tests.evaluation.small_grid import panel_of, play

RNG = np.random.default_rng(0)


def test_the_jackknife_of_a_mean_is_its_standard_error():
    x = RNG.normal(3, 2, 50)
    columns = np.stack([x, np.ones(50)])
    told = jackknife(columns, lambda sums: sums[:1] / sums[1:], 0.95)[0]
    low, high = stats.t.interval(0.95, 49, x.mean(), stats.sem(x))
    assert (told.estimate, told.se) == pytest.approx((x.mean(), stats.sem(x)))
    assert (told.low, told.high) == pytest.approx((low, high))


def test_groups_and_effects_are_those_of_counting():
    ours, theirs = RNG.random((2, 2, 400)) < 0.5
    group = groups_of(ours, theirs)
    np.testing.assert_array_equal(np.array(CLIENT_GROUPS)[group] == "both", ours & theirs)
    np.testing.assert_array_equal(group == 2, ours & ~theirs)
    x = RNG.normal(size=group.shape) + (group == 2)
    told = effects(group, {"x": x}, np.ones(2), 0.95)[0].by_group["only_therapist"]
    one, rest = x[group == 2], x[group != 2]
    pooled = np.sqrt((one.var() * len(one) + rest.var() * len(rest)) / x.size)
    assert told.estimate == pytest.approx((one.mean() - rest.mean()) / pooled)
    textbook = np.sqrt(1 / len(one) + 1 / len(rest) + told.estimate**2 / (2 * x.size))
    assert told.se == pytest.approx(textbook, rel=0.35)


def test_a_group_of_few_clients_has_no_effect():
    group = np.ones((1, 100), int)
    group[0, :5] = 2
    told = effects(group, {"x": RNG.normal(size=group.shape)}, np.ones(1), 0.95)[0].by_group
    assert told["only_therapist"].estimate is None is told["both"].estimate


def test_the_tree_finds_what_was_planted_and_nothing_in_noise():
    x, noise = RNG.random((2, 1, 4000))
    group = np.where(x > 0.6, 2, np.where(RNG.random(x.shape) < 0.5, 0, 1))
    leaves = tree(group, {"noise": noise, "x": x})
    assert [[(c.property, c.above) for c in leaf.conditions] for leaf in leaves] == [
        [("x", False)],
        [("x", True)],
    ]
    assert leaves[0].conditions[0].value == pytest.approx(0.6, abs=0.03)
    assert (
        leaves[1].shares["only_therapist"] > 0.95 and sum(leaf.clients for leaf in leaves) == 2000
    )
    assert [leaf.conditions for leaf in tree(RNG.integers(0, 4, x.shape), {"noise": noise})] == [[]]


@pytest.fixture(scope="module")
def told():
    """Of two therapists, and the initial RS of clients who are treated again."""
    cell = ClientParams(
        threshold=Distribution("uniform", (0.55, 0.65)),
        max_sessions=20,
        baseline_accuracy=0.3,
    )
    info = CellInfo("x", "x", "any", "frequency_amplifier", 0.6, 0.5, "random")
    request = Request("x", (info,), (cell,), (1,), reference="x1", episodes=150)
    request = Request(**vars(request) | {"intervals": Intervals(n_samples=100)})

    def then(programs, grid, design):
        intake = properties_of(design)
        return grid, intake, whom.for_whom(request, panel, grid, programs)

    panel = panel_of(therapists.complementary, therapists.random)
    return cell, *play(panel, [cell], 150, 0, jax.random.key(5), then)


def test_properties_are_those_of_the_simulated_clients(told):
    cell, grid, intake, _ = told
    dyads = simulate(jax.random.key(5), cell, therapists.complementary, 150)
    np.testing.assert_array_equal(dyads.success, grid.outcomes.success[0, 0])
    u = np.asarray(dyads.client.u)
    width = np.ptp(u, axis=(1, 2))
    np.testing.assert_allclose(intake["utility_range"][0], width, rtol=1e-5)
    complement = u[:, np.arange(8), [4, 3, 2, 1, 0, 7, 6, 5]]
    gain = (u.max(2) - complement).mean(1) / width
    np.testing.assert_allclose(intake["gain_of_best"][0], gain, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(intake["initial_rs"][0], grid.outcomes.initial_rs[0, 0], rtol=1e-5)
    np.testing.assert_allclose(intake["threshold"][0], dyads.drawn["threshold"], rtol=1e-6)
    assert next(iter(intake)) == "utility_range"


def test_the_same_clients_are_treated_again_with_other_luck(told):
    _, grid, _, (found,) = told
    assert found.therapist == "x2" and found.repeated == 150
    assert sum(each.clients for each in found.groups) == 150
    success = np.asarray(grid.outcomes.success)[:, 0]
    assert found.groups[0].clients == jnp.sum(success[0] & success[1])
    assert 0.05 < found.kappa.estimate < 0.95  # neither all luck nor none
    shown = {each.property for each in found.effects}
    assert {"gain_of_best", "threshold", "one_act", "misheard_reference"} <= shown
