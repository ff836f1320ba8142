"""Side by side with the old stack: one machine, one run, taking turns, medians of five.

``python -m benchmarks.against_old_stack [environment] [training] [quick_test] [--repeats 5]``

The old side is :mod:`benchmarks.old_stack` under the Python that has PyTorch and Tianshou, the new
side :mod:`benchmarks.new_side`, or the training command itself, under this one; every sample is a
process of its own. Rates do not count imports and compiling (JAX's here, Numba's there); the quick
test counts everything from the start of the process to its exit.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import hardware
from benchmarks.report import RESULTS, Report
from benchmarks.rows import Row, line, row
from benchmarks.sizes import TINY
from benchmarks.startup import quick_test

Sample = Callable[[], float]
Samples = dict[str, list[float]]
PARTS = ("environment", "training", "quick_test")


class Sides:
    """How both are asked."""

    def __init__(self, old_python: Path, cache: Path, tiny: bool, old_flags: list[str]) -> None:
        self.old_python = old_python
        self.cache = cache
        self.tiny = tiny
        self.old_flags = old_flags

    def old(self, what: str) -> float:
        """What the old side reports."""
        flags = ["--seconds", "0.1"] if self.tiny else []
        flags += ["--steps", "128"] if self.tiny and what != "environment" else []
        flags += self.old_flags if what == "quick_test" else []
        return value([str(self.old_python), "-m", "benchmarks.old_stack", what, *flags], {})

    def new(self, what: str) -> float:
        """What the new side reports; what it compiled before it finds again."""
        flags = ["--tiny", "--seconds", "0.01"] if self.tiny else []
        cached = {
            "JAX_PLATFORMS": "cpu",
            "JAX_COMPILATION_CACHE_DIR": str(self.cache),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        return value([sys.executable, "-m", "benchmarks.new_side", what, *flags], cached)

    def old_quick_test(self) -> float:
        """Seconds from start to exit."""
        start = time.perf_counter()
        self.old("quick_test")
        return time.perf_counter() - start

    def new_quick_test(self, cache: Path) -> float:
        """Seconds from start to exit."""
        os.environ["JAX_PLATFORMS"] = "cpu"
        return quick_test(cache, TINY.overrides if self.tiny else {}).seconds


def value(command: list[str], variables: dict[str, str]) -> float:
    """The value in the last line that a process prints."""
    environment = os.environ | variables
    done = subprocess.run(
        command, cwd=hardware.ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return float(json.loads(done.stdout.splitlines()[-1])["value"])


def alternate(sides: dict[str, Sample], repeats: int, unit: str) -> Samples:
    """Samples of all sides, taking turns."""
    samples: Samples = {name: [] for name in sides}
    for turn in range(repeats):
        for name, sample in sides.items():
            samples[name].append(sample())
            print(f"  {turn + 1}/{repeats} {name}: {samples[name][-1]:,.1f} {unit}", flush=True)
    return samples


def compared(case: str, samples: Samples, unit: str, faster_is_more: bool) -> list[Row]:
    """Every side's median, and the ratios of the medians of the new sides and the first."""
    rows = [row(case, name, values, unit) for name, values in samples.items()]
    old = median(next(iter(samples.values())))
    for name, values in list(samples.items())[1:]:
        times = median(values) / old if faster_is_more else old / median(values)
        rows.append(row(case, f"{name}, times as fast", times, "×", "ratio of medians"))
    return rows


def environment(sides: Sides, repeats: int) -> list[Row]:
    """One NumPy client against thousands on two cores: what each stack has to offer."""
    samples = alternate(
        {"old": lambda: sides.old("environment"), "new": lambda: sides.new("environment")},
        repeats,
        "steps/s",
    )
    return compared("environment, random therapist", samples, "steps/s", True)


def training(sides: Sides, repeats: int) -> list[Row]:
    """Both at the defaults without evaluation; the new one also with rounded operands and at the
    throughput setting."""
    samples = alternate(
        {
            "old, defaults": lambda: sides.old("training"),
            "new, defaults": lambda: sides.new("defaults"),
            "new, defaults, bfloat16": lambda: sides.new("bfloat16"),
            "new, throughput setting": lambda: sides.new("throughput"),
            "new, throughput, 256 wide": lambda: sides.new("wide"),
        },
        repeats,
        "steps/s",
    )
    return compared("training without evaluation", samples, "steps/s", True)


def quick_tests(sides: Sides, repeats: int) -> list[Row]:
    """From start to exit; the cache is cold for one run and warm for the next."""
    with tempfile.TemporaryDirectory(prefix="jaxtherapy-cache-") as name:
        caches = [Path(name) / str(turn) for turn in range(repeats)]
        cold, warm = iter(caches), iter(caches)
        samples = alternate(
            {
                "old": sides.old_quick_test,
                "new, cold cache": lambda: sides.new_quick_test(next(cold)),
                "new, warm cache": lambda: sides.new_quick_test(next(warm)),
            },
            repeats,
            "s",
        )
    return compared("quick test, start to exit", samples, "s", False)


def versions(old_python: Path) -> dict[str, Any]:
    """Of the old side."""
    code = (
        "import json; from benchmarks.hardware import *; "
        "print(json.dumps({p: version(p) for p in OLD_PACKAGES}))"
    )
    return json.loads(hardware.output_of(str(old_python), "-c", code) or "{}")


def main(argv: list[str] | None = None) -> int:
    """Compares and writes the report."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.against_old_stack",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; default: all")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--tiny", action="store_true", help="only to see that it runs")
    parser.add_argument("--old-python", type=Path, default=Path(".venv-torch/bin/python"))
    parser.add_argument("--old-eval-episodes", help="of the old quick test, after every update")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args(argv)
    if set(arguments.parts) - set(PARTS):
        parser.error(f"parts are {', '.join(PARTS)}")
    described = hardware.describe()
    old = {f"old {name}": number for name, number in versions(arguments.old_python).items()}
    described["versions"] |= old
    report = Report(arguments.results, "old_stack", described)
    episodes = arguments.old_eval_episodes
    flags = ["--eval-episodes", episodes] if episodes else []
    measures = dict(zip(PARTS, (environment, training, quick_tests), strict=True))
    with tempfile.TemporaryDirectory(prefix="jaxtherapy-cache-") as cache:
        sides = Sides(arguments.old_python.absolute(), Path(cache), arguments.tiny, flags)
        for part in arguments.parts or PARTS:
            print(part, flush=True)
            start = time.perf_counter()
            rows = measures[part](sides, arguments.repeats)
            report.add(part, rows, time.perf_counter() - start)
            for each in rows:
                print(line(each), flush=True)
    report.show()
    return 0


if __name__ == "__main__":
    sys.exit(main())
