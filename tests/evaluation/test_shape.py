"""The test of high–low–high: silent where there is no shape, and not where there is one."""

import numpy as np
import pytest
from scipy import stats

from jaxtherapy.evaluation import shape
from jaxtherapy.evaluation.statistics import Intervals

RUNS, LEVEL = 400, 0.05


def trajectories(generator, n, rate, lengths=(9, 40)):
    """Complementarity, 0 or 1, of therapies of random length; ``rate`` of normalised time."""
    length = generator.integers(*lengths, n)
    place = np.arange(lengths[1])
    held = place < length[:, None]
    x = 2 * place / np.maximum(length[:, None] - 1, 1) - 1
    return (generator.random(held.shape) < rate(x)) & held, held


def shape_in(values, held):
    return shape.shape_of(
        values.astype(float), held, Intervals(confidence=1 - LEVEL, n_samples=200, seed=0)
    )


def test_false_positives_on_shuffled_trajectories():
    """Shapely trajectories with each therapy's sessions shuffled: curvature is claimed in 5 %.

    High–low–high, an intersection–union test, in at most 5 %. False alarms: 0.1 % each.
    """
    generator = np.random.default_rng(0)
    curved, u_shaped = 0, 0
    for _ in range(RUNS):
        values, held = trajectories(generator, 60, lambda x: 0.2 + 0.6 * x**2)
        order = np.argsort(np.where(held, generator.random(held.shape), 2), axis=1)
        result = shape_in(np.take_along_axis(values, order, axis=1), held)
        curved += result.p_curvature < LEVEL
        u_shaped += result.high_low_high
    assert stats.binomtest(curved, RUNS, LEVEL).pvalue > 0.001
    assert stats.binomtest(u_shaped, RUNS, LEVEL, alternative="greater").pvalue > 0.001


def test_a_planted_u_is_found():
    generator = np.random.default_rng(1)
    result = shape_in(*trajectories(generator, 500, lambda x: 0.4 + 0.3 * x**2))
    assert result.high_low_high and result.p_high_low_high < 1e-4
    assert result.curvature.low < 0.3 < result.curvature.high
    first, middle, last = (third.estimate for third in result.thirds)
    assert first > middle < last
    assert result.first_minus_middle.estimate == pytest.approx(first - middle)
    assert result.episodes == 500


@pytest.mark.parametrize(
    ("what", "rate"),
    [
        ("an inverted U", lambda x: 0.7 - 0.4 * x**2),
        ("a rise", lambda x: 0.5 + 0.3 * x),
        ("a fall that levels off", lambda x: 0.5 + 0.2 * (x - 1) ** 2 / 2),
    ],
)
def test_other_shapes_are_not_mistaken_for_it(what, rate):
    assert not shape_in(*trajectories(np.random.default_rng(2), 500, rate)).high_low_high


def test_always_complementary_has_no_shape():
    held = np.arange(30) < np.arange(9, 31)[:, None]
    result = shape_in(held, held)
    assert result.curvature.estimate == 0 and result.p_curvature == 1
    assert not result.high_low_high


def test_curvature_is_the_parabolas():
    generator = np.random.default_rng(3)
    values, held = generator.random((5, 20)), np.arange(20) < np.array([[20], [9], [3], [12], [15]])
    for row, there, ours in zip(values, held, shape.curvature(values, held), strict=True):
        x = np.linspace(-1, 1, there.sum())
        assert ours == pytest.approx(np.polyfit(x, row[there], 2)[0])


def test_short_therapies_are_left_out():
    held = np.arange(20) < np.array([[8], [9], [20]])
    assert shape_in(held, held).episodes == 2
    nobody = shape_in(held[:1], held[:1])
    assert nobody.episodes == 0 and nobody.p_curvature is None and not nobody.high_low_high


def test_every_measure():
    distance = np.random.default_rng(0).integers(0, 5, (30, 12))
    client_act = np.random.default_rng(1).integers(0, 8, (30, 12))
    held, intervals = np.ones((30, 12), bool), Intervals(0.9, 100, 0)
    both = shape.shapes_of("all", "heard", shape.Answers(distance, held, client_act), intervals)
    assert {(one.outcome, one.acts) for one in both} == {("all", "heard")}
    assert [one.measure for one in both] == list(shape.MEASURES)
    assert both[0].thirds[0].estimate == pytest.approx((distance[:, :4] == 0).mean())
    assert both[1].thirds[2].estimate == pytest.approx((1 - distance[:, 8:] / 4).mean())
    for kind, acts in ((both[2], (1, 2, 3)), (both[3], (5, 6, 7))):
        expected = ((distance == 0) & np.isin(client_act, acts))[:, 4:8].mean()
        assert kind.thirds[1].estimate == pytest.approx(expected)


def test_a_course_of_positive_complementarity_alone_is_told_from_negative():
    """Warm acts get their complements at both ends, cold ones throughout."""
    generator = np.random.default_rng(4)
    client_act = generator.choice([2, 6], (200, 30))
    ends = np.abs(np.linspace(-1, 1, 30)) > 0.4
    distance = np.where((client_act == 2) & ~ends, 4, 0)
    answers = shape.Answers(distance, np.ones_like(distance, bool), client_act)
    intervals = Intervals(0.9, 100, 0)
    found = {one.measure: one for one in shape.shapes_of("all", "enacted", answers, intervals)}
    assert found["positive"].high_low_high and not found["negative"].high_low_high
