"""The configuration of a sweep."""

from pathlib import Path

import pytest
import yaml

from jaxtherapy.errors import ConfigError
from jaxtherapy.studies.settings import load_sweep

CONFIGS = Path(__file__).parents[2] / "configs"
SMALL = {"vary": {"threshold": [0.7, 0.9]}}


@pytest.fixture
def load(tmp_path):
    def load(**given):
        path = tmp_path / "small.yaml"
        path.write_text(yaml.safe_dump(SMALL | given))
        return load_sweep(path)

    return load


@pytest.mark.parametrize("path", sorted((CONFIGS / "sweeps").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_sweep_that_comes_along_can_be_run(path, monkeypatch):
    monkeypatch.chdir(CONFIGS.parent)
    sweep = load_sweep(path)
    assert sweep.runs and sweep.name == path.stem


def test_runs_are_points_by_seeds_and_complementary_is_always_there(load):
    sweep = load(seeds=2, settings={"seed": 5}, therapists=["myopic"])
    assert [run.key for run in sweep.runs] == [(0, 5), (1, 5), (0, 6), (1, 6)]
    assert [run.config.threshold for run in sweep.runs] == [0.7, 0.9, 0.7, 0.9]
    assert sweep.therapists == ("complementary", "myopic")


def test_what_varies_wins_over_the_clients_of_evaluations(load):
    sweep = load(settings={"evaluation": {"threshold": 0.5, "entropy": 0.1}})
    configs = [run.point.config.for_evaluation() for run in sweep.runs]
    assert [(each.threshold, each.entropy) for each in configs] == [(0.7, 0.1), (0.9, 0.1)]


def test_a_training_file_may_be_the_beginning(load):
    sweep = load(config=str(CONFIGS / "strategic.yaml"), settings={"entropy": 0.3})
    config = sweep.runs[0].config
    assert (config.patterns, config.entropy) == (("cold_stuck",), 0.3)


def test_what_is_recorded_is_complete_and_reads_the_same(load, tmp_path):
    sweep = load(
        config=str(CONFIGS / "strategic.yaml"),
        vary={"threshold": {"linear": [0.5, 0.9], "points": 2}, "entropy": [0.1, 1]},
        therapists=["random"],
    )
    recorded = tmp_path / "config.yaml"
    recorded.write_text(sweep.dump())
    assert load_sweep(recorded) == sweep


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"client": 5}, "did you mean clients"),
        ({"threshold": 0.5}, "below settings: or vary:"),
        ({"clients": 1}, "clients is 1"),
        ({"design": "soboll"}, "did you mean sobol"),
        ({"design": "sobol"}, "needs points"),
        ({"points": 5}, "a grid has points on each axis"),
        ({"vary": None}, "vary is None"),
        ({"vary": {"thresold": [1]}}, "did you mean threshold"),
        ({"vary": {"seed": [1]}}, "see seeds"),
        ({"vary": {"learning_rate": [1e-3]}}, "set train: true"),
        ({"therapists": ["myoptic"]}, "did you mean myopic"),
        ({"save_policies": "best"}, "for trainings"),
        ({"settings": {"entropy": -1}}, "threshold 0.7: entropy is -1"),
        ({"name": "../x"}, "must be usable as a folder's name"),
        ({"planner": 10, "clients": 5}, "at most clients"),
        ({"settings": {"n_seeds": 3}}, "a sweep has seeds"),
    ],
)
def test_what_can_not_be_is_refused_in_one_line(load, given, said):
    with pytest.raises(ConfigError) as raised:
        load(**given)
    assert said in str(raised.value) and "\n" not in str(raised.value)
