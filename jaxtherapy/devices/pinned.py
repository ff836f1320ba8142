"""Settings of JAX that a run relies on, whatever the environment says (``JAX_ENABLE_X64=1``)."""

import contextlib
from collections.abc import Iterator
from typing import Any

PINNED: dict[str, Any] = {
    "jax_enable_x64": False,
    "jax_numpy_dtype_promotion": "standard",
    "jax_numpy_rank_promotion": "allow",
    "jax_default_matmul_precision": None,
    "jax_default_prng_impl": "threefry2x32",
    "jax_threefry_partitionable": True,
    "jax_random_seed_offset": 0,
    "jax_debug_nans": False,  # an update that is not finite is undone and told
    "jax_debug_infs": False,
    "jax_debug_key_reuse": False,
    "jax_disable_jit": False,
    "jax_enable_checks": False,
    "jax_check_tracer_leaks": False,
    "jax_transfer_guard": "allow",
}
"""JAX's own defaults. Where programs are computed and cached is the user's choice."""


def pin() -> None:
    """Sets them for this process, of which a command has the whole."""
    import jax

    for name, value in PINNED.items():
        jax.config.update(name, value)


@contextlib.contextmanager
def pinned() -> Iterator[None]:
    """Sets them while open, in a process that others have a say in."""
    import jax

    before = {name: getattr(jax.config, name) for name in PINNED}
    pin()
    try:
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
