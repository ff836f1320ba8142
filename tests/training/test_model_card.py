"""What goes with the weights."""

import json

from jaxtherapy.training.model_card import TITLE


def test_the_card_tells_of_the_training_and_how_good_it_is(undisturbed):
    card = (undisturbed / "models/tiny/model_card.md").read_text()
    info = json.loads((undisturbed / "models/tiny/run.json").read_text())
    assert card.startswith(f"{TITLE}tiny\n")
    assert f"`{info['command']}`" in card and "python -m jaxtherapy.train" in info["command"]
    assert "400 sessions of each of seed 42" in card
    assert "| threshold | 0.6 |" in card and "| n_envs | 2 |" in card and "| gamma |" not in card
    success, reward = (info["comparison"][name][0] for name in ("success_rate", "reward_mean"))
    assert f"| trained, final | {success:.1%} |" in card and f"| {reward:.1f} |" in card
