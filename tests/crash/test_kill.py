"""SIGKILL at random moments, during saves too: nothing lost, nothing doubled, same final weights.

The number of killed runs is JAXTHERAPY_KILLS (default 4; ``make test-hard`` takes 30).
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from jaxtherapy import torch_weights
from jaxtherapy.config import load_config
from jaxtherapy.training.progress_log import COLUMNS
from jaxtherapy.training.resume import orbax_steps
from tests.training import tiny

N_KILLS = int(os.environ.get("JAXTHERAPY_KILLS", "4"))

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
        )

    def _ask(self, **request) -> int:
        self._zygote.stdin.write(json.dumps(request) + "\n")
        self._zygote.stdin.flush()
        return int(self._zygote.stdout.readline())

    def start(self, folder: Path, *flags: str) -> int:
        folder.mkdir(exist_ok=True)
        (folder / "kill.yaml").write_text(yaml.safe_dump(CONFIG))
        arguments = ["--config", "kill.yaml", "--device", "cpu", *flags]
        return self._ask(folder=str(folder), arguments=arguments)

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


def everything_is_readable(folder: Path) -> None:
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
        assert len(rows) >= max(steps, default=0) // CONFIG["eval_freq"]
    else:
        assert not steps


def test_killed_runs_resume_to_the_undisturbed_result(trainer, tmp_path):
    reference = tmp_path / "undisturbed"
    assert trainer.run(reference) == 0, (reference / "output.txt").read_text()
    began = time.monotonic()
    again = tmp_path / "again"
    assert trainer.run(again) == 0  # now from the compilation cache, as the runs to be killed
    seconds = time.monotonic() - began
    expected = tiny.results(reference)
    assert tiny.results(again) == expected

    rng = random.Random(30)
    while_running = 0
    for i in range(N_KILLS):
        folder = tmp_path / f"run_{i}"
        process = trainer.start(folder)
        started = folder / "models/tiny/config.yaml"
        if i % 5:  # one in five dies at any moment of its life, the others while training
            while not started.exists():
                time.sleep(0.002)
            time.sleep(rng.uniform(0, seconds / 5))
        else:
            time.sleep(rng.uniform(0, seconds))
        os.kill(process, signal.SIGKILL)
        killed = trainer.wait(process) == -signal.SIGKILL
        finished = (folder / "models/tiny/policy_final.pth").exists()
        while_running += killed and started.exists() and not finished
        everything_is_readable(folder)
        flags = ["--resume"] if started.exists() else []
        code = trainer.run(folder, *flags)
        assert code == 0, f"run {i}: {(folder / 'output.txt').read_text()}"
        assert tiny.results(folder) == expected, f"run {i}"
        everything_is_readable(folder)
    assert while_running >= N_KILLS // 2
