"""Settings that change while training: how they are written, checked and recorded."""

import math

import numpy as np
import pytest
from pytest import approx

from jaxtherapy import config as configuration
from jaxtherapy.cli.train import read_configuration
from jaxtherapy.config import SETTINGS, ConfigError, Schedule, load_config, save_config
from jaxtherapy.config.leaves import as_leaves
from jaxtherapy.config.settings import ClientNumbers, Hyperparameters

MAY_VARY = [name for name, about in SETTINGS.items() if about.may_vary]


def test_which_settings_may_vary():
    assert {"learning_rate", "ent_coef", "max_grad_norm", "threshold", "dropout_reward"} <= set(
        MAY_VARY
    )
    assert not {"seed", "max_sessions", "enable_parataxic", "n_envs", "save_freq"} & set(MAY_VARY)


@pytest.mark.parametrize("kind", ["linear", "cosine", "exponential"])
@pytest.mark.parametrize("name", MAY_VARY)
def test_every_one_takes_every_kind(name, kind, tmp_path):
    about = SETTINGS[name]
    low, high = max(about.minimum, about.above, 0) or 1e-3, min(about.maximum, 1e6)
    config = load_config(None, {name: {kind: [high, low]}, "total_timesteps": 1000})
    assert getattr(config, name) == Schedule(kind, high, low, 1000)
    save_config(config, tmp_path / "c.yaml")
    assert load_config(tmp_path / "c.yaml") == config
    part = ClientNumbers if hasattr(ClientNumbers, name) else Hyperparameters
    leaf = as_leaves(part, config)[name]
    assert leaf == Schedule(kind, np.float32(high), np.float32(low), np.float32(1000))


def test_flags_take_what_files_take(tmp_path):
    (tmp_path / "c.yaml").write_text(
        "learning_rate: {linear: [1e-3, 0.0001], over: 2e3}\nent_coef:\n  cosine: [0.1, 0]\n"
    )
    from_file = load_config(tmp_path / "c.yaml")
    from_flags, notes = read_configuration(
        ["--learning-rate", "{linear: [1e-3, 1e-4], over: 2000}", "--ent-coef={cosine: [0.1, 0]}"]
    )
    assert from_file == from_flags and notes == []
    assert from_file.learning_rate == Schedule("linear", 1e-3, 1e-4, 2000)
    assert from_file.ent_coef == Schedule("cosine", 0.1, 0, 500_000)


def test_replacing_one_by_flag_is_told_as_it_can_be_given(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("learning_rate: {linear: [1e-3, 1e-4]}\nent_coef: {linear: [1, 0]}\n")
    flags = ["--learning-rate", "{cosine: [0.001, 0.0002]}", "--ent-coef", "{linear: [1, 0]}"]
    _, notes = read_configuration(["--config", str(path), *flags])
    assert notes == [
        "--learning-rate {cosine: [0.001, 0.0002]} replaces learning_rate: "
        f"{{linear: [0.001, 0.0001]}} of {path}"
    ]


def test_a_longer_run_keeps_the_horizon_unless_told_otherwise(tmp_path):
    save_config(load_config(None, {"gamma": {"linear": [0.9, 0.99]}}), tmp_path / "c.yaml")
    longer = load_config(tmp_path / "c.yaml", {"total_timesteps": 1_000_000})
    assert longer.gamma.over == 500_000
    told = {"total_timesteps": 1_000_000, "gamma": "{linear: [0.9, 0.99]}"}
    assert load_config(tmp_path / "c.yaml", told).gamma.over == 1_000_000


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("learning_rate", {"linear": [20, 1]}, "learning_rate is 20, must be a number of at least"),
        ("clip_range", {"linear": [1, 0]}, "clip_range is 0, must be a number above 0 and at most"),
        ("learning_rate", {"linear": [1e-3, None]}, "learning_rate is None"),
        ("learning_rate", {"linear": 1}, "{linear: [start, end], over: steps}"),
        ("learning_rate", {"linear": [1, 2, 3]}, "or {linear: [start, end], over: steps}"),
        ("learning_rate", {"linear": [1, 2], "cosine": [1, 2]}, "of linear, cosine, exponential"),
        ("learning_rate", {"linear": [1, 2], "after": 5}, "must be a number of at least 0"),
        ("learning_rate", {"linaer": [1, 2]}, "did you mean linear?"),
        ("learning_rate", {}, "of linear, cosine, exponential"),
        ("learning_rate", {"over": 5}, "of linear, cosine, exponential"),
        ("learning_rate", {7: 5}, "of linear, cosine, exponential"),
        ("learning_rate", "{linear: [1, 2]", "learning_rate is not valid YAML"),
        (
            "learning_rate",
            {"linear": [1, 2], "over": 0},
            "learning_rate's over is 0, must be a whole",
        ),
        ("learning_rate", {"linear": [1, 2], "over": 2.5}, "learning_rate's over is 2.5"),
        ("ent_coef", {"exponential": [1, 0]}, "can't begin or end at 0"),
        ("dropout_reward", {"exponential": [-1, 1]}, "change its sign"),
        ("entropy", {"exponential": [1e-25, 1]}, "entropy is 1e-25"),
        ("n_envs", {"linear": [1, 2]}, "n_envs is {'linear': [1, 2]}, must be a whole number"),
        ("mechanism", {"linear": [1, 2]}, "mechanism is"),
        ("learning_rate", {"linear": [float("nan"), 2]}, "learning_rate is nan"),
        ("learning_rate", Schedule("linear", -1, 1), "learning_rate is -1"),
    ],
)
def test_errors_tell_what_is_allowed(name, value, expected):
    with pytest.raises(ConfigError) as error:
        load_config(None, {name: value})
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


