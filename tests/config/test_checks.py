"""One value: its right type, its bounds, and what is said of others."""

import os
import subprocess
import sys

import pytest

from jaxtherapy.config import SETTINGS, ConfigError, checked, load_config

NO_NAMES = ("..", ".", " ", "a ", " a", "a.", "a\nb", "a\\b", "é" * 101, "a\udce9")
"""Of no folder everywhere."""


@pytest.mark.parametrize(
    ("raw", "value"), [("3e-4", 3e-4), ("1e-3", 1e-3), (1, 1.0), ("0.5", 0.5), (" 2e-4 ", 2e-4)]
)
def test_numbers_as_text_are_numbers(raw, value):
    assert load_config(None, {"learning_rate": raw}).learning_rate == value


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"thresold": 0.5}, "did you mean threshold"),
        ({"threshold": 0}, "above 0 and at most 1"),
        ({"threshold": 1.01}, "threshold is 1.01"),
        ({"n_envs": 2.5}, "whole number"),
        ({"n_envs": True}, "n_envs is True"),
        ({"entropy": "hot"}, "entropy is 'hot'"),
        ({"entropy": float("nan")}, "entropy is nan"),
        ({"entropy": float("inf")}, "entropy is inf"),
        ({"entropy": 10**400}, "entropy is"),
        ({"mechanism": "frequency"}, "one of bond_only"),
        ({"patterns": []}, "patterns is empty"),
        ({"patterns": ["cold_stuk"]}, "did you mean cold_stuck"),
        ({"patterns": {"cold_stuck": 1}}, "patterns is"),
        ({"experiment_name": "a/b"}, "folder's name"),
        *(({"experiment_name": name}, "folder's name") for name in NO_NAMES),
        ({"output_dir": " "}, "output_dir is ' ', must be text; it must be printable, not blank"),
        ({"log_dir": "a\tb"}, "log_dir is 'a\\tb', must be text; it must be printable, not blank"),
        ({"gamma": None}, "gamma is None"),
        ({"total_timesteps": "1e16"}, "total_timesteps is '1e16'"),
        ({"total_timesteps": "1e300"}, "total_timesteps is '1e300'"),
        ({"seed": "1e17"}, "seed is '1e17'"),
        ({"n_envs": "9007199254740993.0"}, "n_envs is '9007199254740993.0'"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**31 - 1, "n_seeds": 2}, "seed + n_seeds"),
        ({"n_envs": 1_000_000, "n_steps": 1_000_000}, "n_envs × n_steps"),
        ({"utility_matrix": "mean"}, "one of random"),
        ({"utility_matrix": [[1.0] * 8] * 7}, "8 rows of 8 numbers"),
        ({"utility_matrix": [[1.0] * 8] * 8}, "constant"),
        ({"utility_matrix": [[1e6] * 8] * 7 + [[999_999.99] * 8]}, "nearly so beside its size"),
        ({"utility_matrix": [[-1000.0] * 8] * 7 + [[-1000.05] * 8]}, "nearly so beside its size"),
        ({"enable_perception": True, "enable_parataxic": True}, "given twice"),
        ({7: 1}, "unknown setting 7"),
    ],
)
def test_errors_name_the_key_the_value_and_what_is_allowed(given, expected):
    with pytest.raises(ConfigError) as error:
        load_config(None, given)
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", [name for name, about in SETTINGS.items() if about.null])
@pytest.mark.parametrize("written", [None, "null", "None", "none", "~"])
def test_every_spelling_of_null(name, written):
    assert checked(name, written) is None


@pytest.mark.parametrize(
    ("written", "value"),
    [("off", False), ("yes", True), ("No", False), ("on", True), ("TRUE", True), (False, False)],
)
def test_every_spelling_of_true_and_false(written, value):
    assert checked("resume", written) is value


@pytest.mark.parametrize("written", [0, 1, "1", "2", "", "y", None, [True]])
def test_what_is_neither_true_nor_false(written):
    with pytest.raises(ConfigError, match="must be true or false"):
        checked("overwrite", written)
    with pytest.raises(ConfigError, match="must be true, false or auto"):
        checked("resume", written)


def test_resuming_may_be_left_to_what_is_there():
    assert checked("resume", "auto") == "auto"
    with pytest.raises(ConfigError, match="must be true or false"):
        checked("overwrite", "auto")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("seed", -1, "at least 0 and at most 2147483647"),
        ("n_seeds", 0, "at least 1 and at most 100000"),
        ("total_timesteps", 0, "at least 1 and at most 1e+12"),
        ("entropy", 0, "at least 1e-20 and at most 1e+06"),
        ("max_grad_norm", 0, "a number above 0 and at most 1e+09, or null (off)"),
        ("n_hosts", 0, "a whole number of at least 1, or null (found by itself)"),
        ("dropout_session", -1, "at least 0 and at most 10000"),
        ("success_reward", 2e6, "at least -1e+06 and at most 1e+06"),
        ("reward_per_session_saved", "much", "a number of at least -1e+06"),
        ("dropout_reward", None, "dropout_reward is None"),
        ("actor_view", "histroy", "did you mean history?"),
        ("critic_view", "all", "one of consequences"),
        (
            "encoder",
            "histry",
            "one of auto, consequences, flat, history, history_counts; did you mean history?",
        ),
        ("experiment_name", 42, "must be text; put it in quotes"),
    ],
)
def test_bounds_are_told_exactly(name, value, expected):
    with pytest.raises(ConfigError) as error:
        checked(name, value)
    assert expected in str(error.value)


@pytest.mark.parametrize("name", [n for n, about in SETTINGS.items() if about.type in (int, float)])
def test_bounds_as_they_are_told_are_the_bounds(name):
    about = SETTINGS[name]
    with pytest.raises(ConfigError) as error:
        checked(name, "none of them")
    numbers = [word.strip(",;") for word in str(error.value).split(" must be ")[1].split()]
    told = []
    for word in numbers:
        try:
            told.append(float(word))
        except ValueError:
            continue
    bounds = {about.minimum, about.maximum, about.above} - {float("inf"), float("-inf")}
    assert bounds <= set(told)


def test_names_that_the_locale_has_no_letters_for_are_refused():
    script = "from jaxtherapy.config import load_config; load_config(None, {'output_dir': '\\xfc'})"
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | locale,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "can't name a file in this locale (ascii); set PYTHONUTF8=1" in done.stderr
