"""Files of settings: read as they stand, strictly, and written."""

import time

import pytest
import yaml

from jaxtherapy import config as configuration
from jaxtherapy.cli.train import read_configuration
from jaxtherapy.config import ConfigError, load_config, save_config
from jaxtherapy.config.yaml_files import parse_yaml


def test_yaml_11_reads_3e_4_as_text_and_we_do_not(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("learning_rate: 3e-4\ntotal_timesteps: 1e6\nn_envs: 16.0\n")
    config = load_config(path)
    assert (config.learning_rate, config.total_timesteps, config.n_envs) == (3e-4, 1_000_000, 16)


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
    began = time.process_time()
    expected = "too long for a number" if tag else "must be a whole number"
    with pytest.raises(ConfigError, match=expected) as error:
        load_config(path)
    assert time.process_time() - began < 2
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


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0042", "0042"),  # YAML 1.1: 34
        ("-017", "-017"),
        ("1:30", "1:30"),  # 90
        ("1:30.5", "1:30.5"),
        ("190:20:30", "190:20:30"),
        ("2024-01-01", "2024-01-01"),  # a date
        ("2024-01-01 10:00:00", "2024-01-01 10:00:00"),
        ("no", "no"),  # false
        ("On", "On"),
        ("0b101", "0b101"),
        ("=", "="),
        ("true", True),
        ("False", False),
        ("0", 0),
        ("-7", -7),
        ("1_000", 1000),
        ("0x10", 16),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1.", 1.0),
        ("1_0.5", 10.5),
        ("1.5e3", 1500.0),
        ("-1.0e-05", -1e-05),
        (".inf", float("inf")),
        ("~", None),
        ("null", None),
        ("", None),
    ],
)
def test_what_stands_there_is_what_is_read(text, value):
    read = parse_yaml(f"key: {text}", "this")["key"]
    assert read == value and type(read) is type(value)


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("seed: 0042", "seed", 42),
        ("experiment_name: 0042", "experiment_name", "0042"),
        ("experiment_name: 2024-01-01", "experiment_name", "2024-01-01"),
        ("experiment_name: no", "experiment_name", "no"),
        ("enable_parataxic: no", "enable_parataxic", False),
        ("resume: on", "resume", True),
    ],
)
def test_settings_are_what_stands_there(tmp_path, text, name, value):
    (tmp_path / "c.yaml").write_text(text)
    assert getattr(load_config(tmp_path / "c.yaml"), name) == value


@pytest.mark.parametrize("written", ["1:30", "2024-01-01", "yes", "0o17"])
def test_numbers_that_only_yaml_takes_for_numbers_are_refused(tmp_path, written):
    (tmp_path / "c.yaml").write_text(f"max_sessions: {written}")
    with pytest.raises(ConfigError, match=f"max_sessions is '{written}', must be a whole number"):
        load_config(tmp_path / "c.yaml")


@pytest.mark.parametrize("written", ["false", "no", "null", "~", "'False'", "0"])
def test_the_old_stacks_files_say_that_nobody_sees_everything(tmp_path, written):
    (tmp_path / "c.yaml").write_text(f"use_omniscient_wrapper: {written}\nlstm_hidden_size: 64\n")
    assert load_config(tmp_path / "c.yaml") == load_config()
    _, notes = read_configuration(["--config", str(tmp_path / "c.yaml")])
    assert [note.split(":")[0] for note in notes] == [
        "lstm_hidden_size is ignored",
        "use_omniscient_wrapper is ignored",
    ]


@pytest.mark.parametrize("written", ["true", "yes", "1", "True"])
def test_the_old_stacks_files_say_that_the_therapist_sees_everything(tmp_path, written):
    path = tmp_path / "c.yaml"
    path.write_text(f"use_omniscient_wrapper: {written}")
    config, notes = read_configuration(["--config", str(path)])
    assert config == load_config(path)
    assert (config.actor_view, config.critic_view) == ("omniscient", "omniscient")
    assert notes == [
        "use_omniscient_wrapper is read as actor_view: omniscient and critic_view: omniscient"
    ]
    path.write_text(f"use_omniscient_wrapper: {written}\nactor_view: history\n")
    assert load_config(path).actor_view == "history"


@pytest.mark.parametrize("written", ["[]", "2", "maybe"])
def test_what_else_the_old_stacks_wrapper_may_be_is_refused(tmp_path, written):
    (tmp_path / "c.yaml").write_text(f"use_omniscient_wrapper: {written}")
    with pytest.raises(ConfigError, match=r"use_omniscient_wrapper is .*, must be true or false"):
        load_config(tmp_path / "c.yaml")


def test_files_may_lie_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    save_config(load_config(None, {"seed": 7}), "~/c.yaml")
    assert (tmp_path / "c.yaml").exists()
    assert load_config("~/c.yaml").seed == read_configuration(["--config=~/c.yaml"])[0].seed == 7


def test_new_settings_survive_a_file(tmp_path):
    given = {
        "success_reward": 1.0,
        "reward_per_session_saved": 0.0,
        "dropout_reward": -1.5,
        "dropout_session": 0,
        "actor_view": "history",
        "critic_view": "history",
        "encoder": "flat",
    }
    save_config(load_config(None, given), tmp_path / "c.yaml")
    config = load_config(tmp_path / "c.yaml")
    assert {name: getattr(config, name) for name in given} == given


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
