"""Whole runs on a GPU: 50 million steps of one therapist, and 256 therapists at the defaults.

In chunks as the command trains, with its evaluations, without its files. A run that would take
longer than allowed is broken off and its end extrapolated, which the note says.
"""

import time
from typing import Any

import jax
import numpy as np

from benchmarks import programs
from benchmarks.programs import DEFAULT, STRATEGY, Training, compile_evaluation, compile_training
from benchmarks.rows import Row, line, row
from benchmarks.sizes import Sizes
from jaxtherapy.ppo.types import make_settings

RUNS = ((STRATEGY, 1), (DEFAULT, 256))


def whole(training: Training, limit: float, evaluate: Any | None) -> tuple[float, int, float]:
    """Seconds, updates done, and the success of the last evaluation."""
    config, success, done = training.config, float("nan"), 0
    state = programs.initial_state(training.ppo, make_settings(training.config), training.n_seeds)
    jax.block_until_ready(state)
    every = config.eval_freq if evaluate else config.total_timesteps / 20
    chunk = max(1, round(every / training.ppo.steps_per_update))
    start = time.perf_counter()
    while done < config.n_updates and time.perf_counter() - start < limit:
        n = min(chunk, config.n_updates - done)
        state = training.advance(n, state)
        if evaluate:
            success = float(np.mean(evaluate(training.settings, state).success_rate))
        jax.block_until_ready(state.n_updates)
        done += n
    return time.perf_counter() - start, done, success


def rows_of(training: Training, case: str, limit: float, evaluate: Any | None) -> list[Row]:
    """One run, with or without evaluations."""
    seconds, done, success = whole(training, limit, evaluate)
    total = training.config.n_updates
    note = f"success {success:.0%}" if evaluate else "no evaluation"
    if done < total:
        note += f"; extrapolated from {done} of {total} updates"
    metric = "with evaluations" if evaluate else "training"
    rate = done * training.steps_per_update / seconds
    return [
        row(case, metric, seconds * total / done, "s", note),
        row(case, f"{metric}, rate", rate, "steps/s"),
    ]


def measure(sizes: Sizes) -> list[Row]:
    """Everything in ``RUNS``; nothing where no time is given for it."""
    rows: list[Row] = []
    for file, n_seeds in RUNS if sizes.whole_runs else ():
        training = compile_training(programs.load(file, sizes.overrides), n_seeds)
        evaluation = compile_evaluation(training)
        jax.block_until_ready(evaluation(training.settings, training.state))
        case = f"{file}, all steps, seeds: {n_seeds}"
        rows.append(row(case, "compile", training.compile_seconds, "s"))
        for evaluate in (None, evaluation):
            rows += rows_of(training, case, sizes.whole_runs, evaluate)
            print(line(rows[-2]), flush=True)
    return rows
