"""Settings: one source of truth for YAML keys, flags, defaults and bounds."""

import dataclasses
import time

import pytest
import yaml

from jaxtherapy import config as configuration
from jaxtherapy.cli.train import main, read_configuration
from jaxtherapy.config import (
    ConfigError,
    TrainingConfig,
    get_default_config,
    load_config,
    save_config,
)

CONTRACT_DEFAULTS = {
    "experiment_name": "therapy_ppo",
    "output_dir": "models/{experiment_name}",
    "resume_from": None,
    "patterns": ("cold_stuck", "dominant_stuck", "submissive_stuck", "mixed_random", "cold_warm"),
    "mechanism": "frequency_amplifier",
    "threshold": 0.9,
    "max_sessions": 100,
    "entropy": 0.5,
    "total_timesteps": 500_000,
    "n_envs": 8,
    "seed": 42,
    "learning_rate": 3e-4,
    "batch_size": 64,
    "n_epochs": 10,
    "gamma": 0.99,
    "gae_lambda": 0.95,
    "clip_range": 0.2,
    "ent_coef": 0.01,
    "hidden_size": 256,
    "log_dir": "logs/{experiment_name}",
    "save_freq": 10_000,
    "eval_freq": 5_000,
    "eval_episodes": 100,
    "bond_offset": 0.7,
    "history_weight": 1.0,
    "bond_power": 1.0,
    "smoothing": 0.1,
    "enable_parataxic": True,
    "baseline_accuracy": 0.5,
    "recency_ratio": 2.0,
    "vf_coef": 0.5,
    "max_grad_norm": 0.5,
    "n_seeds": 1,
    "device": "auto",
    "shared_trunk": False,
    "eval_deterministic": False,
    "anticomplement": "pool",
}


@pytest.mark.parametrize("name", CONTRACT_DEFAULTS)
def test_default(name):
    assert getattr(get_default_config(), name) == CONTRACT_DEFAULTS[name]


def test_every_setting_is_a_flag_with_help():
    text = configuration.build_parser("train", "").format_help()
    for name in configuration.SETTINGS:
        assert configuration.flag(name) in text
    assert "default 0.0003" in text and "share of the RS range" in text


def test_null_means_what_the_contract_says():
    config = load_config(None, {"bond_alpha": None, "n_steps": None, "max_grad_norm": None})
    assert config.rollout_length == config.batch_size == 64


@pytest.mark.parametrize(
    ("raw", "value"), [("3e-4", 3e-4), ("1e-3", 1e-3), (1, 1.0), ("0.5", 0.5), (" 2e-4 ", 2e-4)]
)
def test_numbers_as_text_are_numbers(raw, value):
    assert load_config(None, {"learning_rate": raw}).learning_rate == value


def test_yaml_11_reads_3e_4_as_text_and_we_do_not(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("learning_rate: 3e-4\ntotal_timesteps: 1e6\nn_envs: 16.0\n")
    config = load_config(path)
    assert (config.learning_rate, config.total_timesteps, config.n_envs) == (3e-4, 1_000_000, 16)


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
        ({"experiment_name": ".."}, "folder's name"),
        ({"experiment_name": "a\nb"}, "experiment_name"),
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
        ({"enable_perception": True, "enable_parataxic": True}, "given twice"),
        ({7: 1}, "unknown setting 7"),
    ],
)
def test_errors_name_the_key_the_value_and_what_is_allowed(given, expected):
    with pytest.raises(ConfigError) as error:
        load_config(None, given)
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("threshold: [", "not valid YAML"),
        ("- a\n- b\n", "key: value"),
        ("threshold: 0.5\nthreshold: 0.6\n", "stands twice"),
        ("? [1, 2]\n: 3\n", "not valid YAML"),
        ("a: &x [*x]\n", "unknown setting"),
        ("entropy: !!python/object/apply:os.system ['true']\n", "not valid YAML"),
        ("seed: 2001-99-99\n", "seed is '2001-99-99'"),
        ("seed: !!timestamp 2001-99-99\n", "can't be read"),
    ],
)
def test_bad_files_end_in_one_line(tmp_path, text, expected):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        load_config(path)
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("tag", ["", "!!int ", "!!float "])
def test_an_endless_number_is_refused_at_once(tmp_path, tag):
    """YAML 1.1 reads 1:30:00 as a number to the base of 60, in the square of its length."""
    path = tmp_path / "long.yaml"
    path.write_text(f"seed: {tag}1{':30' * 66_000}\n")
    began = time.perf_counter()
    expected = "too long for a number" if tag else "must be a whole number"
    with pytest.raises(ConfigError, match=expected) as error:
        load_config(path)
    assert time.perf_counter() - began < 2
    assert len(str(error.value)) < 300
    path.write_text(f"max_sessions: {tag or '!!int '}1:30\n")
    assert load_config(path).max_sessions == 90


