"""How all commands start and end: one line, and an exit code."""

import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from jaxtherapy.cli import launch as command
from jaxtherapy.cli.launch import ends_in_one_line
from jaxtherapy.config import ConfigError
from jaxtherapy.errors import RunError

ROOT = Path(__file__).parents[2]
COMMANDS = ("train", "evaluate", "report", "play", "convert")
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]


def is_importing(process):
    """Whether the heavy libraries are on their way in, and our own code is not yet at work."""
    try:
        return "numpy" in Path(f"/proc/{process.pid}/maps").read_text()
    except FileNotFoundError:  # no Linux
        time.sleep(0.3)
        return True


def interrupt_while_importing(*arguments):
    """Exit code, output and errors of a Python that gets a real SIGINT."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Shells let what they start in the background ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while not is_importing(process):
        if time.monotonic() > deadline:
            process.kill()
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.mark.parametrize("name", COMMANDS)
def test_ctrl_c_during_the_imports_is_one_line(name):
    code, out, err = interrupt_while_importing("-m", f"jaxtherapy.{name}")
    assert (code, out, err) == (130, "", "interrupted before anything began\n")


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_console_scripts_start_the_same_way(script, monkeypatch):
    module, _, function = SCRIPTS[script].partition(":")
    assert module == "jaxtherapy.cli.launch" and script == f"jaxtherapy-{function}"
    monkeypatch.setattr(command, "launch", lambda started: started)
    assert getattr(command, function)() == function


def test_ctrl_c_while_a_console_script_imports_is_one_line():
    start = "import sys; from jaxtherapy.cli.launch import train; sys.exit(train())"
    assert interrupt_while_importing("-c", start)[::2] == (
        130,
        "interrupted before anything began\n",
    )


def test_importing_the_package_leaves_signals_alone():
    code = "import signal, jaxtherapy.cli.launch, jaxtherapy.train; "
    code += "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler"
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        timeout=120,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.default_int_handler])
def test_launching_gives_the_signal_back(handler, monkeypatch):
    seen = []
    monkeypatch.setattr(command.importlib, "import_module", lambda name: command)
    monkeypatch.setattr(
        command, "main", lambda: seen.append(signal.getsignal(signal.SIGINT)) or 3, raising=False
    )
    monkeypatch.setattr(command.os, "_exit", seen.append)
    before = signal.signal(signal.SIGINT, handler)
    try:
        command.launch("anything")
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [handler, 3]


@pytest.mark.parametrize(
    ("raised", "code", "line"),
    [
        (ConfigError("a is 1"), 2, "error: a is 1"),
        (RunError("no such folder"), 2, "error: no such folder"),
        (RunError("the disk is full", exit_code=1), 1, "error: the disk is full"),
        (KeyboardInterrupt(), 130, "stopped"),
        (KeyboardInterrupt("stopped at the end"), 130, "stopped at the end"),
    ],
)
def test_what_is_expected_ends_in_one_line(raised, code, line, capsys):
    @ends_in_one_line("stopped")
    def main():
        raise raised

    assert main() == code
    assert capsys.readouterr().err == f"{line}\n"


def test_what_is_not_expected_is_not_hidden():
    @ends_in_one_line("stopped")
    def main():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        main()
