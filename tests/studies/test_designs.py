"""What varies, and the points that are tried."""

import numpy as np
import pytest

from jaxtherapy.errors import ConfigError
from jaxtherapy.studies.designs import points_of, read_axis


def values(name, points):
    return [point[name] for point in points]


def test_a_grid_has_every_combination_and_the_last_axis_is_fastest():
    axes = [
        read_axis("threshold", {"linear": [0.5, 0.9], "points": 3}),
        read_axis("mechanism", ["bond_only", "frequency_amplifier"]),
    ]
    points = points_of(axes, "grid", 0, 0)
    assert values("threshold", points) == [0.5, 0.5, 0.7, 0.7, 0.9, 0.9]
    assert values("mechanism", points) == ["bond_only", "frequency_amplifier"] * 3


def test_a_log_range_has_equal_factors_between_its_values():
    axis = read_axis("entropy", {"log": [0.01, 1], "points": 3})
    assert axis.grid == (0.01, 0.1, 1.0)


def test_whole_numbers_stay_whole_and_none_stands_twice():
    axis = read_axis("max_sessions", {"linear": [10, 12], "points": 7})
    assert axis.grid == (10, 11, 12)
    drawn = [axis.at(share) for share in (np.arange(300) + 0.5) / 300]
    assert [drawn.count(each) for each in (10, 11, 12)] == [100, 100, 100]


@pytest.mark.parametrize("design", ["random", "sobol"])
def test_drawn_points_fill_their_ranges_and_are_the_same_every_time(design):
    axes = [
        read_axis("baseline_accuracy", {"linear": [0.15, 0.95]}),
        read_axis("entropy", {"log": [0.05, 3]}),
        read_axis("dropout_session", [0, 5, 10]),
    ]
    points = points_of(axes, design, 64, 7)
    assert points == points_of(axes, design, 64, 7)
    assert points != points_of(axes, design, 64, 8)
    accuracy = np.array(values("baseline_accuracy", points))
    assert accuracy.min() >= 0.15 and accuracy.max() <= 0.95 and len(set(accuracy)) == 64
    assert abs(accuracy.mean() - 0.55) < 0.1
    logs = np.log(values("entropy", points))
    assert abs(logs.mean() - np.log([0.05, 3]).mean()) < 0.5
    assert set(values("dropout_session", points)) == {0, 5, 10}


def test_sobol_points_are_spread_evenly():
    axis = read_axis("threshold", {"linear": [0.5, 1]})
    drawn = values("threshold", points_of([axis], "sobol", 16, 0))
    assert np.histogram(drawn, 16, (0.5, 1))[0].tolist() == [1] * 16


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("threshold", 0.5, "must be a list of values"),
        ("threshold", [], "must be a list of values"),
        ("threshold", [1.5], "threshold is 1.5"),
        ("threshold", [0.5, 0.5], "twice"),
        ("threshold", {"linear": [0.9, 0.5]}, "the lower end first"),
        ("threshold", {"linear": [0.5, 0.9], "pionts": 3}, "must be a list of values"),
        ("threshold", {"linear": [0.5, 0.9], "points": -1}, "points -1"),
        ("threshold", {"linear": [0.5, 0.9], "points": 10**9}, "from 1 to 1,000,000"),
        ("bond_offset", {"log": [-1, 1]}, "above 0"),
        ("mechanism", {"linear": [0, 1]}, "must be a list of values"),
    ],
)
def test_what_can_not_vary_so_is_refused_in_one_line(name, given, said):
    with pytest.raises(ConfigError, match=said) as raised:
        read_axis(name, given)
    assert "\n" not in str(raised.value)


def test_a_grid_needs_to_know_how_many_points():
    with pytest.raises(ConfigError, match="threshold needs points"):
        points_of([read_axis("threshold", {"linear": [0.5, 0.9]})], "grid", 0, 0)
