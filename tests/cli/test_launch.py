"""How all commands start and end: one line, and an exit code."""

import os
import signal
import subprocess
import sys
import threading
import time
import tomllib
from pathlib import Path

import pytest

from jaxtherapy.cli import launch as command
from jaxtherapy.cli.launch import ends_in_one_line, importing
from jaxtherapy.config import ConfigError
from jaxtherapy.errors import RunError

ROOT = Path(__file__).parents[2]
COMMANDS = {
    "train": [],
    "evaluate": [],
    "report": ["nowhere"],
    "curves": ["nowhere"],
    "play": [],
    "convert": ["nowhere", "nowhere.pth"],
    "coded": ["nowhere.csv"],
    "sweep": ["--config", "configs/sweeps/advantage.yaml"],
}
"""With what gets them past their command line."""
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
    code, out, err = interrupt_while_importing("-m", f"jaxtherapy.{name}", *COMMANDS[name])
    assert (code, out, err) == (130, "", "interrupted before anything began\n")


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_console_scripts_start_the_same_way(script):
    module, _, function = SCRIPTS[script].partition(":")
    assert module == "jaxtherapy.cli.launch" and script == f"jaxtherapy-{function}"
    started = getattr(command, function)
    assert (started.func, started.args, started.keywords) == (command.launch, (function,), {})


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


HEAVY = ["jax", "flax", "optax", "scipy", "orbax", "matplotlib"]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_needs_nothing_heavy_and_a_moment(name):
    """0.1 s of a CPU, 0.4 s where nothing has been imported before; the bound is for slow ones."""
    code = (
        "import sys, time\nfrom jaxtherapy.cli.launch import launch\n"
        f"sys.argv = ['x', '--help']; code = launch({name!r})\n"
        f"loaded = [each for each in {HEAVY!r} if each in sys.modules]\n"
        "print(code, loaded, time.process_time() < 1, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith(f"usage: python -m jaxtherapy.{name}")
    assert done.stderr == "0 [] True\n"


def test_commands_run_in_threads_too():
    """Where signals can't be handled; as from a notebook or a web worker."""
    ended = []

    @ends_in_one_line("stopped")
    def main():
        with importing():
            return 3

    thread = threading.Thread(target=lambda: ended.append(main()))
    thread.start()
    thread.join()
    assert ended == [3]


def test_imports_of_a_main_that_was_merely_called_leave_ctrl_c_alone():
    """It must not end a notebook's process."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with importing():
            assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


TALKS = """
import sys
from jaxtherapy.cli import launch
from jaxtherapy.cli.launch import ends_in_one_line
from jaxtherapy.errors import RunError

@ends_in_one_line("stopped")
def main():
    for _ in range({lines}):
        print("a line that somebody may read", flush={flush})
    if {fails}:
        raise RunError("it failed")
    open("done", "w").close()
    return 0

launch.importlib.import_module = lambda name: sys.modules["__main__"]
sys.exit(launch.launch("anything"))
"""


@pytest.mark.parametrize("flush", [False, True])
@pytest.mark.parametrize("lines", [1, 5000])
@pytest.mark.parametrize("fails", [False, True])
def test_output_that_nobody_can_read_breaks_nothing_off(folder, lines, flush, fails):
    script = TALKS.format(lines=lines, flush=flush, fails=fails)

    def end(output):
        done = subprocess.run(
            [sys.executable, "-c", script], stdout=output, stderr=subprocess.PIPE, timeout=60
        )
        assert fails or Path("done").exists()
        return done.returncode, done.stderr.decode()

    reader, writer = os.pipe()
    os.close(reader)
    failed = (2, "error: it failed\n")
    assert end(writer) == (failed if fails else (0, ""))
    os.close(writer)
    if Path("/dev/full").exists():
        with open("/dev/full", "w") as full:
            told = "error: can't write to standard output: No space left on device\n"
            assert end(full) == (failed if fails else (1, told))


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_closed_streams_are_empty_ones(folder, closed):
    script = """
import os, sys
from jaxtherapy.cli import launch

def main():
    assert os.open("file", os.O_CREAT | os.O_WRONLY) > 2
    print("out")
    print("err", file=sys.stderr)
    return 5 if {0} and sys.stdin.read() else 4

launch.importlib.import_module = lambda name: sys.modules["__main__"]
launch.launch("anything")
"""
    shut = " ".join(f"{number}>&-" for number in closed)
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" -c "$1" {shut}', sys.executable, script.format(0 in closed)],
        capture_output=True,
        timeout=60,
        text=True,
    )
    assert done.returncode == 4
    assert done.stdout == ("" if 1 in closed else "out\n")
    assert done.stderr == ("" if 2 in closed else "err\n")


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
def test_a_clusters_warning_ends_no_command(number):
    script = f"""
import os, sys
from jaxtherapy.cli import launch

def main():
    os.kill(os.getpid(), {int(number)})
    return 4

launch.importlib.import_module = lambda name: sys.modules["__main__"]
launch.launch("anything")
"""
    assert subprocess.run([sys.executable, "-c", script], timeout=60, check=False).returncode == 4


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_what_ends_a_command_leaves_nothing_half_done(folder, number):
    script = f"""
import os, sys, time
from jaxtherapy.cli import launch

@launch.ends_in_one_line("interrupted; nothing was written")
def main():
    os.mkdir("half")
    try:
        os.kill(os.getpid(), {int(number)})
        time.sleep(30)
    finally:
        os.rmdir("half")

launch.importlib.import_module = lambda name: sys.modules["__main__"]
launch.launch("anything")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 128 + number
    assert done.stderr == "interrupted; nothing was written\n" and not list(folder.iterdir())


@pytest.mark.parametrize("name", ["JAX_ENABLE_X64", "JAX_NUM_CPU_DEVICES"])
def test_a_setting_of_jax_that_is_none_is_one_line(name):
    done = subprocess.run(
        [sys.executable, "-m", "jaxtherapy.convert", *COMMANDS["convert"]],
        env=os.environ | {name: "garbage"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    told = f"error: {name}=garbage can't be used; unset it\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", told)


def test_no_character_is_too_much_for_the_terminal():
    script = "import sys; from jaxtherapy.cli.launch import launch; launch('train')"
    done = subprocess.run(
        [sys.executable, "-c", script, "--experiment-name", "größe", "--seed", "ü"],
        capture_output=True,
        timeout=60,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C.UTF-8"},
    )
    assert done.returncode == 2
    assert done.stderr.startswith(b"error: seed is '\\xfc', must be a whole number")
