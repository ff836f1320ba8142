"""Clients that draw their numbers, and evaluations with other clients than training's."""

import json
import shutil

import pytest

from jaxtherapy.cli import evaluate, play
from jaxtherapy.cli.asking import client_config
from jaxtherapy.config import ConfigError, Distribution, load_config
from jaxtherapy.storage.changes import refuse_other_draws, yardstick
from tests.training import tiny
from tests.training.test_schedules import trainer_main

POPULATION = {
    "threshold": {"uniform": [0.3, 0.8]},
    "max_sessions": {"uniform": [6, 12]},
    "entropy": {"normal": [1, 0.5], "clip": [0.5, 2]},
    "evaluation": {"threshold": 0.2, "max_sessions": 14},
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The folder of a run with a population and other evaluation clients."""
    folder = tmp_path_factory.mktemp("drawn")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert tiny.train(folder, **POPULATION) == 0
    return folder


def test_resumed_is_as_never_stopped(drawn, folder):
    tiny.in_two_parts(folder, **POPULATION)
    assert tiny.results(folder) == tiny.results(drawn)


def test_what_is_drawn_and_evaluated_is_told_and_recorded(folder, capsys):
    assert tiny.train(folder, total_timesteps=16, **POPULATION) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "each client draws its own threshold uniform 0.3 … 0.8, max_sessions uniform" in told
    assert "clients of max_sessions 14, threshold 0.2" in told
    config = load_config(folder / "models/tiny/config.yaml")
    assert config.threshold == Distribution("uniform", (0.3, 0.8))
    assert config.evaluation == {"threshold": 0.2, "max_sessions": 14}


def test_evaluations_during_training_are_with_the_evaluation_clients(drawn, folder):
    """Impossible ones never succeed; training itself is the same number by number."""
    impossible = POPULATION | {"evaluation": {"threshold": 1.0, "max_sessions": 14}}
    assert tiny.train(folder, **impossible) == 0
    ours, theirs = tiny.results(folder), tiny.results(drawn)
    assert ours["final"] == theirs["final"]
    assert {float(row["test_success_rate"]) for row in ours["log"]} == {0.0}
    assert {float(row["test_success_rate"]) for row in theirs["log"]} != {0.0}
    comparison = json.loads((folder / "models/tiny/run.json").read_text())["comparison"]
    assert max(comparison["success_rate"]) == 0


def test_evaluate_and_play_take_the_evaluation_clients(drawn, monkeypatch, capsys):
    given = evaluate.build_parser().parse_args([str(drawn / "models/tiny")])
    config = client_config(given, evaluate.SHARED, drawn / "models/tiny")
    assert (config.threshold, config.max_sessions) == (0.2, 14)
    assert config.entropy == Distribution("normal", (1, 0.5), (0.5, 2))
    given = evaluate.build_parser().parse_args(["--max-sessions", "9"])
    assert client_config(given, evaluate.SHARED, drawn / "models/tiny").max_sessions == 9
    given = play.build_parser().parse_args(["--entropy", "3"])
    config = client_config(given, play.CLIENT_SETTINGS, drawn / "models/tiny")
    assert (config.threshold, config.max_sessions, config.entropy) == (0.2, 14, 3)


def test_an_evaluation_of_a_population(drawn, folder, capsys):
    thresholds = ["--thresholds", "{uniform: [0.3, 0.8]}", "0.6"]
    sizes = ["--episodes", "40", "--course-episodes", "40", "--bootstrap-samples", "100"]
    few = ["--baselines", "random", "--max-sessions", "{choice: [8, 12]}", "--no-report"]
    arguments = [*thresholds, *sizes, *few]
    assert evaluate.main([str(drawn / "models/tiny"), *arguments]) == 0
    told = json.loads((folder / "reports/tiny/evaluation.json").read_text())
    assert [cell["threshold"] for cell in told["cells"]] == ["{uniform: [0.3, 0.8]}", 0.6]
    assert "threshold uniform 0.3 … 0.8" in told["cells"][0]["label"]
    assert told["settings"]["clients"]["max_sessions"] == {"choice": [8, 12]}
    assert told["settings"]["max_sessions"] == 12
    of_population = {
        each["threshold"] for each in told["episodes"] if each["cell"] == told["cells"][0]["id"]
    }
    assert len(of_population) > 1 and all(0.3 <= each <= 0.8 for each in of_population)
    for each in told["episodes"]:  # success is at the client's own threshold
        assert (each["rs"][-1] >= each["threshold"] - 1e-4) == (each["outcome"] == "success")
    from jaxtherapy.reporting.report import write_report

    write_report(folder / "reports/tiny")


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--threshold", "0.5"], "let it be a distribution"),
        (["--bond-offset", "{uniform: [0.3, 0.5]}"], "let it be a number"),
    ],
)
def test_other_numbers_cant_be_drawn_on_the_way(drawn, folder, capsys, flags, complaint):
    shutil.copytree(drawn, folder, dirs_exist_ok=True)
    more = ["--resume-from", "models/tiny", "--total-timesteps", "480"]
    assert trainer_main([*more, *flags]) == 2
    assert complaint in " ".join(capsys.readouterr().err.split())


def test_other_bounds_are_other_clients_from_then_on(drawn, folder, capsys):
    shutil.copytree(drawn, folder, dirs_exist_ok=True)
    flags = ["--total-timesteps", "480", "--threshold", "{uniform: [0.3, 0.5]}"]
    assert trainer_main(["--resume-from", "models/tiny", *flags]) == 0
    assert "policy_best.pth is chosen anew" not in " ".join(capsys.readouterr().out.split())


def test_other_evaluation_clients_begin_the_search_for_the_best_anew(drawn, folder, capsys):
    shutil.copytree(drawn, folder, dirs_exist_ok=True)
    flags = ["--total-timesteps", "480", "--evaluation", "{threshold: 0.7, max_sessions: 14}"]
    assert trainer_main(["--resume-from", "models/tiny", *flags]) == 0
    assert "policy_best.pth is chosen anew" in " ".join(capsys.readouterr().out.split())


def test_the_yardstick_is_the_evaluation_clients():
    base = load_config(None, {"threshold": 0.8, "evaluation": {"threshold": 0.9}})
    assert yardstick(base) == yardstick(load_config(None, {"threshold": 0.9}))
    assert yardstick(base) != yardstick(load_config(None, {"threshold": 0.8}))
    assert yardstick(base) != yardstick(load_config(None, {"threshold": 0.9, "success_reward": 50}))


def test_callbacks_may_change_bounds_but_not_what_is_drawn():
    config = load_config(None, {"threshold": {"uniform": [0.5, 0.6]}})
    refuse_other_draws(config, load_config(None, {"threshold": {"uniform": [0.7, 0.8]}}))
    with pytest.raises(ConfigError, match="let it be a distribution"):
        refuse_other_draws(config, load_config(None, {}))
