"""From the start of a process: compiled, first update, exit; with a cold and a warm cache."""

import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import command
from benchmarks.programs import DEFAULT
from benchmarks.rows import Row, line, row
from benchmarks.sizes import Sizes

QUICK_TEST = "test_training.yaml"


def quick_test(cache: Path, settings: dict[str, Any]) -> command.Run:
    """The quick test, whole."""
    return command.train(QUICK_TEST, settings, cache)


def one_update(cache: Path, settings: dict[str, Any]) -> command.Run:
    """The defaults, one update and one evaluation long."""
    return command.train(DEFAULT, {"total_timesteps": 1, "eval_freq": 1} | settings, cache)


def cold_and_warm(
    name: str, start: Any, settings: dict[str, Any], n: int
) -> dict[str, list[command.Run]]:
    """``n`` runs with an empty cache, each followed by one that finds what it compiled."""
    runs: dict[str, list[command.Run]] = {"cold": [], "warm": []}
    for _ in range(n):
        with tempfile.TemporaryDirectory(prefix="jaxtherapy-cache-") as cache:
            for kind, done in runs.items():
                done.append(start(Path(cache), settings))
                print(f"  {name}, {kind} cache: {done[-1].seconds:.1f} s", flush=True)
    return runs


def rows_of(name: str, kind: str, runs: list[command.Run], updated: bool) -> list[Row]:
    """Milestones of runs."""
    case = f"{name}, {kind} cache"
    rows = [
        row(case, "start to compiled", [run.first("compiled") for run in runs], "s"),
        row(case, "start to exit", [run.seconds for run in runs], "s"),
    ]
    if updated:
        first = [run.first("step") for run in runs]
        note = "with its evaluation"
        rows.insert(1, row(case, "start to first update", first, "s", note))
    return [each for each in rows if each.value == each.value]


def measure(sizes: Sizes) -> list[Row]:
    """The quick test, and the defaults up to their first update."""
    rows: list[Row] = []
    for name, start, updated in (
        ("quick test", quick_test, False),
        ("one update of the defaults", one_update, True),
    ):
        settings = dict(sizes.overrides) | ({} if not updated else {"total_timesteps": 1})
        runs = cold_and_warm(name, start, settings, sizes.starts)
        for kind, done in runs.items():
            rows += rows_of(name, kind, done, updated)
        medians = {kind: median(run.seconds for run in done) for kind, done in runs.items()}
        rows.append(row(name, "cold over warm", medians["cold"] / medians["warm"], "×"))
    for each in rows:
        print(line(each), flush=True)
    return rows
