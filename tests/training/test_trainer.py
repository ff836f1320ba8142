"""What an evaluation leaves: its row, and the weights of the best so far."""

import json
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from jaxtherapy.devices.programs import compile_programs
from jaxtherapy.ppo.running_statistics import RunningStatistics
from jaxtherapy.ppo.types import EvalResult, Losses, TrainLog
from jaxtherapy.storage import torch_format as torch_weights
from jaxtherapy.storage.progress import Progress
from jaxtherapy.storage.progress_log import COLUMNS
from jaxtherapy.training import trainer
from jaxtherapy.training.group import row_of_seed
from tests.training import tiny

PROGRESS = Progress(step=4_096, n_updates=8, duration=12.34567, best_reward=[0.0])
LOG = TrainLog(
    reward=RunningStatistics(20.0, 33.0, 980.0),
    length=RunningStatistics(20.0, 17.0, 320.0),
    success=5.0,
    dropped_out=3.0,
    losses=Losses(2.0, 6.0, 10.0, 14.0, 18.0, 22.0, 26.0),
    n_updates=4,
)
RESULT = EvalResult(41.0, 42.0, 43.0, 0.44, 0.45, 46.0)
ROW = {
    "epoch": 8,
    "step": 4_096,
    "train_reward_mean": 33.0,
    "train_reward_std": 7.0,
    "train_length_mean": 17.0,
    "test_reward_mean": 41.0,
    "test_reward_std": 42.0,
    "test_length_mean": 43.0,
    "duration": 12.346,
    "train_success_rate": 0.25,
    "train_dropout_rate": 0.15,
    "test_success_rate": 0.44,
    "test_dropout_rate": 0.45,
    "test_sessions_to_success": 46.0,
    "policy_loss": 0.5,
    "value_loss": 1.5,
    "entropy": 2.5,
    "approx_kl": 3.5,
    "clip_fraction": 4.5,
    "grad_norm": 5.5,
    "explained_variance": 6.5,
    "return_scale": 51.0,
    "steps_per_second": 52.0,
}
"""As every number above has its own place, so has every column its own number."""

assert list(ROW) == list(COLUMNS) and len(set(ROW.values())) == len(ROW)

NO_EPISODES = [name for name in COLUMNS if name.startswith("train_")]
NO_UPDATES = list(Losses._fields)
NO_SUCCESS = ["test_sessions_to_success"]


def row_of(log=LOG, result=RESULT):
    log, result = (type(x)(*x) for x in (log, result))
    return row_of_seed(PROGRESS, 52.0, (result, log, RunningStatistics(1.0, 0.0, 51.0**2)))


def test_a_row_tells_every_number_in_its_column():
    assert row_of() == pytest.approx(ROW, rel=1e-6)


@pytest.mark.parametrize(
    ("changes", "unknown"),
    [
        ({"log": LOG._replace(reward=RunningStatistics(0.0, 0.0, 0.0), success=0.0)}, NO_EPISODES),
        ({"log": LOG._replace(n_updates=0)}, NO_UPDATES),
        ({"result": RESULT._replace(success_rate=0.0)}, NO_SUCCESS),
    ],
    ids=["no therapy ended", "no update", "no success"],
)
def test_what_nothing_is_known_of_is_nan(changes, unknown):
    """Neither 0, which would be a claim, nor a division by zero."""
    row = row_of(**changes)
    assert [name for name in COLUMNS if np.isnan(row[name])] == unknown


def test_the_best_policy_is_that_of_the_highest_reward_so_far(folder, monkeypatch):
    """Neither the first nor the last evaluated; of equals the earlier."""
    rewards = iter([1.0, 3.0, 3.0, 2.0])

    def with_scripted_rewards(*arguments):
        programs = compile_programs(*arguments)

        def evaluate(state):
            return programs.evaluate(state)._replace(reward_mean=jnp.array([next(rewards)]))

        return replace(programs, evaluate=evaluate)

    monkeypatch.setattr(trainer, "compile_programs", with_scripted_rewards)
    assert tiny.train(folder, total_timesteps=64, eval_freq=16, save_freq=16) == 0
    output = folder / "models/tiny"
    best = torch_weights.load(output / "policy_best.pth")
    evaluated = [output / f"checkpoint_{step}.pth" for step in (16, 32, 48, 64)]
    models = [torch_weights.load(path)["model"] for path in evaluated]
    equal = [all(np.array_equal(best[name], model[name]) for name in best) for model in models]
    assert equal == [False, True, False, False]
    assert json.loads((output / "run.json").read_text())["best_evaluation_reward"] == [3]
