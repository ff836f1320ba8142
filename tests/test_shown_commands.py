"""Commands that the documents show: all are parsed, and those that take seconds are run."""

import importlib
import io
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from jaxtherapy import config as configuration
from tests.test_docs import DOCUMENTS, FENCED, ROOT, SMALL

COMMAND = r"(?:srun \.venv/bin/)?python -m jaxtherapy\.[^`\n]+|make [a-z-]+(?: [^`\n]+)?"
KNOWN = ["PYTHON=python3", "TORCH_PYTHON=python3", "EXTRAS=dev"]  # seconds to find out


def commands() -> Iterator[str]:
    """Every command of ours or of make in a block, or between backticks."""
    for document in DOCUMENTS:
        text = document.read_text().replace("\\\n", " ")
        for language, block in FENCED.findall(text):
            for line in [] if language == "python" else block.splitlines():
                if found := re.match(COMMAND, line.removeprefix("$ ")):
                    yield found[0].partition("  #")[0].rstrip()
        yield from re.findall(f"`({COMMAND})`", FENCED.sub("", text))


def ours(line: str) -> Iterator[tuple[str, list[str]]]:
    """(module, arguments) of our command behind a line; of make, what its recipe says."""
    lines = [line]
    if line.startswith("make "):
        if not shutil.which("make"):
            return
        dry = ["make", "--dry-run", *KNOWN, *shlex.split(line)[1:]]
        alone = {"PATH": os.environ["PATH"]}  # not the arguments of the make that runs the tests
        done = subprocess.run(dry, cwd=ROOT, env=alone, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
    for each in lines:
        if found := re.search(r"python -m jaxtherapy\.(\w+)(.*)", each):
            yield found[1], [word for word in shlex.split(found[2]) if word != "…"]


@pytest.mark.parametrize("line", dict.fromkeys(commands()))
def test_a_command_that_is_shown_is_one(line):
    for module, arguments in ours(line):
        if module == "train":
            given = configuration.parse_flags(configuration.build_parser("train", ""), arguments)
            path = Path(given.pop("config", None) or "configs/default.yaml")
            if path.parent.name == "configs":  # others are the reader's
                configuration.load_config(ROOT / path, given)
        else:
            parser = importlib.import_module(f"jaxtherapy.cli.{module}").build_parser()
            if arguments:  # else the text speaks of the command
                parser.parse_args(arguments)


# --- run -----------------------------------------------------------------------------------------

FEW = "--episodes 10 --course-episodes 10 --bootstrap-samples 100"
TRAIN = "make train CONFIG=configs/quickstart.yaml"
REAL = {
    TRAIN: "",
    'make train CONFIG=configs/quickstart.yaml ARGS="--resume"': "",
    "python -m jaxtherapy.train --config configs/first_steps.yaml --n-seeds 64": "--n-seeds 1",
    "python -m jaxtherapy.train --resume-from models/first_steps --total-timesteps 2000000": (
        "--total-timesteps 1024"
    ),
    'make train CONFIG=configs/quickstart.yaml ARGS="--loggers tensorboard"': "--overwrite",
    'make train CONFIG=configs/experiment.yaml ARGS="--seed 7 --threshold 0.7"': "",
    "python -m jaxtherapy.train --config old.yaml": "",
    "python -m jaxtherapy.curves models/quickstart models/first_steps": "",
    "python -m jaxtherapy.play --policy models/quickstart/policy_best.pth": "--max-sessions 3",
    "python -m jaxtherapy.play --policy models/quickstart --open": "--max-sessions 3",
    "python -m jaxtherapy.play --policy policy.pth": "--max-sessions 3",
    "python -m jaxtherapy.convert models/quickstart therapist.pth": "",
    "python -m jaxtherapy.convert tianshou_checkpoint.pth models/imported": "",
    "make evaluate POLICY=models/quickstart": f"{FEW} --no-report",
    "python -m jaxtherapy.evaluate policy.pth": f"{FEW} --no-report",
    'make evaluate POLICY=models/quickstart ARGS="--patterns all"': f"{FEW} --no-report",
    'make evaluate POLICY=models/quickstart ARGS="--baselines complementary random best_cell"': (
        f"{FEW} --no-report"
    ),
    "python -m jaxtherapy.evaluate models/quickstart --baselines random complementary": (
        f"{FEW} --no-report"
    ),
    "python -m jaxtherapy.evaluate models/quickstart --data data/quickstart": f"{FEW} --no-report",
    "make report EVALUATION=reports/quickstart": "",
    "python -m jaxtherapy.coded docs/coded_octants.csv": "--bootstrap-samples 100",
}
"""Line: what is added, so that it takes seconds. In this order, in one folder, with the files that
the documents name, made small. The others are targets of make that CI calls, benchmarks, and what
needs several hosts."""

STUDIES = {
    "make sweep CONFIG=configs/sweeps/advantage.yaml ARGS=--dry-run": "",
    "make sweep CONFIG=configs/sweeps/advantage.yaml": "",
    "python -m jaxtherapy.report sweeps/advantage": "",
    "make sweep CONFIG=configs/sweeps/field_study.yaml": "",
    "make sweep CONFIG=configs/sweeps/learning.yaml": "",
    "make sweep CONFIG=configs/sweeps/hyperparameters.yaml": "",
    "make train CONFIG=sweeps/hyperparameters/winner.yaml": "",
    "python -m jaxtherapy.power models/quickstart complementary --config configs/quickstart.yaml": (
        "--trials 20 --dyads 5 10"
    ),
    'make power ARGS="complementary random --threshold 0.7 --dyads 20 50 100"': "--trials 20",
    "python -m jaxtherapy.sensitivity best_cell complementary "
    "     --threshold '{uniform: [0.65, 0.95]}' --baseline-accuracy '{uniform: [0.15, 0.95]}'": (
        "--points 4 --trajectories 4 --dyads 2"
    ),
}
"""The same of studies, after a training."""


MADE = [
    "curves.png",
    "therapist.pth",
    "logs/quickstart/tensorboard/quickstart/events.out.tfevents.*",
    "models/imported/*.pth",
    "reports/quickstart/report.html",
    "data/quickstart/therapies.parquet",
    "reports/coded_octants/report.html",
]
MADE_BY_STUDIES = [
    *[f"sweeps/{name}/report.html" for name in ("advantage", "field_study", "learning")],
    "models/hyperparameters_winner/policy_best.pth",
    "reports/power/*.png",
    "reports/sensitivity/*.png",
]


def few(values: dict[str, Any]) -> dict[str, Any]:
    """A sweep with two values of everything that varies, or two points."""
    vary = {
        key: {**each, **({} if "points" in values else {"points": 2})}
        if isinstance(each, dict)
        else each[:2]
        for key, each in values["vary"].items()
    }
    small = {"vary": vary, "clients": 10, "settings": values.get("settings", {}) | SMALL}
    small |= {"points": 2} if "points" in values else {}
    return values | small | ({"fit_map": 1_000} if "fit_map" in values else {})


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The current folder, with the files that the lines name; all trainings share one program."""
    (tmp_path / "configs/sweeps").mkdir(parents=True)
    (tmp_path / "docs").mkdir()
    base = configuration.read_config_file(ROOT / "configs/first_steps.yaml") | SMALL
    trained = {"configs/quickstart": "quickstart", "configs/first_steps": "first_steps"}
    for path, name in (trained | {"configs/experiment": "experiment", "old": "old"}).items():
        text = yaml.safe_dump(base | {"experiment_name": name, "device": "cpu"})
        (tmp_path / f"{path}.yaml").write_text(text)
    shutil.copy(ROOT / "configs/strategic.yaml", tmp_path / "configs")
    for path in (ROOT / "configs/sweeps").glob("*.yaml"):
        text = yaml.safe_dump(few(yaml.safe_load(path.read_text())))
        (tmp_path / f"configs/sweeps/{path.name}").write_text(text)
    shutil.copy(ROOT / "docs/coded_octants.csv", tmp_path / "docs")
    shutil.copy(ROOT / "tests/data/tianshou_checkpoint.pth", tmp_path)
    shutil.copy(ROOT / "tests/data/tianshou_policy.pth", tmp_path / "policy.pth")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_is_run_is_shown():
    assert {*REAL, *STUDIES} <= {*commands()}


@pytest.mark.slow
@pytest.mark.parametrize("lines", [REAL, {TRAIN: "", **STUDIES}], ids=["single", "studies"])
def test_commands_do_what_is_shown(lines, place, monkeypatch, capsys):
    for line, added in lines.items():
        monkeypatch.setattr("sys.stdin", io.StringIO("2\n2\n2\n"))
        called = [*ours(line)]
        assert called, line
        for module, arguments in called:
            command = importlib.import_module(f"jaxtherapy.cli.{module}")
            code = command.main([*arguments, *added.split()])
            out, err = capsys.readouterr()
            assert code == 0 and out, (line, err)
    for made in MADE if lines is REAL else MADE_BY_STUDIES:
        assert [*place.glob(made)], made
