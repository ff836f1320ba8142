"""What Gymnasium's interface costs: time per step of ``make`` and ``make_vec``, random acts."""

import time
from collections.abc import Callable

import gymnasium
import numpy as np

from benchmarks.environment import rates
from benchmarks.rows import Row, line, row
from benchmarks.sizes import Sizes
from jaxtherapy.config import TrainingConfig

ID = "jaxtherapy.gym:jaxtherapy/Therapy-v0"


def seconds_per_call(step: Callable[[], None], seconds: float, repeats: int) -> list[float]:
    """Samples; the first 50 calls, which compile, do not count."""
    for _ in range(50):
        step()
    samples = []
    for _ in range(repeats):
        start, calls = time.perf_counter(), 0
        while time.perf_counter() - start < seconds or not calls:
            step()
            calls += 1
        samples.append((time.perf_counter() - start) / calls)
    return samples


def one_at_a_time() -> Callable[[], None]:
    env, rng = gymnasium.make(ID), np.random.default_rng(0)
    env.reset(seed=0)

    def step() -> None:
        if any(env.step(rng.integers(8))[2:4]):
            env.reset()

    return step


def side_by_side(n_clients: int, flat: bool) -> Callable[[], None]:
    envs, rng = gymnasium.make_vec(ID, n_clients, flat=flat), np.random.default_rng(0)
    envs.reset(seed=0)
    return lambda: envs.step(rng.integers(0, 8, n_clients)) and None


def measure(sizes: Sizes) -> list[Row]:
    """Microseconds a step, beside the simulation alone."""
    clock = sizes.seconds, sizes.repeats
    per_call = seconds_per_call(one_at_a_time(), *clock)
    rows = [row("make", "step", [1e6 * each for each in per_call], "µs/step")]
    for n_clients in sizes.clients:
        alone = [1e6 / rate for rate in rates(TrainingConfig(), n_clients, *clock)]
        case = f"{n_clients:,} clients"
        rows.append(row(case, "simulation alone", alone, "µs/step"))
        for flat in (False, True):
            per_call = seconds_per_call(side_by_side(n_clients, flat), *clock)
            samples = [1e6 * each / n_clients for each in per_call]
            rows.append(row(case, "make_vec, flat" if flat else "make_vec", samples, "µs/step"))
    for each in rows:
        print(line(each), flush=True)
    return rows
