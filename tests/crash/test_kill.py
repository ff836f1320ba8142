"""SIGKILL at random moments, during saves too: nothing lost, nothing doubled, same final weights.

The number of killed runs is JAXTHERAPY_KILLS (default 4; ``make test-hard`` takes 30): so many of a
fresh run, and a third as many each of one that starts from a ``.pth`` file or from another
experiment.
"""

import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from jaxtherapy.config import load_config
from jaxtherapy.storage import torch_format as torch_weights
from jaxtherapy.storage.experiment import orbax_steps
from jaxtherapy.storage.progress_log import COLUMNS
from tests.training import tiny

N_KILLS = int(os.environ.get("JAXTHERAPY_KILLS", "4"))

PATIENCE = 240
"""Seconds that a whole training may take."""

# Saves at every third update: most of the time goes into writing files.
CONFIG = tiny.TINY | {"save_freq": 48, "eval_freq": 32}


class Trainer:
    """Starts, kills and awaits training processes."""

    def __init__(self) -> None:
        self._zygote = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def _ask(self, **request) -> int:
        self._zygote.stdin.write(json.dumps(request) + "\n")
        self._zygote.stdin.flush()
        if not select.select([self._zygote.stdout], [], [], PATIENCE)[0]:
            os.killpg(self._zygote.pid, signal.SIGKILL)  # with all that it started
            raise AssertionError(f"no answer to {request}")
        return int(self._zygote.stdout.readline())

    def start(self, folder: Path, *flags: str) -> int:
        folder.mkdir(exist_ok=True)
        (folder / "kill.yaml").write_text(yaml.safe_dump(CONFIG))
        arguments = ["--config", "kill.yaml", "--device", "cpu", *flags]
        return self.start_command("train", folder, arguments)

    def start_command(self, command: str, folder: Path, arguments: list[str]) -> int:
        return self._ask(command=command, folder=str(folder), arguments=arguments)

    def wait(self, process: int) -> int:
        return self._ask(wait=process)

    def run(self, folder: Path, *flags: str) -> int:
        return self.wait(self.start(folder, *flags))

    def close(self) -> None:
        self._zygote.stdin.close()
        self._zygote.wait(30)


@pytest.fixture(scope="module")
def trainer():
    trainer = Trainer()
    yield trainer
    trainer.close()


def begun(folder: Path) -> bool:
    """Whether there is something to resume."""
    return (folder / "models/tiny/config.yaml").exists()


def until_begun(folder: Path) -> None:
    deadline = time.monotonic() + 120
    while not begun(folder):
        assert time.monotonic() < deadline, (folder / "output.txt").read_text()
        time.sleep(0.002)


def everything_is_readable(folder: Path, start: int = 0) -> None:
    """Each file that a user may read is whole, and no checkpointed row is missing."""
    output = folder / "models/tiny"
    for path in output.glob("*.pth"):
        torch_weights.load(path)
    if (output / "config.yaml").exists():
        load_config(output / "config.yaml")
    if (output / "run.json").exists():
        json.loads((output / "run.json").read_text())
    log = folder / "logs/tiny/tiny_progress.csv"
    steps = orbax_steps(output)
    if log.exists():
        header, *rows, after_last_line = log.read_text().split("\n")
        assert header == ",".join(COLUMNS)
        assert after_last_line == ""
        assert all(row.count(",") == len(COLUMNS) - 1 for row in rows)
        every = CONFIG["eval_freq"]
        assert len(rows) >= max(steps, default=0) // every - start // every
    else:
        assert not steps


def test_killed_runs_resume_to_the_undisturbed_result(trainer, tmp_path):
    while_running = kill_and_resume(trainer, tmp_path, N_KILLS)
    assert while_running >= N_KILLS // 2


@pytest.mark.parametrize("source", ["alone.pth", "models/tiny"])
def test_killed_runs_that_started_elsewhere_resume_from_there(trainer, tmp_path, source):
    """From step 192, and never from random weights again."""
    origin = tmp_path / "origin"
    assert trainer.run(origin, "--total-timesteps", "192") == 0
    shutil.copy(origin / "models/tiny/checkpoint_192.pth", origin / "alone.pth")
    # Without a place, a folder would go on where it lies.
    flags = ["--resume-from", str(origin / source), "--output-dir", "models/{experiment_name}"]
    kill_and_resume(trainer, tmp_path, max(2, N_KILLS // 3), flags, 192)


def kill_and_resume(trainer, tmp_path, n_kills, start_flags=(), start=0) -> int:
    """Kills runs that began with these flags, resumes them and compares.

    Returns:
        How many were killed while they trained.
    """
    reference = tmp_path / "undisturbed"
    assert trainer.run(reference, *start_flags) == 0, (reference / "output.txt").read_text()
    began = time.monotonic()
    again = tmp_path / "again"
    # Now from the compilation cache, as the runs to be killed.
    assert trainer.run(again, *start_flags) == 0
    seconds = time.monotonic() - began
    expected = tiny.results(reference)
    assert tiny.results(again) == expected

    rng = random.Random(30)
    while_running = 0
    for i in range(n_kills):
        folder = tmp_path / f"run_{i}"
        process = trainer.start(folder, *start_flags)
        if start and i % 2:  # just where it saves what it started from
            until_begun(folder)
            time.sleep(rng.uniform(0, seconds / 20))
        elif i % 5 or start:  # one in five dies at any moment of its life, others while training
            until_begun(folder)
            time.sleep(rng.uniform(0, seconds / 5))
        else:
            time.sleep(rng.uniform(0, seconds))
        os.kill(process, signal.SIGKILL)
        killed = trainer.wait(process) == -signal.SIGKILL
        finished = (folder / "models/tiny/policy_final.pth").exists()
        while_running += killed and begun(folder) and not finished
        everything_is_readable(folder, start)
        flags = ["--resume"] if begun(folder) else start_flags
        code = trainer.run(folder, *flags)
        assert code == 0, f"run {i}: {(folder / 'output.txt').read_text()}"
        assert tiny.results(folder) == expected, f"run {i}"
        everything_is_readable(folder, start)
    return while_running