def test_negative_numbers_may_change_by_factors():
    value = {"exponential": [-100, -1], "over": 100}
    schedule = load_config(None, {"dropout_reward": value}).dropout_reward
    assert schedule.at(50) == approx(-10)


def test_values_on_the_way():
    linear, cosine = Schedule("linear", 1.0, 0.0, 100), Schedule("cosine", 1.0, 0.0, 100)
    assert [linear.at(step) for step in (0, 25, 100, 1000)] == [1, 0.75, 0, 0]
    assert [cosine.at(step) for step in (0, 50, 100)] == approx([1, 0.5, 0])


@pytest.mark.parametrize("xp", [math, np])
@pytest.mark.parametrize("kind", ["linear", "cosine", "exponential"])
@pytest.mark.parametrize(
    "ends", [(0.5, 1e-20), (1e-20, 1e6), (0.1, 0.7), (1.0, 1.0), (-3.0, -1e-3)]
)
def test_rounding_never_leaves_the_bounds_and_both_ends_are_exact(ends, kind, xp):
    start, end = ends if xp is math else np.float32(ends)
    schedule = Schedule(kind, start, end, 10**6 if xp is math else np.float32(10**6))
    steps = [0, 1, 333_333, 999_999, 10**6, 10**9]
    values = [schedule.at(step if xp is math else np.float32(step), xp) for step in steps]
    assert min(start, end) <= min(values) <= max(values) <= max(start, end)
    assert values[0] == start and values[-1] == approx(end, rel=1e-6, abs=0)
    if kind != "exponential":
        assert values[-2:] == [end, end]


def test_at_the_end_nothing_changes_any_more():
    given = {"learning_rate": {"linear": [1e-3, 1e-5]}, "threshold": {"cosine": [0.5, 0.9]}}
    config = load_config(None, given | {"gamma": {"linear": [0, 1], "over": 1_000_000}})
    expected = {"learning_rate": 1e-5, "threshold": 0.9, "gamma": 0.5}
    assert config.at_end() == load_config(None, expected)
    assert config.at_end().at_end() == config.at_end()
    assert load_config().at_end() == load_config()
    assert config.at(0).learning_rate == 1e-3 and config.at(250_000).threshold == approx(0.7)


def test_it_is_written_as_it_can_be_given():
    fading = load_config(None, {"learning_rate": "{linear: [1e-3, 0]}"})
    assert fading.at_end().learning_rate == 0
    schedule = Schedule("linear", 1e-3, 1e-5, 1000)
    written = configuration.as_given(schedule)
    assert written == "{linear: [0.001, 1.0e-05], over: 1000}"
    assert configuration.checked("learning_rate", written) == schedule
