"""What the machine can do at most: a large matrix product per precision, and a large copy."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from benchmarks.rows import Row, line, row
from benchmarks.sizes import Sizes
from benchmarks.timing import seconds_per_call

PRODUCTS = 4


def products(a: Float[Array, "n n"], b: Float[Array, "n n"], precision: str) -> Float[Array, "n n"]:
    """A chain of products, each needing the one before."""

    def multiply(_: int, product: Float[Array, "n n"]) -> Float[Array, "n n"]:
        return jnp.matmul(product, b, precision=precision)

    return jax.lax.fori_loop(0, PRODUCTS, multiply, a)


def precisions() -> dict[str, tuple[str, jnp.dtype]]:
    """Name → what JAX calls it, and the type of the operands. TF32 exists on NVIDIA GPUs only."""
    known = {
        "float32": ("highest", jnp.dtype(jnp.float32)),
        "bfloat16": ("default", jnp.dtype(jnp.bfloat16)),
    }
    if jax.default_backend() == "gpu":
        known["tf32"] = ("default", jnp.dtype(jnp.float32))
    return known


def product_rate(name: str, sizes: Sizes) -> list[float]:
    """Samples of FLOP/s: 2·n³ for each product."""
    precision, dtype = precisions()[name]
    n = sizes.matrix
    a, b = (jax.random.normal(jax.random.key(i), (n, n)).astype(dtype) / n**0.5 for i in (0, 1))
    function = jax.jit(partial(products, precision=precision))
    times = seconds_per_call(function, a, b, seconds=sizes.seconds, repeats=sizes.repeats)
    return [2 * n**3 * PRODUCTS / time for time in times]


def copy_rate(sizes: Sizes) -> list[float]:
    """Samples of bytes/s, read and written."""
    numbers = jnp.zeros(sizes.copy_bytes // 4, jnp.float32)
    function = jax.jit(lambda x: x + 1)
    times = seconds_per_call(function, numbers, seconds=sizes.seconds, repeats=sizes.repeats)
    return [2 * numbers.nbytes / time for time in times]


def measure(sizes: Sizes) -> list[Row]:
    """FLOP/s per precision and bytes/s."""
    rows = []
    for name in precisions():
        case = f"{sizes.matrix}×{sizes.matrix} products, {name}"
        rows.append(row(case, "ceiling", [x / 1e9 for x in product_rate(name, sizes)], "GFLOP/s"))
        print(line(rows[-1]), flush=True)
    case = f"copy of {sizes.copy_bytes / 2**20:,.0f} MiB"
    rows.append(
        row(case, "ceiling", [x / 1e9 for x in copy_rate(sizes)], "GB/s", "read plus written")
    )
    print(line(rows[-1]), flush=True)
    return rows
