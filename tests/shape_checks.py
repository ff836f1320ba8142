"""Shapes and types in annotations, checked while tests run."""

from beartype import beartype

CHECKED = ("jaxtherapy.client", "jaxtherapy.networks", "jaxtherapy.ppo")


def check(function):
    """What jaxtyping's import hook applies to every function of the checked rooms.

    Pytrees are made by JAX of whatever its leaves are mapped to (axes, shapes, None), so what they
    are made of is not checked.
    """
    return function if function.__name__ == "__init__" else beartype(function)
