"""One evaluation's parts: corrected tests, clients of its own, bonds as the clients had them."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtherapy.client.dyad import intake
from jaxtherapy.client.params import ClientParams
from jaxtherapy.client.patterns import PATTERNS
from jaxtherapy.client.simulation import simulate
from jaxtherapy.client.therapists import complementary
from jaxtherapy.config import TrainingConfig
from jaxtherapy.evaluation import compare_therapists
from jaxtherapy.evaluation import evaluation as evaluations
from jaxtherapy.evaluation.candidates import Panel, assemble
from jaxtherapy.evaluation.cells import cell_params
from jaxtherapy.evaluation.evaluation import (
    Request,
    across_seeds,
    evaluation_key,
    follow,
)
from jaxtherapy.evaluation.grid import Candidate, Programs, play_grid
from jaxtherapy.evaluation.results import (
    ALL_CELLS,
    CellInfo,
    DifferenceRow,
    Estimate,
    TherapistInfo,
)
from jaxtherapy.evaluation.statistics import Intervals
from jaxtherapy.training import summary

# --- correction -----------------------------------------------------------------------------


def corrected(p_values, confidence=0.95):
    """``(Holm's p, significant)`` of rows given as {(therapist, cell, metric): p}."""
    nothing = Estimate(0.0, None, None)
    rows = [
        DifferenceRow(therapist, "reference", cell, metric, nothing, p, None, False)
        for (therapist, cell, metric), p in p_values.items()
    ]
    evaluations._correct(rows, confidence)
    return {(r.therapist, r.cell, r.metric): (r.p_holm, r.significant) for r in rows}


def test_a_family_is_all_therapists_in_all_cells():
    """Four tests by hand: 4 · 0.01, 3 · 0.012 raised to 0.04, 2 · 0.02 likewise, 1 · 0.9."""
    told = corrected(
        {
            ("a", "x", "success"): 0.012,
            ("a", "y", "success"): 0.9,
            ("b", "x", "success"): 0.01,
            ("b", "y", "success"): 0.02,
        }
    )
    assert [p for p, _ in told.values()] == pytest.approx([0.04, 0.9, 0.04, 0.04])
    assert [significant for _, significant in told.values()] == [True, False, True, True]


def test_metrics_and_the_average_over_cells_are_families_of_their_own():
    told = corrected(
        {
            ("a", "x", "success"): 0.02,
            ("a", "x", "reward"): 0.03,
            ("a", ALL_CELLS, "success"): 0.04,
            ("b", ALL_CELLS, "success"): 0.01,
        }
    )
    assert [p for p, _ in told.values()] == pytest.approx([0.02, 0.03, 0.04, 0.02])


@pytest.mark.parametrize(
    ("p", "confidence", "significant"),
    [(0.049, 0.95, True), (0.051, 0.95, False), (0.049, 0.99, False), (0.15, 0.8, True)],
)
def test_significant_is_below_one_minus_the_confidence(p, confidence, significant):
    told = corrected({("a", ALL_CELLS, "success"): p}, confidence)
    assert told["a", ALL_CELLS, "success"] == (p, significant)


def test_what_could_not_be_tested_is_no_part_of_its_family():
    told = corrected({("a", "x", "reward"): None, ("b", "x", "reward"): 0.04})
    assert told["b", "x", "reward"] == (0.04, True)
    p, significant = told["a", "x", "reward"]
    assert np.isnan(p) and not significant


# --- clients --------------------------------------------------------------------------------


def test_a_cell_is_what_it_says_and_shares_the_rest():
    rows = np.arange(64.0).reshape(8, 8)
    cell = CellInfo(
        "x", "x", "conflictual", "conditional_amplifier", 0.6, 0.25, "given 1", rows.tolist()
    )
    config = TrainingConfig(max_sessions=7, bond_offset=0.4, patterns=("cold_stuck", "cold_warm"))
    ours = cell_params(config, cell)
    assert (ours.mechanism, ours.max_sessions) == ("conditional_amplifier", 7)
    found = ours.threshold, ours.entropy, ours.bond_offset
    np.testing.assert_array_equal(found, np.float32([0.6, 0.25, 0.4]))
    np.testing.assert_array_equal(ours.pattern_weights > 0, [p == "conflictual" for p in PATTERNS])
    np.testing.assert_array_equal([ours.u_min, ours.u_max], [rows, rows])


def numbers(keys):
    return {tuple(each) for each in np.asarray(jax.random.key_data(keys)).reshape(-1, 2).tolist()}


def with_clients(keys):
    """Keys, and those of their first hundred clients."""
    of_each = jax.vmap(lambda key: jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(100)))
    return numbers(keys) | numbers(of_each(keys))


