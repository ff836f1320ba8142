"""Numbers that differ from client to client: how they are written, checked, told and recorded."""

import numpy as np
import pytest

from jaxtherapy.cli.train import read_configuration
from jaxtherapy.config import (
    SETTINGS,
    ConfigError,
    Distribution,
    as_given,
    load_config,
    load_for_evaluation,
    save_config,
)
from jaxtherapy.config.leaves import as_leaves
from jaxtherapy.config.settings import ClientNumbers

MAY_BE_DRAWN = [name for name, about in SETTINGS.items() if about.may_be_drawn]


def test_which_settings_may_be_drawn():
    expected = {"threshold", "max_sessions", "bond_alpha", "dropout_reward", "recency_ratio"}
    assert expected <= set(MAY_BE_DRAWN)
    assert not {"seed", "learning_rate", "enable_parataxic", "mechanism"} & set(MAY_BE_DRAWN)


@pytest.mark.parametrize("kind", ["uniform", "log_uniform", "normal", "choice"])
@pytest.mark.parametrize("name", MAY_BE_DRAWN)
def test_every_one_takes_every_kind(name, kind, tmp_path):
    about = SETTINGS[name]
    low = {int: 1, float: max(about.minimum, about.above, 0) or 0.125}[about.type]
    high = about.type(min(about.maximum, 1000))
    clip = (low, high) if kind == "normal" else None
    written = {kind: [low, high]} | ({"clip": list(clip)} if clip else {})
    config = load_config(None, {name: written})
    given = getattr(config, name)
    assert given == Distribution(kind, (low, high), clip)
    assert given.support == (low, high)
    assert config.drawn == (name,)
    save_config(config, tmp_path / "c.yaml")
    assert load_config(tmp_path / "c.yaml") == config
    assert load_config(None, {name: as_given(given)}) == config
    leaf = as_leaves(ClientNumbers, config)[name]
    assert leaf == Distribution(kind, (np.float32(low), np.float32(high)), clip)
    assert all(isinstance(each, np.ndarray) for each in leaf.numbers)


def test_flags_take_what_files_take(tmp_path):
    (tmp_path / "c.yaml").write_text(
        "threshold: {uniform: [0.85, 0.99]}\nentropy:\n  normal: [3, 0.5]\n  clip: [1.5, 5]\n"
        "evaluation: {threshold: 0.9}\n"
    )
    flags = ["--threshold", "{uniform: [0.85, 0.99]}", "--evaluation", "{threshold: 9e-1}"]
    config, notes = read_configuration([*flags, "--entropy={normal: [3, 0.5], clip: [1.5, 5]}"])
    assert load_config(tmp_path / "c.yaml") == config and notes == []
    assert config.threshold == Distribution("uniform", (0.85, 0.99))
    assert config.entropy == Distribution("normal", (3, 0.5), (1.5, 5))


