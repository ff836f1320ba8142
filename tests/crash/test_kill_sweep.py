"""SIGKILL at random moments of a sweep: the same table in the end, and no run twice.

One sweep is killed JAXTHERAPY_KILLS times (default 4; the bar is 10), and resumed every time.
"""

import csv
import os
import random
import signal
import time

import pytest
import yaml

from tests.crash import test_kill
from tests.crash.test_kill import N_KILLS, Trainer

SWEEP = {
    "name": "killed",
    "settings": {"patterns": ["cold_warm"], "max_sessions": 12, "entropy": 0.2},
    "vary": {"threshold": [0.4, 0.5], "baseline_accuracy": [0.3, 0.9]},
    "therapists": ["myopic"],
    "clients": 40,
    "seeds": 40,
}
N_ROWS = 2 * 2 * 2 * 40


@pytest.fixture(scope="module")
def processes():
    trainer = Trainer()
    yield trainer
    trainer.close()


def table(folder):
    """Rows without what is another every time."""
    with open(folder / "sweeps/killed/runs.csv") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        del row["seconds"]
    return rows


def n_written(folder):
    path = folder / "sweeps/killed/runs.csv"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_a_sweep_that_is_killed_again_and_again_ends_in_the_same_table(processes, tmp_path):
    def start(folder, *flags):
        folder.mkdir(exist_ok=True)
        (folder / "killed.yaml").write_text(yaml.safe_dump(SWEEP))
        arguments = ["--config", "killed.yaml", "--device", "cpu", *flags]
        return processes.start_command("sweep", folder, arguments)

    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    assert processes.wait(start(undisturbed)) == 0, (undisturbed / "output.txt").read_text()
    expected = table(undisturbed)
    assert len(expected) == N_ROWS

    rng, in_the_middle = random.Random(7), 0
    for _ in range(N_KILLS):
        begun = (killed / "sweeps/killed/config.yaml").exists()
        before = n_written(killed)
        process = start(killed, *["--resume"] * begun)
        deadline = time.monotonic() + test_kill.PATIENCE
        some = before + rng.randint(0, N_ROWS // (N_KILLS + 1))  # rows more
        while n_written(killed) <= some and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.02))
        os.kill(process, signal.SIGKILL)
        processes.wait(process)
        in_the_middle += 0 < n_written(killed) < N_ROWS
    assert in_the_middle >= N_KILLS // 2
    code = processes.wait(start(killed, "--resume"))
    assert code == 0, (killed / "output.txt").read_text()

    def by_key(row):
        return row["point"], row["seed"], row["therapist"]

    assert sorted(table(killed), key=by_key) == sorted(expected, key=by_key)
    assert len({by_key(row) for row in table(killed)}) == N_ROWS
