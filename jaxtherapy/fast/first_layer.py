"""Embeddings and first layer as one look-up: what an observation selects, summed.

An observation is 52 selections (an act, 50 remembered acts, a bias) and one number, the session's.
Embedding them and multiplying by the first layer's weights gives the same sums as adding up the
rows of a table that they select, which is a ninth of the arithmetic. On a GPU products of large
batches win nevertheless, with the table as their right-hand side.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jax.experimental.sparse import BCSR
from jaxtyping import Array, Float, Int8, Int16

from jaxtherapy.fast.compiling import on_cpu

N_OCTANTS = 8
HISTORY_SIZE = 50
N_HISTORY_ACTS = N_OCTANTS + 1
"""Eight octants, and the padding before they are there."""

Observation = Any  # with ``client_action``, ``session_number`` and ``history``

LARGE_BATCH = 512
"""Rows from which a product with :func:`indicators` is faster: on a GPU for everything, on a CPU
for gradients. Measured in docs/performance.md."""

ROWS_AT_ONCE = 256
"""From so many on, a CPU sums in parts, so that its cores share them."""

MAX_PARTS = 8

COMPARED_AT_ONCE = 32
"""How far the loop of :func:`_count_below` is unrolled."""


class Table(NamedTuple):
    """The rows to select from."""

    act: Float[Array, "8 hidden"]
    session: Float[Array, "1 hidden"]
    history: Float[Array, "450 hidden"]
    bias: Float[Array, "1 hidden"]


def first_layer(
    table: Table, obs: Observation, dtype: Any, precision: jax.lax.PrecisionLike
) -> Float[Array, "*batch hidden"]:
    """The first layer's sums: of selected rows on a CPU, elsewhere a product whose left-hand side
    needs no gradient."""
    if on_cpu():
        return select(table, obs)
    selected, matrix = indicators(obs).astype(dtype), as_matrix(table).astype(dtype)
    return jnp.matmul(selected, matrix, precision=precision)


def make_table(
    act_embedding: Float[Array, "8 16"],
    history_embedding: Float[Array, "9 8"],
    kernel: Float[Array, "417 hidden"],
    bias: Float[Array, " hidden"],
    precision: jax.lax.PrecisionLike,
) -> Table:
    """The table of these embeddings and weights."""
    n_act = act_embedding.shape[1]
    act, session, history = jnp.split(kernel, [n_act, n_act + 1])
    places = history.reshape(HISTORY_SIZE, -1, kernel.shape[1])
    if on_cpu():
        rows = _embedded(history_embedding, places)
    else:
        rows = jnp.einsum("vd,pdh->pvh", history_embedding, places, precision=precision)
    return Table(
        jnp.matmul(act_embedding, act, precision=precision),
        session,
        rows.reshape(-1, kernel.shape[1]),
        bias[None],
    )


@jax.custom_vjp
def _embedded(
    embedding: Float[Array, "9 8"], places: Float[Array, "50 8 hidden"]
) -> Float[Array, "50 9 hidden"]:
    """``Σ_d embedding[v, d] · places[p, d]``: written out, a CPU makes one pass of it."""
    terms = [column[:, None] * places[:, None, d] for d, column in enumerate(embedding.T)]
    return sum(terms[1:], terms[0])


def _embedded_forward(
    embedding: Float[Array, "9 8"], places: Float[Array, "50 8 hidden"]
) -> tuple[Float[Array, "50 9 hidden"], tuple[Array, Array]]:
    return _embedded(embedding, places), (embedding, places)


def _embedded_backward(
    saved: tuple[Float[Array, "9 8"], Float[Array, "50 8 hidden"]],
    gradient: Float[Array, "50 9 hidden"],
) -> tuple[Float[Array, "9 8"], Float[Array, "50 8 hidden"]]:
    embedding, places = saved
    terms = [row[:, None] * gradient[:, None, v] for v, row in enumerate(embedding)]
    of_embedding = jnp.sum(jnp.einsum("pvh,pdh->pvd", gradient, places), axis=0)
    return of_embedding, sum(terms[1:], terms[0])


_embedded.defvjp(_embedded_forward, _embedded_backward)


N_INDICATORS = 464
"""Columns of :func:`indicators`: 8 + 1 + 50·9 + 1, and 4 empty ones that align rows in memory."""


def indicators(obs: Observation) -> Float[Array, "*batch 464"]:
    """An observation as the rows of a table that it selects: act, session number, history, bias."""
    dtype = obs.session_number.dtype
    act = jax.nn.one_hot(obs.client_action, N_OCTANTS, dtype=dtype)
    history = jax.nn.one_hot(obs.history, N_HISTORY_ACTS, dtype=dtype)
    history = history.reshape(*history.shape[:-2], HISTORY_SIZE * N_HISTORY_ACTS)
    columns = [act, obs.session_number, history, jnp.ones((*act.shape[:-1], 1), dtype)]
    empty = N_INDICATORS - sum(x.shape[-1] for x in columns)
    return jnp.concatenate([*columns, jnp.zeros((*act.shape[:-1], empty), dtype)], axis=-1)


def as_matrix(table: Table) -> Float[Array, "464 hidden"]:
    """``indicators(obs) @ as_matrix(table)`` are the sums."""
    empty = N_INDICATORS - sum(len(x) for x in table)
    return jnp.concatenate([*table, jnp.zeros((empty, table.act.shape[1]), table.act.dtype)])


def from_matrix(matrix: Float[Array, "464 hidden"]) -> Table:
    """The inverse of :func:`as_matrix`."""
    n_session = N_OCTANTS + 1
    n_history = n_session + HISTORY_SIZE * N_HISTORY_ACTS
    parts = jnp.split(matrix, [N_OCTANTS, n_session, n_history, n_history + 1])
    return Table(*parts[:4])


@jax.custom_vjp
def select(table: Table, obs: Observation) -> Float[Array, "*batch hidden"]:
    """``indicators(obs) @ as_matrix(table)`` without the product: the sum of 52 selected rows."""
    act = table.act[obs.client_action]
    return _sum_of_history(table.history, obs.history) + (
        act + obs.session_number * table.session[0] + table.bias[0]
    )


def _select_forward(
    table: Table, obs: Observation
) -> tuple[Float[Array, "*batch hidden"], Observation]:
    return select(table, obs), obs


def _select_backward(
    obs: Observation, gradient: Float[Array, "*batch hidden"]
) -> tuple[Table, None]:
    gradient = gradient.reshape(-1, gradient.shape[-1])
    obs = obs._replace(
        client_action=obs.client_action.reshape(-1),
        session_number=obs.session_number.reshape(-1, 1),
        history=obs.history.reshape(-1, HISTORY_SIZE),
    )
    if len(gradient) >= LARGE_BATCH:
        return from_matrix(indicators(obs).T @ gradient), None
    few = [
        jax.nn.one_hot(obs.client_action, N_OCTANTS, dtype=obs.session_number.dtype),
        obs.session_number,
        jnp.ones_like(obs.session_number),
    ]
    sums = jnp.concatenate(few, axis=1).T @ gradient
    act, session, bias = jnp.split(sums, [N_OCTANTS, N_OCTANTS + 1])
    return Table(act, session, _sum_by_history(obs.history, gradient), bias), None


select.defvjp(_select_forward, _select_backward)


@custom_vmap
def _sum_of_history(
    rows: Float[Array, "450 hidden"], history: Int8[Array, "*batch 50"]
) -> Float[Array, "*batch hidden"]:
    """The sum of the 50 rows that each history selects."""
    first = N_HISTORY_ACTS * jnp.arange(HISTORY_SIZE, dtype=jnp.int32)
    selected = (first + history).reshape(-1, HISTORY_SIZE)
    n_parts = min(MAX_PARTS, max(1, len(selected) // ROWS_AT_ONCE))

    def sums(part: Array) -> Array:
        ends = HISTORY_SIZE * jnp.arange(len(part) + 1, dtype=jnp.int32)
        return _sparse(part.reshape(-1), ends, len(rows), rows)

    parts = jnp.array_split(selected, n_parts)
    return jnp.concatenate([*map(sums, parts)]).reshape(*history.shape[:-1], rows.shape[1])


@_sum_of_history.def_vmap
def _sums_of_histories(
    axis_size: int, batched: list[bool], rows: Array, history: Array
) -> tuple[Array, bool]:
    """Many histories are one product; of many tables each has its own."""
    if not batched[0]:
        return _sum_of_history(rows, history), True
    return _one_after_another(_sum_of_history, batched, rows, history), True


@custom_vmap
def _sum_by_history(
    history: Int8[Array, "n 50"], gradient: Float[Array, "n hidden"]
) -> Float[Array, "450 hidden"]:
    """For each row of a table the sum over those that selected it: the transposed product."""
    n = len(history)
    assert n * N_HISTORY_ACTS <= 2**15, "keys of more rows need another type"
    row = jnp.arange(n, dtype=jnp.int16)[:, None]
    # Unique, and ordered as the table's rows are: by act and then by number.
    keys = n * history.astype(jnp.int16) + row
    acts = jnp.arange(N_HISTORY_ACTS, dtype=jnp.int16)[:, None]
    place = jnp.arange(HISTORY_SIZE, dtype=jnp.int32)
    order = jnp.zeros((HISTORY_SIZE, n), jnp.int32)
    order = order.at[place, _count_below(keys, keys)].set(
        row.astype(jnp.int32), unique_indices=True, mode="promise_in_bounds"
    )
    starts = n * place + _count_below(keys, n * acts)
    ends = jnp.append(starts.T.reshape(-1), n * HISTORY_SIZE).astype(jnp.int32)
    return _sparse(order.reshape(-1), ends, n, gradient)


def _count_below(
    keys: Int16[Array, "n 50"], bounds: Int16[Array, " m #50"]
) -> Int16[Array, "m 50"]:
    """How many of a place's keys are less than each bound: with 64 rows in a quarter of the time of
    sorting, whose branches are mispredicted half the time."""
    none = jnp.zeros((len(bounds), keys.shape[1]), jnp.int16)

    def count(counts: Array, key: Array) -> tuple[Array, None]:
        return counts + (key < bounds).astype(jnp.int16), None

    counts, _ = jax.lax.scan(count, none, keys, unroll=COMPARED_AT_ONCE)
    return counts


@_sum_by_history.def_vmap
def _sums_by_history(
    axis_size: int, batched: list[bool], history: Array, gradient: Array
) -> tuple[Array, bool]:
    return _one_after_another(_sum_by_history, batched, history, gradient), True


def _one_after_another(
    function: Callable[..., Array], batched: list[bool], *arguments: Array
) -> Array:
    by_row = [x for x, has_rows in zip(arguments, batched, strict=True) if has_rows]

    def one(rows: list[Array]) -> Array:
        row = iter(rows)
        chosen = zip(arguments, batched, strict=True)
        return function(*(next(row) if has_rows else x for x, has_rows in chosen))

    return jax.lax.map(one, by_row)


def _sparse(
    columns: Array, ends: Array, n_columns: int, dense: Float[Array, "columns hidden"]
) -> Float[Array, "rows hidden"]:
    """A matrix of zeros and ones, in rows of ``columns`` between ``ends``, times a dense one."""
    ones = jnp.ones(columns.shape, dense.dtype)
    shape = (len(ends) - 1, n_columns)
    matrix = BCSR((ones, columns, ends), shape=shape, indices_sorted=True, unique_indices=True)
    product: Array = matrix @ dense
    return product
