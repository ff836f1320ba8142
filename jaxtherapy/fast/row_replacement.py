"""Work on the few rows of a batch that need it."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PyTree


def replace_rows(
    needed: Bool[Array, " n"],
    make_rows: Callable[[Int[Array, " slots"]], PyTree],
    rows: PyTree,
    slots: int,
) -> PyTree:
    """``rows`` with ``make_rows(i)`` in place of every row ``i`` that is ``needed``.

    Rows are made ``slots`` at a time, as often as it takes: the result is that of making all rows
    and selecting, at the cost of those few that are needed. No row is ever shared or left out, so
    unlike with a pool of fixed size nothing is biased.

    Args:
        needed: (n,) which rows to replace.
        make_rows: from (slots,) indices to a pytree like ``rows`` with a leading axis ``slots``.
        rows: pytree with a leading axis n.
        slots: rows made at once. Static; changes only the speed.
    """
    n = needed.shape[0]

    def some_left(carry: tuple[Bool[Array, " n"], PyTree]) -> Bool[Array, ""]:
        return jnp.any(carry[0])

    def replace_some(
        carry: tuple[Bool[Array, " n"], PyTree],
    ) -> tuple[Bool[Array, " n"], PyTree]:
        left, rows = carry
        # The k-th row needed is the first at which k have been counted; n where there is none.
        index = jnp.searchsorted(jnp.cumsum(left), jnp.arange(1, slots + 1))
        made = make_rows(jnp.minimum(index, n - 1))
        rows = jax.tree.map(lambda old, new: old.at[index].set(new, mode="drop"), rows, made)
        return left.at[index].set(False, mode="drop"), rows

    return jax.lax.while_loop(some_left, replace_some, (needed, rows))[1]
