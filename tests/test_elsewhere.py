"""On a platform without what only Unix has, a run trains, goes on and is evaluated."""

import os
import subprocess
import sys

import pytest

ELSEWHERE = """
import os, signal, sys

for name in ("fcntl", "resource", "termios", "pwd", "grp"):
    sys.modules[name] = None  # importing them fails
for name in ("fork", "forkpty", "sched_getaffinity", "sysconf", "getuid"):
    delattr(os, name)
for name in ("SIGHUP", "SIGXCPU", "SIGUSR1", "SIGUSR2"):
    delattr(signal, name)

open_any = os.open

def open_no_folder(path, *arguments, **options):
    if os.path.isdir(path):
        raise PermissionError(13, "Permission denied", path)
    return open_any(path, *arguments, **options)

os.open = open_no_folder
"""

RUN = """
from pathlib import Path
from jaxtherapy.cli import evaluate, launch, train
from jaxtherapy.storage.progress_log import ProgressLog

given = "--patterns cold_stuck --max-sessions 12 --n-envs 4 --n-steps 8 --batch-size 16"
given += " --n-epochs 1 --hidden-size 8 --eval-episodes 4 --device cpu --experiment-name there"
launch._hear_signals(tidily=True)
assert train.main(["--total-timesteps", "64", *given.split()]) == 0
assert train.main(["--resume-from", "models/there", "--total-timesteps", "128"]) == 0
rows = ProgressLog(Path("logs/there/there_progress.csv")).numbers()
assert [row["step"] for row in rows][-1] == 128, rows
assert evaluate.main(["models/there", "--episodes", "8", "--baselines", "random"]) == 0
import jaxtherapy.studies.runner
"""


@pytest.mark.slow
def test_a_platform_without_unix_s_own(folder):
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE + RUN],
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "without locks" in done.stdout
    assert list((folder / "reports").rglob("*.html"))
