"""The smallest training that has everything: evaluations, checkpoints, a remainder at the end."""

import csv
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
import yaml

from jaxtherapy.cli.train import main
from jaxtherapy.reporting import learning_curves
from jaxtherapy.training import group

TIMING_COLUMNS = ("duration", "steps_per_second")
"""The only columns in which two runs of one seed may differ."""

TINY = {
    "experiment_name": "tiny",
    "patterns": ["cold_stuck"],
    "threshold": 0.6,
    "max_sessions": 12,
    "total_timesteps": 400,
    "n_envs": 2,
    "n_steps": 8,
    "batch_size": 8,
    "n_epochs": 2,
    "hidden_size": 8,
    "eval_freq": 80,
    "save_freq": 112,
    "eval_episodes": 4,
}


def write_config(folder: Path, **changes) -> Path:
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY | changes))
    return path


def no_picture(name, size, paint, files, **settings):
    """In place of ``drawing.draw``, which takes longer than the training."""
    return dict.fromkeys(files, b"a picture")


@contextmanager
def without_pictures() -> Iterator[None]:
    """No learning curves are drawn."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learning_curves, "draw", no_picture)
        yield


def train(folder: Path, *flags, pictures: bool = False, **changes) -> int:
    """Runs the command in ``folder``, which is the current directory; returns its exit code."""
    arguments = ["--config", str(write_config(folder, **changes)), "--device", "cpu", *flags]
    with nullcontext() if pictures else without_pictures():
        return main(arguments)


def rows_without_timings(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if k not in TIMING_COLUMNS} for row in rows]


def results(folder: Path, name: str = "tiny") -> dict[str, object]:
    """Everything in which two equal runs must agree."""
    return {
        "log": rows_without_timings(folder / "logs" / name / f"{name}_progress.csv"),
        "final": (folder / "models" / name / "policy_final.pth").read_bytes(),
        "best": (folder / "models" / name / "policy_best.pth").read_bytes(),
        "checkpoint": (folder / "models" / name / "checkpoint_400.pth").read_bytes(),
    }


def as_soon_as(marker: Path, act: Callable[[], object]) -> threading.Thread:
    """Acts beside a training that creates ``marker``; not at all if it doesn't within two minutes.

    Nothing happens then that could hit whatever runs after the test that failed.
    """

    def wait() -> None:
        deadline = time.monotonic() + 120
        while not marker.exists():
            if time.monotonic() > deadline:
                return
            time.sleep(0.001)
        act()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def in_two_parts(folder: Path, **changes) -> None:
    """A training that is stopped in the middle, and resumed; every update is a chunk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(group, "CHUNK_SECONDS", 0)
        thread = interrupt_after(folder / "models/tiny/checkpoint_112.pth", signal.SIGTERM)
        assert train(folder, **changes) == 0
        thread.join()
        assert train(folder, "--resume", **changes) == 0


def cut_off_at_224(undisturbed: Path, folder: Path) -> Path:
    """As if a finished run had been killed after step 224; the log is as it was."""
    shutil.copytree(undisturbed, folder, dirs_exist_ok=True)
    for step in (336, 400):
        shutil.rmtree(folder / f"models/tiny/checkpoints/{step}")
        (folder / f"models/tiny/checkpoint_{step}.pth").unlink()
    (folder / "models/tiny/policy_final.pth").unlink()
    return folder


def interrupt_after(marker: Path, number: int) -> threading.Thread:
    """Sends this process a signal as soon as ``marker`` exists."""
    return as_soon_as(marker, lambda: os.kill(os.getpid(), number))
