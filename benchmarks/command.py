"""The training command as users start it: a process of its own, watched from outside."""

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.hardware import ROOT

Log = list[dict[str, str]]


@dataclass
class Run:
    """What was seen of a run; times in seconds since the process was started."""

    seconds: float = 0.0
    lines: list[tuple[float, str]] = field(default_factory=list)
    log: Log = field(default_factory=list)
    info: dict[str, Any] = field(default_factory=dict)

    def first(self, beginning: str) -> float:
        """When the first line that begins so was printed; NaN if none was."""
        times = [when for when, text in self.lines if text.startswith(beginning)]
        return times[0] if times else float("nan")


def flags(settings: dict[str, Any]) -> list[str]:
    """Settings as the command's flags."""
    return [
        part
        for name, value in settings.items()
        for part in (f"--{name.replace('_', '-')}", str(value))
    ]


def train(
    config: str,
    settings: dict[str, Any],
    cache: Path,
    stop_when: Callable[[Log, float], bool] | None = None,
) -> Run:
    """Trains ``configs/{config}`` into a folder that is thrown away.

    Args:
        config: name of the file.
        settings: what replaces it.
        cache: folder of JAX's compilation cache.
        stop_when: given the rows of the log and the seconds so far, whether to interrupt the run.
    """
    with tempfile.TemporaryDirectory(prefix="jaxtherapy-bench-") as name:
        folder = Path(name)
        command = [sys.executable, "-m", "jaxtherapy.train", "--config", f"configs/{config}"]
        command += ["--experiment-name", "bench", *flags(settings)]
        command += ["--output-dir", str(folder / "models"), "--log-dir", str(folder / "logs")]
        run = watch(command, folder / "logs" / "bench_progress.csv", cache, stop_when)
        with contextlib.suppress(FileNotFoundError):  # stopped before there was anything to save
            run.info = json.loads((folder / "models" / "run.json").read_text())
        return run


def watch(
    command: list[str], log: Path, cache: Path, stop_when: Callable[[Log, float], bool] | None
) -> Run:
    """Starts the command and notes when it prints what.

    Raises:
        RuntimeError: the command failed; the message ends with its last lines.
    """
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(cache), "PYTHONUNBUFFERED": "1"}
    run, interrupted, start = Run(), False, time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        for text in process.stdout:
            now = time.perf_counter() - start
            run.lines.append((now, text.rstrip()))
            run.log = read_log(log)
            if stop_when and not interrupted and stop_when(run.log, now):
                process.send_signal(signal.SIGINT)
                interrupted = True
    finally:
        if process.poll() is None and sys.exc_info()[0] is not None:
            process.kill()
    code = process.wait()
    run.seconds = time.perf_counter() - start
    run.log = read_log(log)
    if code:
        last = "\n".join(text for _, text in run.lines[-20:])
        raise RuntimeError(f"{' '.join(command)} ended with {code}:\n{last}")
    return run


def read_log(path: Path) -> Log:
    """The rows so far."""
    try:
        with open(path, newline="") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError:
        return []
