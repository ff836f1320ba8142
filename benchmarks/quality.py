"""Time to quality: seconds until 90 % of the evaluation clients of ``first_steps.yaml`` succeed.

The command itself trains, seed after seed, with a warm compilation cache, and is interrupted at
the first evaluation that reaches the goal.
"""

import tempfile
from pathlib import Path

from benchmarks import command
from benchmarks.command import Log, Run
from benchmarks.programs import THROUGHPUT
from benchmarks.rows import Row, row
from benchmarks.sizes import Sizes

GOAL = 0.9

OFTEN = {"eval_freq": 12_800}
"""Every second update: evaluating seldom would round the time up to the next evaluation."""


def reached(log: Log) -> bool:
    """Whether an evaluation reached the goal."""
    return any(float(entry["test_success_rate"]) >= GOAL for entry in log)


def training_seconds(run: Run) -> float:
    """Until the first evaluation at the goal, by the run's own clock, which starts compiled."""
    times = [float(e["duration"]) for e in run.log if float(e["test_success_rate"]) >= GOAL]
    return times[0] if times else float("inf")


def process_seconds(run: Run) -> float:
    """Until the line of that evaluation, from the start of the process."""
    for entry, (when, _) in zip(run.log, evaluation_lines(run), strict=False):
        if float(entry["test_success_rate"]) >= GOAL:
            return when
    return float("inf")


def evaluation_lines(run: Run) -> list[tuple[float, str]]:
    """The lines that report evaluations."""
    return [(when, text) for when, text in run.lines if text.startswith("step ")]


def until_goal(seed: int, cache: Path, sizes: Sizes) -> Run:
    """Trains a seed to the goal, to its end, or for as long as it may."""

    def enough(log: Log, seconds: float) -> bool:
        return reached(log) or (bool(log) and seconds > sizes.quality_limit)

    return command.train(THROUGHPUT, OFTEN | {"seed": seed} | sizes.overrides, cache, enough)


def measure(sizes: Sizes) -> list[Row]:
    """Medians over seeds; a seed that did not get there counts as infinitely long."""
    in_training, in_all = [], []
    with tempfile.TemporaryDirectory(prefix="jaxtherapy-cache-") as name:
        cache = Path(name)
        until_goal(42, cache, sizes)  # the same programs, compiled
        for seed in range(42, 42 + sizes.quality_seeds):
            run = until_goal(seed, cache, sizes)
            in_training.append(training_seconds(run))
            in_all.append(process_seconds(run))
            step = run.log[-1]["step"] if run.log else "0"
            print(f"  seed {seed}: {in_all[-1]:.1f} s, stopped at step {step}", flush=True)
    n = f"median of {sizes.quality_seeds} seeds"
    case = "first_steps.yaml to 90 % success"
    return [
        row(case, "training", in_training, "s", f"{n}; compiling left out"),
        row(case, "start to goal", in_all, "s", f"{n}; warm compilation cache"),
    ]