def test_no_client_of_an_evaluation_was_met_in_any_training():
    seeds = range(20)
    of_training = jnp.concatenate(
        [jnp.append(jax.random.split(key, 4), key) for key in map(jax.random.key, seeds)]
    )
    of_summaries = jnp.stack([summary.summary_key(seed) for seed in seeds])
    ours = with_clients(jnp.stack([evaluation_key(seed) for seed in seeds]))
    assert len(ours) == 20 * 101
    assert not ours & with_clients(of_training)
    assert not ours & with_clients(of_summaries)


# --- over seeds -----------------------------------------------------------------------------


def test_scores_across_seeds_by_hand():
    """Two seeds in four cells: middle two of each, middle four of all."""
    scores = {"a/1": [0.0, 1.0, 2.0, 9.0], "a/2": [3.0, 4.0, 6.0, 7.0], "b": [5.0] * 4}
    infos = [TherapistInfo(name, name, "policy", name[0]) for name in scores]
    panel = Panel([Candidate(info, None) for info in infos], None)
    by_metric = {m: {n: np.array(x) for n, x in scores.items()} for m in evaluations.SEED_METRICS}
    seeds, improvement = across_seeds(FOUR_CELLS, panel, by_metric)
    rows = {(row.group, row.metric): row for row in seeds}
    for metric in evaluations.SEED_METRICS:
        row = rows["a", metric]
        assert (row.n_seeds, row.by_seed, row.iqm_by_seed) == (2, [3.0, 5.0], [1.5, 5.0])
        assert row.mean.estimate == 4.0 and row.iqm.estimate == (2 + 3 + 4 + 6) / 4
        assert (rows["b", metric].n_seeds, rows["b", metric].iqm_by_seed) == (1, [5.0])
    chances = {(row.group, row.over): row.probability.estimate for row in improvement}
    # Of two seeds in four cells, seed 1 is above 5 in the last, seed 2 in the last two.
    assert chances == {("a", "b"): 3 / 8, ("b", "a"): 5 / 8}


# --- course ---------------------------------------------------------------------------------

CONFIG = TrainingConfig(max_sessions=6, bond_alpha=2.0, bond_offset=0.4)
CELLS = tuple(
    CellInfo(f"{threshold}", "", "cold_stuck", "bond_only", threshold, 0.5, "random")
    for threshold in (0.5, 0.6)
)
REQUEST = Request(
    "x",
    CELLS,
    tuple(cell_params(CONFIG, cell) for cell in CELLS),
    (1, 1),
    episodes=8,
    course_episodes=8,
    intervals=Intervals(n_samples=10, seed=3),
)
FOUR_CELLS = replace(REQUEST, cells=CELLS * 2, weights=(1,) * 4)


