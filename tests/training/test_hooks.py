"""A trainer from Python: its result, loggers, callbacks, signals, threads."""

import json
import os
import signal
import threading

import jax
import numpy as np
import pytest

from jaxtherapy.config import ConfigError, load_config
from jaxtherapy.errors import RunError
from jaxtherapy.storage import torch_format as torch_weights
from jaxtherapy.storage.policies import to_named_arrays
from jaxtherapy.storage.progress_log import COLUMNS, ProgressLog
from jaxtherapy.training import summary
from jaxtherapy.training.callbacks import Change
from jaxtherapy.training.loggers import LOGGERS
from jaxtherapy.training.trainer import Trainer
from tests.training import tiny


def config(**changes):
    return load_config(None, tiny.TINY | {"device": "cpu"} | changes)


@pytest.fixture(autouse=True)
def no_pictures():
    with tiny.without_pictures():
        yield


class Kept:
    """A logger that keeps what it is told."""

    def __init__(self):
        self.rows, self.closed = [], False

    def log(self, step, row):
        self.rows.append((step, dict(row), row.by_seed))

    def close(self):
        self.closed = True


# --- results --------------------------------------------------------------------------------


def test_without_a_folder_nothing_touches_the_disk(folder, undisturbed):
    result = Trainer(config(), save=False, loggers=[]).run()
    assert not list(folder.iterdir())
    assert result.status == "finished" and result.folder is None
    for which in ("final", "best"):
        written = torch_weights.load(undisturbed / f"models/tiny/policy_{which}.pth")
        for name, array in to_named_arrays(result.weights(which)).items():
            np.testing.assert_array_equal(array, written[name])
    written = ProgressLog(undisturbed / "logs/tiny/tiny_progress.csv").numbers()
    for name in set(COLUMNS) - set(tiny.TIMING_COLUMNS):
        np.testing.assert_allclose(result.log[name], [row[name] for row in written], rtol=1e-6)
    assert result.comparison["therapists"][0] == "trained, final"
    assert result.therapist("final") is not None


def test_several_seeds_without_a_folder(folder):
    kept = Kept()
    result = Trainer(config(n_seeds=2), save=False, loggers=[kept]).run()
    assert not list(folder.iterdir())
    assert result.log["step"].shape == (2, 5)
    assert kept.closed and [step for step, _, _ in kept.rows] == [80, 160, 240, 320, 400]
    assert set(kept.rows[0][2]) == {42, 43}
    one, other = (to_named_arrays(result.weights("final", seed)) for seed in (42, 43))
    assert any(np.any(one[name] != other[name]) for name in one)


def test_a_result_with_a_folder_tells_what_is_in_it(folder):
    kept = Kept()
    result = Trainer(config(total_timesteps=80), loggers=[kept]).run()
    assert str(result.folder) == "models/tiny"
    [written] = ProgressLog(folder / "logs/tiny/tiny_progress.csv").numbers()
    assert {name: column[0] for name, column in result.log.items()} == pytest.approx(
        written, nan_ok=True
    )
    assert kept.rows[0][1]["test_reward_mean"] == pytest.approx(written["test_reward_mean"])
    assert jax.tree.leaves(result.weights())


def test_loggers_are_found_by_name_and_the_terminal_can_be_left_out(folder, capsys):
    assert {"csv", "terminal"} <= set(LOGGERS)
    Trainer(config(total_timesteps=16), loggers=[]).run()
    assert capsys.readouterr().out == ""
    with pytest.raises(KeyError):
        Trainer(config(experiment_name="b"), loggers=["telegraph"]).run()


def test_without_a_folder_there_is_nothing_to_resume(folder):
    with pytest.raises(RunError, match="nothing to resume"):
        Trainer(config(resume=True), save=False).run()


# --- callbacks ------------------------------------------------------------------------------


def halving(view, row):
    """Halves the learning rate at every evaluation, and makes clients easier at the third."""
    view.state["seen"] = view.state.get("seen", 0) + 1
    settings = {"learning_rate": view.config.learning_rate / 2}
    if view.state["seen"] == 3:
        settings["threshold"] = 0.3
    return Change(settings=settings)


def rates(folder):
    paths = sorted((folder / "models/tiny").glob("checkpoint_*.pth"))
    loaded = [torch_weights.load(path) for path in paths]
    return {each["env_step"]: each["optim"]["param_groups"][0]["lr"] for each in loaded}


