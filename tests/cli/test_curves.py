"""Several trainings in one picture."""

import shutil

import pytest

from jaxtherapy.cli.curves import main
from jaxtherapy.config import TrainingConfig, save_config
from jaxtherapy.storage.progress_log import COLUMNS, ProgressLog
from jaxtherapy.storage.run_files import RunFiles


@pytest.fixture
def trainings(folder):
    """One of one seed, one of six, as far as their logs are concerned."""
    for name, n_seeds in (("one", 1), ("six", 6)):
        config = TrainingConfig(experiment_name=name, n_seeds=n_seeds, n_envs=2, n_steps=8)
        files = RunFiles.of(config)
        files.create()
        save_config(config, files.config)
        for seed in files.seeds:
            log = ProgressLog(files.csv(seed))
            log.create()
            for step in (80, 160):
                log.append(dict.fromkeys(COLUMNS, seed / 100) | {"step": step})
    return folder


def test_trainings_are_drawn_together(trainings, capsys):
    shutil.copy("logs/one/one_progress.csv", "copy.csv")
    assert main(["models/one", "models/six", "copy.csv", "--output", "both.SVG"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "models/one: 160 steps",
        "models/six: 6 seeds, 160 steps",
        "copy.csv: 160 steps",
        "both.SVG",
    ]
    drawn = (trainings / "both.SVG").read_text()
    assert "models/six (6 seeds)" in drawn and "reward per therapy" in drawn


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere"], "nowhere has no learning curve: it does not exist"),
        (["models"], "models is no experiment's folder: there is no config.yaml in it"),
        (
            ["models/one", "--output=a.gif"],
            "--output is a.gif; its name must end in .png or .svg",
        ),
    ],
)
def test_what_can_not_be_drawn_is_one_line(trainings, capsys, arguments, told):
    assert main(arguments) == 2
    assert capsys.readouterr().err == f"error: {told}\n"
    assert not list(trainings.glob("*.png"))
