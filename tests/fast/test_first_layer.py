"""The first layer as a look-up: the same sums and gradients as embedding and multiplying."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtherapy.fast.first_layer import (
    LARGE_BATCH,
    ROWS_AT_ONCE,
    Table,
    as_matrix,
    from_matrix,
    indicators,
    make_table,
    select,
)
from tests.observations import observations

WIDTH = 6


def numbers(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def weights(seed):
    shapes = ((8, 16), (9, 8), (417, WIDTH), (WIDTH,))
    return tuple(numbers((seed, i), *shape) for i, shape in enumerate(shapes))


def table_of(seed):
    return make_table(*weights(seed), jax.lax.Precision.HIGHEST)


def embedded_and_multiplied(weights, obs):
    """What the table is a short cut for."""
    act, past, kernel, bias = weights
    history = past[obs.history.astype(jnp.int32)]
    history = history.reshape(*history.shape[:-2], 400)
    features = jnp.concatenate([act[obs.client_action], obs.session_number, history], axis=-1)
    return jnp.matmul(features, kernel, precision="highest") + bias


def with_gradient(way, weight):
    """Compiled: its gradient and what it returns."""

    def total(given):
        result = way(given)
        return jnp.sum(result * weight), result

    return jax.jit(jax.grad(total, has_aux=True))


def assert_close(ours, theirs):
    chex.assert_trees_all_close(ours, theirs, rtol=1e-4, atol=1e-4)


BATCHES = [(), (1,), (5, 3), (2, 0), (64,), (ROWS_AT_ONCE * 2 - 1,), (LARGE_BATCH + 1,)]


@pytest.mark.parametrize("batch", BATCHES, ids=str)
def test_selected_rows_are_the_layer_and_so_is_their_gradient(batch):
    obs, weight = observations(12, *batch), numbers(0, *batch, WIDTH)

    def by_table(weights):
        return select(make_table(*weights, jax.lax.Precision.HIGHEST), obs)

    def embedded(weights):
        return embedded_and_multiplied(weights, obs)

    ours, theirs = (with_gradient(way, weight)(weights(1)) for way in (by_table, embedded))
    assert ours[1].shape == (*batch, WIDTH)
    assert_close(ours, theirs)


@pytest.mark.parametrize("batch", BATCHES, ids=str)
def test_selecting_is_the_product_with_indicators(batch):
    obs, table, weight = observations(13, *batch), table_of(2), numbers(1, *batch, WIDTH)

    def product(table):
        return jnp.matmul(indicators(obs), as_matrix(table), precision="highest")

    ways = (lambda table: select(table, obs)), product
    ours, theirs = (with_gradient(way, weight)(table) for way in ways)
    assert_close(ours, theirs)


def test_a_matrix_and_back():
    table = table_of(3)
    again = from_matrix(as_matrix(table))
    assert isinstance(again, Table)
    jax.tree.map(np.testing.assert_array_equal, again, table)


@pytest.mark.parametrize("axes", [(None, 0), (0, None), (0, 0)], ids=str)
def test_batched_by_vmap(axes):
    """Many observations of one table, many tables (seeds), or both: each as if alone."""
    obs = observations(14, 4, 5) if axes[1] == 0 else observations(14, 5)
    table = jax.tree.map(lambda *x: jnp.stack(x), *map(table_of, range(4)))
    table = table if axes[0] == 0 else table_of(0)
    weight = numbers(2, 5, WIDTH)

    def both(table, obs):
        return select(table, obs), jax.grad(lambda t: jnp.sum(select(t, obs) * weight))(table)

    batched, both = jax.jit(jax.vmap(both, axes))(table, obs), jax.jit(both)
    for i in range(4):
        one = [
            jax.tree.map(lambda x, i=i: x[i], x) if axis == 0 else x
            for x, axis in zip((table, obs), axes, strict=True)
        ]
        assert_close(jax.tree.map(lambda x, i=i: x[i], batched), both(*one))


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="a GPU multiplies instead")
@pytest.mark.filterwarnings("error::jax.experimental.sparse.util.SparseEfficiencyWarning")
def test_a_cpu_has_a_kernel_for_it():
    """Else the same numbers come a hundred times slower, and nobody is told."""
    obs = observations(15, 5)

    def both(table):
        return jax.grad(lambda t: jnp.sum(select(t, obs)))(table), select(table, obs)

    program = jax.jit(both).lower(table_of(0)).compile().as_text()
    assert program.count('custom_call_target="cpu_csr_sparse_dense_ffi"') == 2
