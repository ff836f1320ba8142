"""Commands that the documents show: all are parsed, and those that take seconds are run."""

import importlib
import io
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

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
        done = subprocess.run(dry, cwd=ROOT, capture_output=True, text=True, timeout=60)
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

REAL = {
    "make train CONFIG=configs/quickstart.yaml": "",
    'make train CONFIG=configs/quickstart.yaml ARGS="--resume"': "",
    "python -m jaxtherapy.train --config configs/first_steps.yaml --n-seeds 64": "--n-seeds 1",
    "python -m jaxtherapy.train --resume-from models/first_steps --total-timesteps 2000000": (
        "--total-timesteps 1024"
    ),
    'make train CONFIG=configs/quickstart.yaml ARGS="--loggers tensorboard"': "--overwrite",
    "python -m jaxtherapy.curves models/quickstart models/first_steps": "",
    "python -m jaxtherapy.play --policy models/quickstart/policy_best.pth": "--max-sessions 3",
    "python -m jaxtherapy.convert models/quickstart therapist.pth": "",
}
"""Line: what is added, so that it takes a second or two. In this order, in one folder, each with
the small configuration that all share. Others are only parsed, for they take longer: reports,
sweeps, power, sensitivity, several seeds and hosts; docs/api.md evaluates."""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The current folder: configurations that share one small program."""
    (tmp_path / "configs").mkdir()
    base = configuration.read_config_file(ROOT / "configs/first_steps.yaml") | SMALL
    for name in ("quickstart", "first_steps"):
        text = yaml.safe_dump(base | {"experiment_name": name, "device": "cpu"})
        (tmp_path / f"configs/{name}.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_is_run_is_shown():
    assert {*REAL} <= {*commands()}


def test_commands_do_what_is_shown(place, monkeypatch, capsys):
    for line, added in REAL.items():
        monkeypatch.setattr("sys.stdin", io.StringIO("2\n2\n2\n"))
        for module, arguments in ours(line):
            command = importlib.import_module(f"jaxtherapy.cli.{module}")
            code = command.main([*arguments, *added.split()])
            out, err = capsys.readouterr()
            assert code == 0 and out, (line, err)
    assert (place / "curves.png").exists() and (place / "therapist.pth").exists()
    assert list(place.glob("logs/quickstart/tensorboard/quickstart/events.out.tfevents.*"))
