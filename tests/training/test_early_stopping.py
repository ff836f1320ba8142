"""A run may end before its last step, and resumed equals never stopped all the same."""

import json

import pytest

from jaxtherapy.config import ConfigError, load_config
from jaxtherapy.storage.progress import NEVER, Progress
from jaxtherapy.storage.progress_log import ProgressLog
from jaxtherapy.training import early_stopping
from jaxtherapy.training.callbacks import Change
from jaxtherapy.training.trainer import Trainer
from tests.training import tiny

EASY = {"threshold": 0.05, "save_freq": 160}
"""Nearly everybody succeeds."""
TARGET = EASY | {"target_success": 0.25, "target_evaluations": 2}


@pytest.fixture(autouse=True)
def no_pictures():
    with tiny.without_pictures():
        yield


def config(**changes):
    return load_config(None, tiny.TINY | {"device": "cpu"} | changes)


def after(evaluations, **settings):
    """The progress after (reward, success) of each evaluation."""
    progress = Progress()
    for reward, success in evaluations:
        early_stopping.count(config(**settings), progress, reward, success)
    return progress


def steps(folder):
    return [row["step"] for row in ProgressLog(folder / "logs/tiny/tiny_progress.csv").numbers()]


def info(folder):
    return json.loads((folder / "models/tiny/run.json").read_text())


# --- when ---------------------------------------------------------------------------------


def test_a_target_must_hold_in_a_row():
    target = {"target_success": 0.8, "target_evaluations": 2}
    held = [(0, 0.8), (0, 0.79), (0, 0.9)]
    assert not after(held, **target).ended_early
    told = after([*held, (0, 0.8)], **target).ended_early
    assert told == "reached its target, 0.8 success in 2 evaluations in a row"
    assert not after([*held, (0, 0.8)]).ended_early


def test_patience_counts_from_the_best_reward():
    rewards = [(1, 0), (1, 0), (2, 0), (0, 0), (2, 0)]
    assert not after(rewards, patience=3).ended_early
    told = after([*rewards, (1.5, 0)], patience=3).ended_early
    assert told == "lost patience, 3 evaluations without a better reward"


def test_what_has_ended_goes_on_with_other_limits():
    progress = after([(0, 0.8)] * 3, target_success=0.8)
    assert early_stopping.still(config(target_success=0.7), progress)
    for other in ({}, {"target_success": 0.9}, {"target_success": 0.8, "target_evaluations": 4}):
        assert not early_stopping.still(config(**other), progress)
    progress.forget_evaluations()
    assert not progress.ended_early and progress.highest_reward == NEVER


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("target_success", 0),
        ("target_success", 1.1),
        ("target_success", {"linear": [0.1, 0.5]}),
        ("target_evaluations", 0),
        ("patience", 0),
    ],
)
def test_limits_are_checked(name, value):
    with pytest.raises(ConfigError, match=name):
        config(**{name: value})


@pytest.mark.parametrize(("step", "early"), [(399, True), (400, False)])
def test_the_last_step_is_not_early(step, early):
    progress = Progress(step=step)
    early_stopping.count(config(patience=1), progress, 1, 0)
    early_stopping.count(config(patience=1), progress, 1, 0)
    assert bool(progress.ended_early) is early


# --- a run --------------------------------------------------------------------------------


def test_a_run_ends_at_its_target_and_says_so(folder, capsys):
    result = Trainer(config(**TARGET)).run()
    assert result.status == "finished" and list(result.log["step"]) == [80, 160]
    assert result.comparison
    why = "reached its target, 0.25 success in 2 evaluations in a row"
    out = capsys.readouterr().out
    assert "ends early at 0.25 success in 2 evaluations in a row" in out
    assert f"ends at step 160: {why}" in out
    assert info(folder)["status"] == "finished" and info(folder)["ended_early"] == why
    assert info(folder)["steps"] == 160 and "stopped_by" not in info(folder)
    for name in ("policy_final.pth", "checkpoint_160.pth", "checkpoints/160"):
        assert (folder / "models/tiny" / name).exists(), name


def test_one_that_has_ended_says_how_to_go_on(folder, capsys):
    Trainer(config(**TARGET)).run()
    before = info(folder)
    capsys.readouterr()
    result = Trainer(config(**TARGET, resume=True)).run()
    assert result.status == "finished" and info(folder) == before
    [said] = [line for line in capsys.readouterr().out.splitlines() if "nothing left" in line]
    assert "reached its target" in said and "train on with --target-success null" in said
    result = Trainer(config(**EASY, resume=True)).run()  # as it says
    assert list(result.log["step"]) == [80, 160, 240, 320, 400]
    assert info(folder)["steps"] == 400 and "ended_early" not in info(folder)


def test_it_goes_on_where_its_evaluations_say_nothing_any_more(folder):
    Trainer(config(**TARGET)).run()
    result = Trainer(config(**TARGET | {"threshold": 0.06}, resume=True)).run()
    assert list(result.log["step"]) == [80, 160, 240, 320]


def test_one_that_was_stopped_ends_where_it_would_have(folder, tmp_path_factory):
    """Two evaluations lie before the stop, and two after it."""
    limits = EASY | {"target_success": 0.01, "target_evaluations": 4, "save_freq": 80}
    whole = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(whole)
        Trainer(config(**limits)).run()

    def stop(view, row):
        return Change(stop="us") if view.step == 160 else None

    assert Trainer(config(**limits), callback=stop).run().status == "stopped"
    assert Trainer(config(**limits, resume=True)).run().status == "finished"
    assert steps(folder) == steps(whole) == [80, 160, 240, 320]
    for name in ("policy_final.pth", "policy_best.pth", "checkpoint_320.pth"):
        one, other = (root / "models/tiny" / name for root in (folder, whole))
        assert one.read_bytes() == other.read_bytes(), name


def test_patience_ends_a_run_without_a_folder(folder):
    result = Trainer(config(patience=1, learning_rate=0.0), save=False).run()
    assert list(result.log["step"]) == [80, 160]
    assert result.weights("final") is not None
