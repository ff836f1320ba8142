"""Settings of JAX that the pure functions could not run under, kept out of them."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import jax

P = ParamSpec("P")
R = TypeVar("R")

DEFAULT = {"jax_numpy_dtype_promotion": "standard", "jax_numpy_rank_promotion": "allow"}


def ordinary(function: Callable[P, R]) -> Callable[P, R]:
    """The same function under JAX's default rules of promotion, whatever the user's are.

    Where they are in force nothing is set: that would be another key to what JAX has cached.
    """

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if all(getattr(jax.config, name) == rule for name, rule in DEFAULT.items()):
            return function(*args, **kwargs)
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            return function(*args, **kwargs)

    return call
