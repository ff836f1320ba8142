"""The log of an experiment is the one beside it, and none whose steps don't fit."""

import json

import pytest

from jaxtherapy.storage.logs import find_log, read_log
from tests.evaluation.experiments import write_log


def make_experiment(folder, name="a", **settings):
    experiment = folder / "models" / name
    experiment.mkdir(parents=True)
    own = {"experiment_name": name, "n_envs": 8, "n_steps": 64, "batch_size": 64} | settings
    lines = [f"{key}: {value}" for key, value in own.items()]
    (experiment / "config.yaml").write_text("\n".join(lines) + "\n")
    return experiment


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to be in, with a log of another experiment called ``a``."""
    here = tmp_path / "here"
    write_log(here / "logs" / "a" / "a_progress.csv")
    monkeypatch.chdir(here)
    return here


def test_the_log_beside_the_experiment_comes_first(here, tmp_path):
    elsewhere = make_experiment(tmp_path / "elsewhere")
    own = write_log(tmp_path / "elsewhere" / "logs" / "a" / "a_progress.csv")
    assert find_log(elsewhere, 42) == own
    seeds = make_experiment(tmp_path / "seeds", n_seeds=2, seed=4)
    own = write_log(tmp_path / "seeds" / "logs" / "a" / "a_seed5_progress.csv")
    assert find_log(seeds, 5) == own


def test_folders_of_ones_own_move_together(tmp_path):
    places = {"output_dir": "out/x/models", "log_dir": "out/x/logs"}
    experiment = make_experiment(tmp_path / "moved", **places)
    own = write_log(tmp_path / "moved" / "models" / "logs" / "a_progress.csv")
    assert find_log(experiment, 42) in (own, None)
    assert find_log(experiment, 42) == own


@pytest.mark.parametrize("name", ["gone", "moved"])
def test_a_folder_of_another_name_is_looked_for_under_both(tmp_path, name):
    experiment = make_experiment(tmp_path, name)
    (experiment / "config.yaml").write_text(
        (experiment / "config.yaml").read_text().replace(f"name: {name}", "name: a")
    )
    own = write_log(tmp_path / "logs" / name / f"{name}_progress.csv")
    assert find_log(experiment, 42) == own


def test_steps_that_do_not_fit_are_of_another_run(here, tmp_path):
    experiment = make_experiment(tmp_path / "elsewhere")
    theirs = here / "logs" / "a" / "a_progress.csv"
    assert find_log(experiment, 42).resolve() == theirs  # nothing says that it is another's
    write_log(theirs, (500, 1000))
    assert find_log(experiment, 42) is None  # an update takes 512 steps
    write_log(theirs)
    (experiment / "checkpoint_2048.pth").touch()
    assert find_log(experiment, 42) is None  # the experiment is further
    (experiment / "checkpoint_2048.pth").rename(experiment / "checkpoint_1536.pth")
    assert find_log(experiment, 42) is not None
    (experiment / "run.json").write_text(json.dumps({"status": "finished", "steps": 1024}))
    assert find_log(experiment, 42) is None  # it ended before


def test_logs_that_are_none_are_left_out(tmp_path):
    log = write_log(tmp_path / "log.csv")
    assert read_log(log)["step"] == [512, 1024, 1536]
    for text in ("", "step\n", "step,train_reward_mean\n1,x\n", "a,b\n1,2\n", "a,b\n1\n"):
        log.write_text(text)
        assert read_log(log) is None
    assert read_log(tmp_path / "missing.csv") is None


def test_of_what_a_checkpoint_knows_its_rows_must_be_there(tmp_path):
    """Steps need be no multiples of an update: a run may begin with an imported file."""
    experiment = make_experiment(tmp_path)
    about = experiment / "checkpoints/1100/about/metadata"
    about.parent.mkdir(parents=True)
    about.write_text(json.dumps({"progress": {"step": 1100, "csv_rows": 2}}))
    log = write_log(tmp_path / "logs/a/a_progress.csv", (600, 1100))
    assert find_log(experiment, 42) == log
    write_log(log, (600, 1100, 1600))  # killed after an evaluation
    assert find_log(experiment, 42) == log
    for steps in [(600,), (100, 600, 1100)]:
        write_log(log, steps)
        assert find_log(experiment, 42) is None


def test_a_log_without_rows_is_that_of_a_run_without_evaluations(tmp_path):
    experiment = make_experiment(tmp_path)
    log = write_log(tmp_path / "logs/a/a_progress.csv", ())
    assert find_log(experiment, 42) is None
    about = experiment / "checkpoints/64/about/metadata"
    about.parent.mkdir(parents=True)
    about.write_text(json.dumps({"progress": {"step": 64, "csv_rows": 0}}))
    assert find_log(experiment, 42) == log and read_log(log) is None