def test_files_that_are_not_there_not_text_or_too_large(tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        load_config(tmp_path / "missing.yaml")
    with pytest.raises(ConfigError, match="can't be read"):
        load_config(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_config(tmp_path / "binary.yaml")
    (tmp_path / "large.yaml").write_bytes(b"#" * 2_000_000)
    with pytest.raises(ConfigError, match="over 1000000 bytes"):
        load_config(tmp_path / "large.yaml")


def test_aliases_may_not_unfold_without_bound(tmp_path):
    laughs = "a: &a [lol]\n"
    for here, there in zip("bcdefghij", "abcdefghi", strict=True):
        laughs += f"{here}: &{here} [{', '.join([f'*{there}'] * 10)}]\n"
    (tmp_path / "laughs.yaml").write_text(laughs + "patterns: *j\n")
    with pytest.raises(ConfigError, match="unknown setting 'a'"):
        load_config(tmp_path / "laughs.yaml")


def test_saved_configuration_loads_to_the_same(tmp_path):
    matrix = [[float(8 * i + j) for j in range(8)] for i in range(8)]
    config = load_config(
        None,
        {"experiment_name": "größe", "utility_matrix": matrix, "max_grad_norm": None, "seed": 3},
    )
    save_config(config, tmp_path / "c.yaml")
    assert load_config(tmp_path / "c.yaml") == config
    saved = yaml.safe_load((tmp_path / "c.yaml").read_text())
    assert set(saved) == {n for n, about in configuration.SETTINGS.items() if about.in_file}


def test_flag_wins_over_file_wins_over_default(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("entropy: 2.0\nthreshold: 0.7\nlstm_hidden_size: 64\n")
    config, notes = read_configuration(["--config", str(path), "--threshold", "0.8"])
    assert (config.entropy, config.threshold, config.gamma) == (2.0, 0.8, 0.99)
    assert [note for note in notes if "--threshold 0.8 replaces threshold: 0.7" in note]
    assert [note for note in notes if "lstm_hidden_size is ignored" in note]
    assert len(notes) == 2


@pytest.mark.parametrize(
    ("flags", "name", "value"),
    [
        (["--patterns", "cold_warm", "conflictual"], "patterns", ("cold_warm", "conflictual")),
        (["--enable-perception", "false"], "enable_parataxic", False),
        (["--no-enable-parataxic"], "enable_parataxic", False),
        (["--shared-trunk"], "shared_trunk", True),
        (["--max-grad-norm", "none"], "max_grad_norm", None),
        (["--total-timesteps", "5e5"], "total_timesteps", 500_000),
        (["--utility-matrix", "cold_trap"], "utility_matrix", "cold_trap"),
        (["--learning-rate=1e-3"], "learning_rate", 1e-3),
    ],
)
def test_flags(flags, name, value):
    config, _ = read_configuration(flags)
    assert getattr(config, name) == value


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--treshold", "0.5"], "did you mean --threshold"),
        (["--thresh", "0.5"], "unknown argument '--thresh'"),
        (["--seed"], "expected one argument"),
        (["--seed", "x"], "seed is 'x'"),
        (["extra"], "unknown argument 'extra'"),
        (["--resume-from", "nowhere"], "does not exist"),
        (["--resume", "--resume-from", "x"], "keep one"),
    ],
)
def test_bad_command_lines_exit_2_with_one_line_and_create_nothing(
    tmp_path, monkeypatch, capsys, flags, expected
):
    monkeypatch.chdir(tmp_path)
    assert main(flags) == 2
    error = capsys.readouterr().err
    assert expected in error and error.count("\n") == 1 and error.startswith("error: ")
    assert list(tmp_path.iterdir()) == []


def test_every_configuration_of_the_repository_loads(request):
    folder = request.config.rootpath / "configs"
    names = {path.stem for path in folder.glob("*.yaml")}
    assert names >= {
        "quickstart",
        "default",
        "test_training",
        "example_experiment",
        "experiment",
        "multi_pattern",
        "rl_vs_complementary",
    }
    for name in names:
        assert load_config(folder / f"{name}.yaml").experiment_name
    defaults = dataclasses.asdict(load_config(folder / "default.yaml"))
    assert defaults == dataclasses.asdict(TrainingConfig())


def test_named_configurations_say_what_they_promise(request):
    folder = request.config.rootpath / "configs"
    test = load_config(folder / "test_training.yaml")
    assert (test.total_timesteps, test.n_envs, test.hidden_size) == (10_000, 2, 128)
    assert (test.batch_size, test.n_epochs, test.max_sessions) == (32, 5, 50)
    rl = load_config(folder / "rl_vs_complementary.yaml")
    assert (rl.patterns, rl.threshold, rl.entropy) == (("cold_stuck",), 0.8, 0.1)
    assert (rl.bond_alpha, rl.bond_offset, rl.baseline_accuracy) == (5, 0.7, 0.5)
    assert rl.total_timesteps == 50_000_000
