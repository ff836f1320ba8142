"""``python -m benchmarks [PART …] [--gpu]``: measures, and writes one table and one JSON file.

Every part runs in a process of its own, so that none inherits another's memory, compiled programs
or failure.
"""

import argparse
import importlib
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from benchmarks import hardware, rows
from benchmarks.report import RESULTS, Report
from benchmarks.sizes import CPU, GPU, TINY, Sizes
from jaxtherapy.config import TrainingConfig
from jaxtherapy.devices import layout as devices

PARTS = {
    "ceilings": "a large matrix product per precision, a large copy",
    "environment": "a random therapist against the number of clients",
    "gymnasium_steps": "time per step through Gymnasium, one client and many",
    "training": "steps per second, compiling and memory at several settings and seeds",
    "phases": "rollout, advantages, update, evaluation, host; shares of the ceilings",
    "startup": "processes with a cold and a warm compilation cache",
    "quality": "seconds to 90 % success on first_steps.yaml",
    "whole_runs": "GPU only: 50 M steps of rl_vs_complementary.yaml, 256 default runs",
}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parts = "\n".join(f"  {name:<12} {about}" for name, about in PARTS.items())
    result = argparse.ArgumentParser(
        "python -m benchmarks",
        description=f"{__doc__}\nparts (default: all):\n{parts}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("parts", nargs="*", metavar="PART", help="what to measure")
    result.add_argument("--gpu", action="store_true", help="on the GPU, with its sizes")
    result.add_argument("--tiny", action="store_true", help="only to see that everything runs")
    result.add_argument("--repeats", type=int, help="samples of every number")
    result.add_argument("--seconds", type=float, help="length of a sample")
    for name in ("clients", "seeds", "environments"):
        result.add_argument(f"--{name}", type=int, nargs="+", help=f"numbers of {name}")
    result.add_argument("--quality-seeds", type=int, help="seeds of the time to quality")
    result.add_argument("--starts", type=int, help="processes with a cold cache")
    result.add_argument("--whole-runs", type=float, help="seconds allowed for each whole run")
    result.add_argument("--results", type=Path, default=RESULTS, help="folder of the files")
    result.add_argument("--name", help="name of the files; default: cpu or gpu")
    result.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    return result


def sizes_of(arguments: argparse.Namespace) -> Sizes:
    """The sizes asked for."""
    sizes = TINY if arguments.tiny else GPU if arguments.gpu else CPU
    given = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in vars(arguments).items()
        if hasattr(sizes, name) and value is not None
    }
    return replace(sizes, **given)


def environment(gpu: bool) -> dict[str, str]:
    """Of the processes: one kind of device, no compilation cache but those that are measured."""
    variables = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    return variables if gpu else variables | {"JAX_PLATFORMS": "cpu"}


def run_part(part: str, argv: list[str], gpu: bool) -> list[rows.Row] | None:
    """A part in its own process; nothing if it failed."""
    with tempfile.TemporaryDirectory(prefix="jaxtherapy-bench-") as folder:
        results = Path(folder) / "rows.json"
        command = [sys.executable, "-m", "benchmarks", *argv, "--child", str(results)]
        done = subprocess.run(
            [*command, "--name", part], cwd=hardware.ROOT, env=environment(gpu), check=False
        )
        return rows.load(results.read_text()) if done.returncode == 0 else None


def child(part: str, sizes: Sizes, results: Path) -> int:
    """Measures one part and leaves its rows."""
    if part in ("training", "phases"):  # as the command does
        n_seeds = max(sizes.seeds) if part == "training" else 1
        devices.deal_to_cores(TrainingConfig(n_seeds=n_seeds))
    measured = importlib.import_module(f"benchmarks.{part}").measure(sizes)
    results.write_text(rows.dump(measured))
    return 0


def main(argv: list[str] | None = None) -> int:
    """Measures the parts; the exit code is 1 if one of them failed."""
    argv = sys.argv[1:] if argv is None else argv
    arguments = parser().parse_args(argv)
    if arguments.child:
        return child(arguments.name, sizes_of(arguments), arguments.child)
    unknown = set(arguments.parts) - PARTS.keys()
    if unknown:
        parser().error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    every = [part for part in PARTS if arguments.gpu or part != "whole_runs"]
    name = arguments.name or ("gpu" if arguments.gpu else "cpu")
    report = Report(arguments.results, name, hardware.describe())
    failed = []
    for part in arguments.parts or every:
        print(f"{part}: {PARTS[part]}", flush=True)
        start = time.perf_counter()
        measured = run_part(part, argv, arguments.gpu)
        seconds = time.perf_counter() - start
        if measured is None:
            failed.append(part)
        else:
            report.add(part, measured, seconds)
        print(f"{part}: {'failed' if measured is None else 'done'} after {seconds:.0f} s\n")
    if report.parts:
        report.show()
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
