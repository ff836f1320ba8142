"""What XLA has to be told: where one compiled loop ends, and what pays on a CPU alone."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import jax
from jax.experimental.xla_metadata import set_xla_metadata

P = ParamSpec("P")
R = TypeVar("R")


def on_cpu() -> bool:
    """Whether JAX computes on a CPU."""
    return jax.default_backend() == "cpu"


def outlined(function: Callable[P, R]) -> Callable[P, R]:
    """The same function; on a CPU computed once and in loops of its own, whoever uses its results.

    XLA merges what is elementwise into its users and repeats it in each of several; on a CPU,
    optimization barriers are gone before it does. A call that must not be inlined stays a call.
    Under ``vmap`` it is one call for the whole batch. A GPU merges better than it calls: there the
    function is inlined like any other, and barriers hold.
    """
    jitted = jax.jit(function)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        results: R = jitted(*args, **kwargs)
        if on_cpu():
            results = set_xla_metadata(results, inlineable="false")
        return results

    return call
