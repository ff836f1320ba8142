"""Training without evaluation: steps per second at three kinds of settings, compiling, memory."""

import time
from collections.abc import Iterator
from typing import Any

import jax

from benchmarks import programs
from benchmarks.programs import Training, compile_training
from benchmarks.rows import Row, line, row
from benchmarks.sizes import Sizes
from benchmarks.timing import program_bytes
from jaxtherapy.errors import is_out_of_memory

Case = tuple[str, str, dict[str, Any], int]


def cases(sizes: Sizes) -> Iterator[Case]:
    """Name, configuration, replaced settings and seeds of everything that is trained."""
    for n_seeds in sizes.seeds:
        plural = "seed" if n_seeds == 1 else "seeds"
        yield f"defaults, {n_seeds:,} {plural}", programs.DEFAULT, {}, n_seeds
    for n_envs in sizes.environments:
        settings = {"n_envs": n_envs, "batch_size": 5 * n_envs // 2}
        yield f"throughput setting, {n_envs:,} environments", programs.THROUGHPUT, settings, 1


def rates(training: Training, seconds: float, repeats: int) -> list[float]:
    """Samples of steps per second, all seeds together, after two updates that do not count."""
    state = jax.block_until_ready(training.advance(1, training.state))
    start = time.perf_counter()
    state = jax.block_until_ready(training.advance(1, state))
    n_updates = max(1, round(seconds / (time.perf_counter() - start)))
    samples = []
    for _ in range(repeats):
        start = time.perf_counter()
        state = jax.block_until_ready(training.advance(n_updates, state))
        elapsed = time.perf_counter() - start
        samples.append(n_updates * training.steps_per_update / elapsed)
    return samples


def measure_case(case: Case, sizes: Sizes) -> list[Row]:
    """One setting."""
    name, file, settings, n_seeds = case
    training = compile_training(programs.load(file, settings | sizes.overrides), n_seeds)
    samples = rates(training, sizes.seconds, sizes.repeats)
    return [
        row(name, "training", samples, "steps/s"),
        row(name, "time", [1e6 / rate for rate in samples], "µs/step"),
        row(name, "compile", training.compile_seconds, "s", "train only, traced and compiled"),
        row(name, "memory", program_bytes(training.train) / 2**20, "MiB", "of the program"),
    ]


def measure(sizes: Sizes) -> list[Row]:
    """Everything in :func:`cases`. What does not fit in memory ends its series, not the suite; what
    does not compile is told and left out."""
    rows: list[Row] = []
    full: set[str] = set()
    for case in cases(sizes):
        if case[1] in full:
            continue
        try:
            rows += measure_case(case, sizes)
        except jax.errors.JaxRuntimeError as error:
            if is_out_of_memory(error):
                full.add(case[1])
            reason = "does not fit" if is_out_of_memory(error) else str(error).splitlines()[0]
            print(f"  {case[0]}: {reason}", flush=True)
            continue
        print(line(rows[-4]), line(rows[-2]).split(": ")[1], sep="; ", flush=True)
    return rows
