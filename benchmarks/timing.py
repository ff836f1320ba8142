"""Clocks: calls until enough time has passed, as often as asked."""

import time
from collections.abc import Callable
from typing import Any

import jax


def seconds_of(function: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    """How long one call takes until its results are there, and the results."""
    start = time.perf_counter()
    results = jax.block_until_ready(function(*arguments))
    return time.perf_counter() - start, results


def seconds_per_call(
    function: Callable[..., Any], *arguments: Any, seconds: float, repeats: int
) -> list[float]:
    """Samples of the time per call; each sample makes calls for at least ``seconds``.

    The first call, which may compile or touch memory for the first time, does not count.
    """
    jax.block_until_ready(function(*arguments))
    once, _ = seconds_of(function, *arguments)
    calls = max(1, round(seconds / max(once, 1e-7)))

    def sample() -> float:
        start = time.perf_counter()
        for _ in range(calls):
            results = function(*arguments)
        jax.block_until_ready(results)
        return (time.perf_counter() - start) / calls

    return [sample() for _ in range(repeats)]


def seconds_per_step(
    step: Callable[[Any], Any], state: Any, *, seconds: float, repeats: int
) -> tuple[list[float], Any]:
    """Like :func:`seconds_per_call` for a function that moves a (donated) state on."""
    state = jax.block_until_ready(step(state))
    once, state = seconds_of(step, state)
    calls = max(1, round(seconds / max(once, 1e-7)))
    samples = []
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(calls):
            state = step(state)
        jax.block_until_ready(state)
        samples.append((time.perf_counter() - start) / calls)
    return samples, state


def program_bytes(compiled: Any) -> int:
    """What a compiled program holds while it runs: arguments, results and scratch."""
    memory = compiled.memory_analysis()
    if memory is None:
        return 0
    return (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        + memory.temp_size_in_bytes
        - memory.alias_size_in_bytes
    )
