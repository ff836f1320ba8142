"""Settings that change while training: neither chunks nor interruptions change a number."""

import shutil

import pytest

from jaxtherapy.config import load_config
from jaxtherapy.storage import torch_format as torch_weights
from tests.training import tiny

SCHEDULED = {
    "learning_rate": {"linear": [3e-3, 3e-4]},
    "ent_coef": {"cosine": [0.1, 0.01], "over": 200},
    "threshold": {"linear": [0.2, 0.6]},
}


@pytest.fixture(scope="module")
def scheduled(tmp_path_factory):
    """The folder of a run with schedules, in one piece and in chunks as they come."""
    folder = tmp_path_factory.mktemp("scheduled")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert tiny.train(folder, **SCHEDULED) == 0
    return folder


def test_chunks_and_interruptions_change_no_number(scheduled, folder):
    tiny.in_two_parts(folder, **SCHEDULED)
    assert tiny.results(folder) == tiny.results(scheduled)


def test_a_schedule_is_not_its_first_value(scheduled, folder):
    constant = {"learning_rate": 3e-3, "ent_coef": 0.1, "threshold": 0.2}
    assert tiny.train(folder, **constant) == 0
    assert tiny.results(folder)["final"] != tiny.results(scheduled)["final"]


@pytest.mark.parametrize(("step", "rate"), [(112, 3e-3 - 2.7e-3 * 0.28), (400, 3e-4)])
def test_the_exported_rate_is_the_value_now(scheduled, step, rate):
    saved = torch_weights.load(scheduled / f"models/tiny/checkpoint_{step}.pth")
    assert saved["optim"]["param_groups"][0]["lr"] == pytest.approx(rate)


def test_the_model_card_shows_them(scheduled):
    card = (scheduled / "models/tiny/model_card.md").read_text()
    assert "| learning_rate | {linear: [0.003, 0.0003]" in card
    assert "| threshold | {linear: [0.2, 0.6]" in card


def test_a_longer_run_keeps_the_horizon(scheduled, folder):
    shutil.copytree(scheduled, folder, dirs_exist_ok=True)
    flags = ["--resume-from", "models/tiny", "--total-timesteps", "480"]
    assert trainer_main(flags) == 0
    config = load_config(folder / "models/tiny/config.yaml")
    assert config.learning_rate.over == 400 and config.ent_coef.over == 200
    saved = torch_weights.load(folder / "models/tiny/checkpoint_480.pth")
    assert saved["optim"]["param_groups"][0]["lr"] == pytest.approx(3e-4)


def trainer_main(flags):
    from jaxtherapy.cli.train import main

    return main([*flags, "--device", "cpu"])
