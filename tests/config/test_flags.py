"""Settings on the command line."""

import os
import sys

import pytest

import jaxtherapy
from jaxtherapy import config as configuration
from jaxtherapy.cli.train import main, read_configuration
from jaxtherapy.config import ConfigError, OneLineParser, load_config


def test_every_setting_is_a_flag_with_help():
    text = " ".join(configuration.build_parser("train", "").format_help().split())
    for name in configuration.SETTINGS:
        assert configuration.flag(name) in text
    assert "default 0.0003" in text and "share of the RS range" in text


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("success_reward", "last session (float or schedule or distribution; default 100.0)"),
        ("dropout_session", "0: none (int or distribution; default 10)"),
        (
            "actor_view",
            "what the actor sees; of consequences, history, history_counts, omniscient, outlook ",
        ),
        ("encoder", "of auto, consequences, flat, history, history_counts (text; default auto)"),
        ("shaping_rs", "(float or schedule, 100 reward points; default null: off)"),
        ("shared_trunk", "(true or false; default false)"),
        ("max_grad_norm", "(float or schedule; default 0.5)"),
    ],
)
def test_help_tells_what_a_setting_takes(name, expected):
    assert expected in configuration.help_text(name)


def test_help_tells_what_a_schedule_is():
    text = " ".join(configuration.build_parser("train", "").format_help().split())
    assert "'{linear: [start, end]}', or cosine, or exponential" in text
    assert "'{uniform: [low, high]}', '{log_uniform: [low, high]}', '{normal: [mean, " in text


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
        (["--learning_rate=3e-3"], "learning_rate", 3e-3),
        (["--learning_rate", "3e-3"], "learning_rate", 3e-3),
        (["--no_enable_parataxic"], "enable_parataxic", False),
        (["--experiment_name=a_b"], "experiment_name", "a_b"),
        (["--bond-offset", "-5e-1"], "bond_offset", -0.5),
        (["--bond-offset", "-.5"], "bond_offset", -0.5),
        (["--bond_offset=-5e-1"], "bond_offset", -0.5),
        (["--max-grad-norm", "None"], "max_grad_norm", None),
        (["--shared-trunk", "0"], "shared_trunk", False),
        (["--shared-trunk", "1"], "shared_trunk", True),
        (["--enable-parataxic", "False"], "enable_parataxic", False),
        (["--seed", "0042"], "seed", 42),
        (["--use-omniscient-wrapper", "false"], "seed", 42),
        (["--use-omniscient-wrapper", "true"], "actor_view", "omniscient"),
        (["--use-omniscient-wrapper", "true", "--actor-view", "history"], "actor_view", "history"),
        (["--shaping-rs", "3"], "shaping_rs", 3.0),
        (["--shaping-bond", "null"], "shaping_bond", None),
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
        (["--resume=1"], "models/therapy_ppo does not exist"),
        (["--shared-trunk=2"], "shared_trunk is '2', must be true or false"),
        (["--config", ""], "config file '' does not exist"),
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


def test_names_of_files_that_are_not_text_are_refused(folder, capsys):
    (folder / "café.yaml").write_text("")
    name = os.fsdecode("café.yaml".encode("latin-1"))
    assert main(["--config", name]) == 2
    error = capsys.readouterr().err
    assert (
        error == "error: argument 'caf\\udce9.yaml' is not text in utf-8; rename it (see --help)\n"
    )
    assert [path.name for path in folder.iterdir()] == ["café.yaml"]


def test_other_parsers_take_the_same_spellings(monkeypatch):
    parser = OneLineParser()
    parser.add_argument("--output-dir")
    parser.add_argument("--at", type=float)
    monkeypatch.setattr(sys, "argv", ["x", "--output_dir=a_b", "--at", "-1e-3"])
    given = parser.parse_args()
    assert (given.output_dir, given.at) == ("a_b", -1e-3)
    with pytest.raises(ConfigError, match="unrecognized arguments: --out"):
        parser.parse_args(["--out", "x"])


@pytest.mark.parametrize("name", configuration.SETTINGS)
def test_what_is_told_can_be_given(name):
    """The default, as a note writes it, after the flag."""
    default = configuration.SETTINGS[name].default
    written = configuration.as_given(default)
    words = written.split() if name == "patterns" else [written]
    config, _ = read_configuration([configuration.flag(name), *words])
    assert getattr(config, name) == default == getattr(load_config(), name)


def test_what_is_in_force_is_printed_as_it_can_be_given(tmp_path, capsys):
    path = tmp_path / "c.yaml"
    path.write_text("threshold: {linear: [0.6, 0.8]}\nn_seeds: 3\nloggers: [json]\n")
    flags = ["--config", str(path), "--gamma", "0.5"]
    assert main([*flags, "--print-config"]) == 0
    printed = tmp_path / "printed.yaml"
    printed.write_text(capsys.readouterr().out)
    assert load_config(printed) == read_configuration(flags)[0]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["c.yaml", "printed.yaml"]


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"jaxtherapy {jaxtherapy.__version__}\n"