def test_the_bond_of_episodes_is_the_one_that_clients_had():
    """Recomputed from RS for the replay; the simulation kept the first and the last."""
    panel, key = assemble([], ["complementary"], [], None), evaluation_key(3)
    with Programs(REQUEST.design, panel.everyone) as programs:
        grid = play_grid(programs, panel.candidates, REQUEST.design)
        episodes = follow(REQUEST, panel, grid, programs)[1]
    assert len(episodes) > 2
    for each in episodes:
        cell = [cell.id for cell in CELLS].index(each.cell)
        assert each.bond[-1] == pytest.approx(grid.outcomes.bond[0, cell, each.client], abs=2e-4)
        met = intake(jax.random.fold_in(key, 0), REQUEST.clients[cell], each.client).client
        assert each.initial_bond == pytest.approx(float(met.bond), abs=2e-4)


# --- weights --------------------------------------------------------------------------------


def test_a_cell_that_weighs_three_counts_as_three():
    """In the average over cells and its interval, across seeds, and in the course of therapy."""
    panel = assemble([], ["complementary", "mirror"], [], None)
    once, thrice = (
        evaluations.evaluate_panel(replace(REQUEST, episodes=40, weights=weights), panel, {})
        for weights in ((1, 1), (3, 1))
    )
    for metric in ("success", "reward", "final_rs"):
        first, second, average = (row.metrics[metric] for row in thrice.outcomes[:3])
        assert average.estimate == pytest.approx((3 * first.estimate + second.estimate) / 4)
        assert average.low <= average.estimate <= average.high
        seeds = {(row.group, row.metric): row for row in thrice.seeds}
        assert seeds["complementary", metric].mean.estimate == pytest.approx(average.estimate)
    assert once.outcomes[0].metrics["reward"] == thrice.outcomes[0].metrics["reward"]
    assert thrice.settings["cell_weights"] == [3, 1] and "cell_weights" not in once.settings
    design = replace(REQUEST, weights=(3, 1), episodes=400, course_episodes=100).design
    assert list(design.n_recorded) == [75, 25]


# --- front door -----------------------------------------------------------------------------

FEW = ClientParams(threshold=0.6, max_sessions=6)


def test_therapists_are_compared_in_three_lines():
    def contrary(key, observation):
        return (observation.client_action + 4) % 8

    told = compare_therapists(["complementary", contrary], FEW, n_episodes=30)
    assert [each.id for each in told.therapists] == ["complementary", "contrary"]
    assert [row.cell for row in told.outcomes] == ["clients", "all"] * 2
    assert {row.therapist for row in told.differences} == {"contrary"}
    ended = simulate(evaluation_key(0), FEW, complementary, 30)
    assert told.outcomes[0].successes == int(ended.success.sum())


def test_clients_that_differ_in_anything_are_compared():
    kinds = {"deaf": replace(FEW, baseline_accuracy=0.1), "short": replace(FEW, max_sessions=3)}
    told = compare_therapists({"me": "mirror"}, kinds, 20, course_episodes=10)
    assert [cell.id for cell in told.cells] == ["deaf", "short"]
    assert told.settings["max_sessions"] == 6 and len(told.courses) == 1
    assert told.outcomes[1].metrics["sessions"].estimate <= 3


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"therapists": ["complementray"]}, "is no baseline"),
        ({"therapists": []}, "reference is ''"),
        ({"therapists": {"mine": lambda key, observation: 2.7}}, "whole number"),
        ({"therapists": {"mine": lambda key, observation: 9}}, "mine does acts outside 0..7"),
        ({"clients": replace(FEW, threshold=float("nan"))}, "threshold is nan"),
        ({"clients": replace(FEW, entropy=-1.0)}, "entropy is -1"),
        ({"clients": {}}, "at least one kind of clients"),
        ({"n_episodes": 1}, "n_episodes is 1"),
        ({"seed": -1}, "seed is -1"),
        ({"reference": "nobody"}, "reference is 'nobody'"),
        ({"confidence": 95}, "confidence is 95"),
    ],
)
def test_nonsense_is_refused(changes, complaint):
    given = {"therapists": ["mirror"], "clients": FEW, "n_episodes": 4} | changes
    with pytest.raises(ValueError, match=complaint):
        compare_therapists(**given)
