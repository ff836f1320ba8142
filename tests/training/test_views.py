"""Therapists and critics with other views, from training to play, through the commands."""

import io
import json
from pathlib import Path

import numpy as np
import pytest

from jaxtherapy.cli import convert, evaluate, play
from jaxtherapy.storage import torch_format
from jaxtherapy.storage.policies import expected_shapes
from jaxtherapy.storage.trained_policy import load_policy
from tests.training.tiny import results, train

VIEWS = {
    "privileged": {"critic_view": "omniscient", "shaping_rs": 3},
    "counting": {"actor_view": "history_counts", "critic_view": "omniscient"},
    "omniscient": {"actor_view": "omniscient", "critic_view": "omniscient"},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder in which each of them has been trained."""
    folder = tmp_path_factory.mktemp("views")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, views in VIEWS.items():
            assert train(folder, "--experiment-name", name, **views) == 0
    return folder


@pytest.fixture
def there(trained, monkeypatch):
    monkeypatch.chdir(trained)
    return trained


@pytest.mark.parametrize("name", ["privileged", "counting"])
def test_stopped_and_resumed_it_is_the_training_that_never_stopped(there, name):
    parts = ["--experiment-name", f"{name}_in_parts"]
    assert train(there, *parts, "--total-timesteps", "224", **VIEWS[name]) == 0
    assert train(there, *parts, "--resume", **VIEWS[name]) == 0
    whole, in_parts = results(there, name), results(there, f"{name}_in_parts")
    for file in ("final", "best", "checkpoint"):
        assert in_parts[file] == whole[file]
    assert in_parts["log"][-1]["test_reward_mean"] == whole["log"][-1]["test_reward_mean"]


def test_the_actor_beside_a_privileged_critic_is_the_one_that_pytorch_knows(there):
    written = torch_format.load(there / "models/privileged/policy_final.pth")
    known = expected_shapes(8, ("actor",))
    assert {name: written[name].shape for name in known} == known
    critic = {name for name in written if name.startswith("critic.")}
    assert "critic.preprocess.hidden_1.kernel" in critic
    assert not any("mlp" in name for name in critic), "the old stack must refuse it"


@pytest.mark.parametrize("name", VIEWS)
def test_its_own_loader_and_convert_read_it_back(there, name):
    models = there / "models" / name
    views = {"actor_view": "history"} | VIEWS[name]
    assert load_policy(models).ppo.actor_view == views["actor_view"]
    assert load_policy(models).ppo.critic_view == "omniscient"
    assert convert.main([str(models), f"{name}.pth"]) == 0
    again, original = map(torch_format.load, (f"{name}.pth", models / "checkpoint_400.pth"))
    assert again["model"].keys() == original["model"].keys()
    for part, array in again["model"].items():
        np.testing.assert_array_equal(array, original["model"][part])


def test_training_goes_on_from_a_pth_alone(there, capsys):
    alone = there / "alone/checkpoint_224.pth"
    alone.parent.mkdir()
    alone.write_bytes((there / "models/privileged/checkpoint_224.pth").read_bytes())
    flags = ["--resume-from", str(alone), "--experiment-name", "goes_on"]
    assert train(there, *flags, **VIEWS["privileged"]) == 0
    assert "weights, Adam's state and counters" in capsys.readouterr().out


def test_therapists_with_different_views_are_evaluated_side_by_side(there):
    sizes = ["--episodes", "8", "--course-episodes", "8", "--bootstrap-samples", "100"]
    files = ["--baselines", "random", "--no-report", "--output-dir", "evaluation"]
    assert evaluate.main([*(f"models/{name}" for name in VIEWS), *sizes, *files]) == 0
    told = json.loads((there / "evaluation/evaluation.json").read_text())
    assert {row["therapist"] for row in told["outcomes"]} == {*VIEWS, "random", "complementary"}


@pytest.mark.parametrize("name", VIEWS)
def test_while_one_plays_it_says_what_it_would_do(there, name, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("2\n4\nq\n"))
    assert play.main(["--policy", f"models/{name}", "--seed", "3"]) == 0
    assert not capsys.readouterr().err


def test_without_its_configuration_a_policy_with_another_view_is_refused(there, capsys):
    Path("without.pth").write_bytes(Path("models/omniscient/policy_final.pth").read_bytes())
    assert evaluate.main(["without.pth", "--output-dir", "refused"]) != 0
    told = capsys.readouterr().err
    assert "put the config.yaml that they were trained with beside without.pth" in told
    assert len(told.strip().splitlines()) == 1


@pytest.mark.parametrize("command", ["train", "convert"])
def test_what_trains_on_wants_its_configuration_too(there, command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "alone.pth"
    source.write_bytes((there / "models/omniscient/checkpoint_400.pth").read_bytes())
    if command == "train":
        assert train(tmp_path, "--resume-from", str(source), "--total-timesteps", "480") == 2
    else:
        assert convert.main([str(source), "imported"]) == 2
    out, told = capsys.readouterr()
    assert not out and told.count("\n") == 1
    assert "give the config.yaml that they were trained with as --config" in told
    assert {path.name for path in tmp_path.iterdir()} <= {"alone.pth", "tiny.yaml"}


def test_an_encoder_that_cant_read_a_view_creates_nothing(folder, capsys):
    assert train(folder, **VIEWS["omniscient"], encoder="history") == 2
    assert "encoder history can't read the view omniscient" in capsys.readouterr().err
    assert not Path("models").exists() and not Path("logs").exists()