def test_what_a_callback_changes_survives_a_stop_bit_for_bit(folder, tmp_path_factory):
    whole = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(whole)
        Trainer(config(), callback=halving).run()
    assert rates(whole) == pytest.approx({112: 1.5e-4, 224: 7.5e-5, 336: 1.875e-5, 400: 9.375e-6})
    thread = tiny.interrupt_after(folder / "models/tiny/checkpoint_224.pth", signal.SIGTERM)
    stopped = Trainer(config(), callback=halving).run()
    thread.join()
    assert stopped.status == "interrupted" and stopped.log["step"][-1] < 400
    resumed = Trainer(config(resume=True), callback=halving).run()
    assert tiny.results(folder) == tiny.results(whole)
    assert resumed.config.threshold == 0.3
    assert load_config(folder / "models/tiny/config.yaml").threshold == 0.6


def test_a_callback_may_stop_the_run(folder, capsys):
    def enough(view, row):
        return Change(stop="patience") if view.step >= 160 else None

    result = Trainer(config(), callback=enough).run()
    assert result.status == "stopped" and list(result.log["step"]) == [80, 160]
    assert "stopped by patience at step 160" in capsys.readouterr().out
    info = json.loads((folder / "models/tiny/run.json").read_text())
    assert info["status"] == "stopped" and info["steps"] == 160
    assert jax.tree.leaves(result.weights("final"))


@pytest.mark.parametrize(
    ("settings", "reason"),
    [({"n_envs": 4}, "can't change n_envs"), ({"learning_rate": -1}, "learning_rate is -1")],
)
def test_what_a_callback_may_not_change_is_refused(folder, settings, reason):
    with pytest.raises(ConfigError, match=reason):
        Trainer(config(), save=False, callback=lambda view, row: Change(settings=settings)).run()


# --- signals and threads --------------------------------------------------------------------


def test_a_hangup_saves_and_ends(folder, undisturbed):
    thread = tiny.interrupt_after(folder / "models/tiny/checkpoint_112.pth", signal.SIGHUP)
    assert tiny.train(folder) == 0
    thread.join()
    info = json.loads((folder / "models/tiny/run.json").read_text())
    assert info["status"] == "interrupted" and info["stopped_by"] == "SIGHUP"
    assert tiny.train(folder, "--resume") == 0
    assert tiny.results(folder) == tiny.results(undisturbed)


def test_sigusr1_saves_and_goes_on(folder, undisturbed, monkeypatch):
    def send(view, row):
        if view.step == 160:
            os.kill(os.getpid(), signal.SIGUSR1)

    told = []
    tell = Trainer._tell_saved

    def telling(self):
        tell(self)
        told.append(json.loads((folder / "models/tiny/run.json").read_text()))

    monkeypatch.setattr(Trainer, "_tell_saved", telling)
    assert Trainer(config(), callback=send).run().status == "finished"
    [info] = told
    assert info["status"] == "running"
    assert (folder / f"models/tiny/checkpoint_{info['saved_at_step']}.pth").exists()
    assert (folder / f"models/tiny/checkpoints/{info['saved_at_step']}").exists()
    assert tiny.results(folder) == tiny.results(undisturbed)


def test_a_trainer_runs_in_a_thread(folder):
    results = []
    run = Trainer(config(total_timesteps=80), loggers=[]).run
    thread = threading.Thread(target=lambda: results.append(run()))
    thread.start()
    thread.join()
    assert results[0].status == "finished"


# --- what is said ---------------------------------------------------------------------------


def test_overshooting_is_said_and_commands_can_be_pasted(folder, capsys):
    assert tiny.train(folder, "--total-timesteps", "10", "--output-dir", "a b") == 0
    out = capsys.readouterr().out
    assert "16 steps (10 in whole updates of 16)" in out.splitlines()[0]
    assert "--resume-from 'a b'" in out


def test_nothing_moves_where_there_is_no_terminal(folder, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert tiny.train(folder, "--total-timesteps", "80") == 0
    out = capsys.readouterr().out
    assert "step" in out and not {"\r", "\x1b"} & set(out)


def test_a_picture_that_fails_costs_one_line(folder, capsys, monkeypatch):
    def fails(*_):
        raise RuntimeError("latex\nwas not found")

    monkeypatch.setattr(summary, "draw_training", fails)
    assert tiny.train(folder, "--total-timesteps", "16") == 0
    assert "no picture: RuntimeError: latex was not found\n" in capsys.readouterr().out
    info = json.loads((folder / "models/tiny/run.json").read_text())
    assert info["status"] == "finished" and info["comparison"]
