"""Has anything become slow? Ratios of two rates of one run, never absolute times.

``python -m benchmarks.regression`` measures, compares with ``regression.json`` and fails with a
line for every ratio that fell too far; ``--record`` writes what it measures as what to expect.

Numerator and denominator take turns and the fastest of each counts, so that other work on the
machine disturbs both alike or not at all. All ratios are such that higher is better.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from benchmarks import programs
from benchmarks.environment import make_player
from benchmarks.products import make_products
from benchmarks.programs import compile_training
from benchmarks.sizes import TINY
from jaxtherapy.client.utilities import U_MAX, U_MIN
from jaxtherapy.config import TrainingConfig
from tests.oracle import PATTERN_NAMES, Therapy, draw_pair

EXPECTATIONS = Path(__file__).parent / "regression.json"
TURNS = 6

Rate = Callable[[], float]


class Scale(NamedTuple):
    """Parallel clients, replaced settings and turns."""

    many: int = 256
    crowd: int = 4096
    settings: dict[str, Any] = {}  # noqa: RUF012
    turns: int = TURNS


def numpy_rate() -> Rate:
    """Steps per second of the tests' plain client, a random therapist."""
    rng = np.random.default_rng(0)

    def new_client() -> Therapy:
        memory = [draw_pair(rng, PATTERN_NAMES[0]) for _ in range(50)]
        return Therapy(rng.uniform(U_MIN, U_MAX), memory)

    def rate(n_steps: int = 300) -> float:
        client, start = new_client(), time.perf_counter()
        for act in rng.integers(8, size=n_steps):
            client_act = int(rng.choice(8, p=client.probabilities()))
            client.session(client_act, int(act), bool(rng.random() < 0.5))
            if client.terminated() or client.truncated():
                client = new_client()
        return n_steps / (time.perf_counter() - start)

    return rate


def environment_rate(n_clients: int) -> Rate:
    """Steps per second of the environment alone."""
    player, state, steps, _ = make_player(TrainingConfig(), n_clients)
    now = [jax.block_until_ready(player(state))]

    def rate() -> float:
        start = time.perf_counter()
        now[0] = jax.block_until_ready(player(now[0]))
        return steps / (time.perf_counter() - start)

    return rate


def training_rates(file: str, settings: dict[str, Any]) -> tuple[Rate, Rate]:
    """Updates per second, and how many the matrix products alone would allow."""
    training = compile_training(programs.load(file, settings))
    products = make_products(training.ppo)
    now = [jax.block_until_ready(training.advance(1, training.state))]
    jax.block_until_ready(products())

    def rate() -> float:
        start = time.perf_counter()
        now[0] = jax.block_until_ready(training.advance(2, now[0]))
        return 2 / (time.perf_counter() - start)

    def ceiling() -> float:
        start = time.perf_counter()
        jax.block_until_ready([products() for _ in range(2)])
        return 2 / (time.perf_counter() - start)

    return rate, ceiling


def ratio(above: Rate, below: Rate, turns: int) -> float:
    """Of the fastest turns of both."""
    rates = [(above(), below()) for _ in range(turns)]
    return max(a for a, _ in rates) / max(b for _, b in rates)


def measure(scale: Scale) -> dict[str, float]:
    """All ratios."""
    results: dict[str, float] = {}

    def note(name: str, above: Rate, below: Rate) -> None:
        results[name] = ratio(above, below, scale.turns)
        print(f"{name}: {results[name]:.3g}", flush=True)

    crowd, one = environment_rate(scale.crowd), environment_rate(1)
    note(f"environment, {scale.crowd} clients over plain Python", crowd, numpy_rate())
    note(f"environment, {scale.many} clients over 1", environment_rate(scale.many), one)
    defaults = training_rates(programs.DEFAULT, scale.settings)
    note("training at the defaults over its matrix products alone", *defaults)
    shorter = {"n_steps": 20} | scale.settings
    throughput = training_rates(programs.THROUGHPUT, shorter)
    note("training at the throughput setting over its matrix products alone", *throughput)
    return results


def failures(measured: dict[str, float], expected: dict[str, Any]) -> list[str]:
    """A line for each ratio that fell below its share of what is recorded."""
    lines = []
    for name, record in expected.items():
        value, was, share = measured.get(name), record["ratio"], record["at_least"]
        if value is None:
            lines.append(f"{name}: recorded, but not measured any more; record again")
        elif value < share * was:
            lines.append(
                f"{name} fell from {was:.3g} to {value:.3g}: {value / was:.0%} of what is "
                f"recorded, at least {share:.0%} is asked"
            )
    return lines


def record(measured: dict[str, float], path: Path) -> None:
    """Writes what to expect; shares that someone has set stay."""
    before = json.loads(path.read_text()) if path.exists() else {}
    contents = {
        name: {
            "ratio": float(f"{value:.3g}"),
            "at_least": before.get(name, {}).get("at_least", 0.5),
        }
        for name, value in measured.items()
    }
    path.write_text(json.dumps(contents, indent=1) + "\n")


def main(argv: list[str] | None = None) -> int:
    """Measures and compares, or records."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.regression",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--record", action="store_true", help="expect from now on what is measured")
    parser.add_argument("--tiny", action="store_true", help="only to see that it runs")
    parser.add_argument("--expectations", type=Path, default=EXPECTATIONS)
    arguments = parser.parse_args(argv)
    scale = Scale(2, 4, TINY.overrides, 1) if arguments.tiny else Scale()
    start = time.perf_counter()
    measured = measure(scale)
    print(f"measured in {time.perf_counter() - start:.0f} s")
    if arguments.record:
        record(measured, arguments.expectations)
        return 0
    lines = failures(measured, json.loads(arguments.expectations.read_text()))
    for text in lines:
        print(text, file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
