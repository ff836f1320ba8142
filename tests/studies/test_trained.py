"""Sweeps of trainings: rows of every therapist, weights, the winner; and the same with Optuna."""

import importlib
from dataclasses import replace

import pytest
import yaml

from jaxtherapy.config import load_config
from jaxtherapy.storage.trained_policy import load_policy
from jaxtherapy.studies.settings import load_sweep
from jaxtherapy.studies.trained import Trainings
from jaxtherapy.studies.winner import winner
from tests.training import tiny

SWEEP = {
    "name": "small",
    "settings": tiny.TINY | {"total_timesteps": 64, "eval_freq": 32, "seeds_at_once": 2},
    "vary": {"learning_rate": {"log": [1e-3, 1e-2], "points": 2}, "ent_coef": [0.01, 0.02]},
    "train": True,
    "therapists": ["complementary"],
    "clients": 40,
    "save_policies": "all",
}


@pytest.fixture
def sweep(tmp_path):
    return read(tmp_path)


def read(folder, **changes):
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(SWEEP | changes, sort_keys=False))
    return load_sweep(path)


def test_runs_have_rows_of_everybody_and_leave_weights(sweep, tmp_path):
    kind, done = Trainings(sweep, tmp_path / "policies"), {(1, 42)}
    assert len({kind.program_of(run) for run in sweep.runs}) == 1
    told = []
    runs = list(kind.measure(sweep.runs, done, told.append))
    # Of four evaluations: one run of the first group is done already.
    assert told == [0.5, 1.0, 1.0, 2.0]
    assert [rows[0]["point"] for rows in runs] == [0, 2, 3]
    for rows in runs:
        assert [row["therapist"] for row in rows] == list(kind.therapists)
        reference, trained = rows
        assert reference.keys() | trained.keys() <= {*kind.columns, "point", "seed", "therapist"}
        # Both are measured by programs of their own, with the same clients.
        gap = trained["success"] - reference["success"]
        assert trained["difference"] == pytest.approx(gap)
        assert (trained["status"], trained["steps"]) == ("finished", 64)
        path = tmp_path / f"policies/point_{trained['point']}_seed_42.pth"
        assert load_policy(path).therapist()
    # Who meets the same clients is measured once.
    assert len({str({**rows[0], "point": None}) for rows in runs}) == 1
    assert not (tmp_path / "policies/point_1_seed_42.pth").exists()


def test_the_winner_is_a_training_of_its_own(sweep, tmp_path):
    rows = [
        {"therapist": "trained", "point": point, "seed": 42, "difference": gain, "status": status}
        for point, gain, status in [
            (0, 0.1, "finished"),
            (2, 0.2, "finished"),
            (3, 0.9, "diverged"),
        ]
    ]
    config, gain = winner(sweep, rows)
    assert gain == 0.2 and config.learning_rate == 1e-2
    # Its seed is another: the highest of many is so by luck too.
    best = sweep.run_points[2].config
    assert config == replace(best, experiment_name="small_winner", seed=43)
    of_clients = read(tmp_path, vary={"threshold": [0.4, 0.5]})
    assert winner(of_clients, rows) is None


def test_optuna_asks_and_goes_on(sweep, tmp_path, monkeypatch):
    optuna = importlib.import_module("optuna")
    monkeypatch.chdir(tmp_path)
    from examples import optuna_search as example

    storage = f"sqlite:///{tmp_path}/search.db"
    told = [str(tmp_path / "small.yaml"), "--storage", storage, "--batch", "2"]
    read(tmp_path, design="random", points=2)
    example.main(told)
    lost = optuna.load_study(study_name="small", storage=storage).ask()
    read(tmp_path, design="random", points=5)
    example.main(told)
    trials = optuna.load_study(study_name="small", storage=storage).trials
    assert len(trials) == 5 and trials[lost.number].state == optuna.trial.TrialState.FAIL
    states = {trial.state.name for trial in trials if trial.number != lost.number}
    assert states <= {"COMPLETE", "PRUNED"}
    assert {*trials[0].intermediate_values} == {32, 64}
    best = max((t for t in trials if t.value is not None), key=lambda trial: trial.value)
    assert load_config("winner.yaml").learning_rate == best.params["learning_rate"]
