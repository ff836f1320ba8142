"""What goes with the weights."""

import json
import shutil

import numpy as np

import jaxtherapy as jt
from jaxtherapy.ppo.types import EvalResult
from jaxtherapy.training.model_card import TITLE, model_card
from tests.training import tiny


def test_the_card_tells_of_the_training_and_how_good_it_is(undisturbed):
    card = (undisturbed / "models/tiny/model_card.md").read_text()
    info = json.loads((undisturbed / "models/tiny/run.json").read_text())
    assert card.startswith(f"{TITLE}tiny\n")
    assert f"`{info['command']}`" in card and "python -m jaxtherapy.train" in info["command"]
    assert "400 sessions of seed 42" in card
    assert "| threshold | 0.6 |" in card and "| n_envs | 2 |" in card and "| gamma |" not in card
    success, reward = (info["comparison"][name][0] for name in ("success_rate", "reward_mean"))
    assert f"| trained, final | {success:.1%} |" in card and f"| {reward:.1f} |" in card


def test_its_command_can_be_pasted():
    config = jt.TrainingConfig(experiment_name="two words", n_seeds=3)
    outcomes = EvalResult(*[np.zeros(1)] * len(EvalResult._fields))
    card = model_card(config, {"steps": 1000}, ["random"], outcomes, "")
    assert "python -m jaxtherapy.evaluate 'models/two words'\n" in card
    assert "1,000 sessions of each of 3 seeds" in card


def test_a_training_that_goes_on_has_none_until_it_ends(undisturbed, folder):
    shutil.copytree(undisturbed, folder, dirs_exist_ok=True)
    config = jt.load_config(None, tiny.TINY | {"device": "cpu", "resume": True})
    longer = config.replace(total_timesteps=800)

    def stop(*_):
        return jt.Change(stop="enough")

    with tiny.without_pictures():
        assert jt.Trainer(longer, callback=stop, loggers=[]).run().status == "stopped"
        assert not (folder / "models/tiny/model_card.md").exists()