BAD = [
    ("threshold", {"uniform": [0.5, 1.5]}, "threshold is 1.5, must be a number above 0"),
    ("threshold", {"choice": [0, 0.5]}, "threshold is 0, must be a number above 0"),
    ("threshold", {"normal": [0.8, 0.1]}, "add clip: [low, high]"),
    ("threshold", {"normal": [0.8, 0.1], "clip": [0.5, 1.1]}, "threshold is 1.1"),
    ("threshold", {"normal": [0.8, -0.1], "clip": [0.5, 1]}, "deviation must be at least 0"),
    ("threshold", {"uniform": [0.9, 0.5]}, "give the lower end of uniform first"),
    ("threshold", {"uniform": [0.9]}, "{uniform: [low, high]}"),
    ("threshold", {"uniform": 0.9}, "{uniform: [low, high]}"),
    ("threshold", {"uniform": [0.5, 0.6], "clip": [0.5, 0.6]}, "{uniform: [low, high]}"),
    ("threshold", {"unifrom": [0.5, 0.6]}, "did you mean uniform?"),
    ("threshold", {"uniform": [0.5, 0.6], "choice": [0.5]}, "{choice: [values]"),
    ("threshold", {"choice": []}, "{choice: [values]"),
    ("threshold", {"choice": [0.5, 0.6], "weights": [1]}, "weights: [each]"),
    ("threshold", {"choice": [0.5, 0.6], "weights": [0, 0]}, "weights must be at least 0"),
    ("threshold", {"choice": [0.5, 0.6], "weights": [1, -1]}, "weights must be at least 0"),
    ("max_sessions", {"uniform": [1.5, 3]}, "max_sessions is 1.5, must be a whole number"),
    ("max_sessions", {"linear": [1, 3]}, "drawn for each client"),
    ("bond_offset", {"log_uniform": [-1, 3]}, "must begin above 0"),
    ("n_envs", "{uniform: [1, 2]}", "n_envs is '{uniform: [1, 2]}', must be a whole number"),
    ("evaluation", "threshold", "evaluation is 'threshold', must be a mapping of client settings"),
    ("evaluation", {"seed": 3}, "evaluation has 'seed', which is no client setting"),
    ("evaluation", {"threshhold": 3}, "did you mean threshold?"),
    ("evaluation", {"threshold": 2}, "evaluation: threshold is 2, must be a number above 0"),
    ("evaluation", {"threshold": {"linear": [0.5, 0.9]}}, "give a number or a distribution"),
    ("evaluation", {"patterns": []}, "patterns is empty"),
    (
        "evaluation",
        {"enable_perception": True, "enable_parataxic": False},
        "evaluation: enable_parataxic is given twice; keep one",
    ),
    ("evaluation", {3: 4}, "evaluation has 3, which is no client setting"),
]


@pytest.mark.parametrize(("name", "value", "expected"), BAD)
def test_what_no_client_can_draw_is_refused_in_one_line(name, value, expected):
    with pytest.raises(ConfigError) as error:
        load_config(None, {name: value})
    told = str(error.value)
    assert expected in told and "\n" not in told and len(told) < 450


def test_learning_is_not_drawn():
    with pytest.raises(ConfigError) as error:
        load_config(None, {"learning_rate": {"uniform": [0.1, 0.2]}})
    assert "drawn" not in str(error.value) and "{linear: [start, end]" in str(error.value)


@pytest.mark.parametrize(
    ("distribution", "words"),
    [
        (Distribution("uniform", (0.85, 0.99)), "uniform 0.85 … 0.99"),
        (Distribution("log_uniform", (1, 15)), "log-uniform 1 … 15"),
        (Distribution("normal", (3, 0.5), (1.5, 5)), "normal 3 ± 0.5 clipped to 1.5 … 5"),
        (Distribution("normal", (3, 0.5)), "normal 3 ± 0.5"),
        (Distribution("choice", (0.6, 0.9)), "one of 0.6, 0.9"),
        (Distribution("choice", (0.6, 0.9), weights=(1, 3)), "one of 0.6 (25%), 0.9 (75%)"),
    ],
)
def test_it_is_told_in_words(distribution, words):
    assert str(distribution) == f"{distribution:g}" == words


def test_evaluation_clients_are_the_same_but_for_what_is_said():
    config = load_config(
        None,
        {"threshold": {"uniform": [0.8, 0.9]}, "entropy": 2, "evaluation": {"threshold": 0.9}},
    )
    evaluated = config.for_evaluation()
    assert (evaluated.threshold, evaluated.entropy, evaluated.evaluation) == (0.9, 2, None)
    assert load_config(None, {"entropy": 2}).for_evaluation().entropy == 2
    assert load_config(None, {"evaluation": {}}).evaluation is None


def test_what_is_given_wins_over_the_evaluation_clients_of_a_file(tmp_path):
    changes = {"entropy": 2, "threshold": 0.8, "evaluation": {"threshold": 0.9, "entropy": 1}}
    save_config(load_config(None, changes), tmp_path / "c.yaml")
    config = load_for_evaluation(tmp_path / "c.yaml", {"entropy": "3", "threshold": None})
    assert (config.entropy, config.threshold) == (3, 0.9)
