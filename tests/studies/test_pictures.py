"""What a sweep found, drawn: which averages, with which intervals."""

import pytest
import yaml
from scipy import stats

from jaxtherapy.studies.pictures import Look, pictures
from jaxtherapy.studies.settings import load_sweep

VARY = {"threshold": [0.6, 0.9], "entropy": [0.1, 0.2]}


@pytest.fixture
def sweep(tmp_path):
    def sweep(**given):
        path = tmp_path / "small.yaml"
        path.write_text(yaml.safe_dump({"vary": VARY} | given))
        return load_sweep(path)

    return sweep


def row(success, half=0.1, point=0, seed=42, therapist="complementary", **more):
    ends = {"success_low": success - half, "success_high": success + half}
    return {
        "point": point,
        "seed": seed,
        "therapist": therapist,
        "success": success,
        **ends,
        **more,
    }


def interval(sweep, rows):
    found = Look.of("success", sweep).estimate(rows)
    return pytest.approx(found.estimate - found.low), pytest.approx(found.high - found.estimate)


def test_points_of_a_grid_are_no_sample_and_share_their_clients(sweep):
    rows = [row(0.1, 0.06, point=0), row(0.9, 0.04, point=1)]
    assert interval(sweep(), rows) == (0.05, 0.05)  # not Student's, of -4.6 to 5.6
    others = [row(0.1, 0.06, point=0, seed=43), row(0.9, 0.04, point=1, seed=43)]
    assert interval(sweep(seeds=2), rows + others) == (0.05 / 2**0.5, 0.05 / 2**0.5)


def test_drawn_points_and_seeds_of_trainings_are_samples(sweep):
    values = [0.4, 0.5, 0.6]
    half = stats.t.isf(0.025, 2) * stats.sem(values)
    drawn = sweep(design="random", points=3)
    assert interval(drawn, [row(v, 0.01, point=i) for i, v in enumerate(values)]) == (half, half)
    trained = [row(v, 0.01, seed=i, therapist="trained") for i, v in enumerate(values)]
    assert interval(sweep(train=True, seeds=3), trained) == (half, half)
    # Two points that happen to agree say nothing of luck with clients.
    assert interval(drawn, [row(0.5, 0.1, point=0), row(0.5, 0.1, point=1)]) == (0.1, 0.1)


@pytest.mark.parametrize(("n_axes", "n_maps"), [(1, 0), (2, 1), (3, 3)])
def test_a_map_for_each_pair_of_axes_and_curves_along_each(sweep, n_axes, n_maps):
    vary = dict(list((VARY | {"smoothing": [0.1, 0.2]}).items())[:n_axes])
    made = sweep(vary=vary, therapists=["random"])
    rows = []
    for run in made.runs:
        gap = {"difference": 0.1, "difference_low": 0.05, "difference_high": 0.15}
        none = dict.fromkeys(gap)
        about = {"point": run.point.number, **run.point.values}
        rows += [row(0.5, **about, **none), row(0.6, **about, **gap, therapist="random")]
    drawn = {picture.name: len(picture.panels) for picture in pictures(made, rows)}
    maps = {"difference_random": n_maps} if n_maps else {}
    assert drawn == maps | {"curves_difference": n_axes, "curves": n_axes}
