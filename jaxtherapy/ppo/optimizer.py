"""Adam, and where its numbers are."""

import optax
from jaxtyping import ArrayLike, Float, PyTree


def adam(learning_rate: Float[ArrayLike, ""]) -> optax.GradientTransformation:
    """Adam with PyTorch's ε = 1e-8."""
    return optax.adam(learning_rate, eps=1e-8)


def adam_state(opt_state: PyTree) -> optax.ScaleByAdamState:
    """Count and moments within the state of :func:`adam`."""
    return opt_state[0]


def with_adam_state(opt_state: PyTree, adam: optax.ScaleByAdamState) -> PyTree:
    """The state of :func:`adam` with another count and other moments."""
    return adam, *opt_state[1:]
