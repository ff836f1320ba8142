"""Rows made a few at a time are those of making all rows and selecting."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxtherapy.fast.row_replacement import replace_rows

N = 7
ROWS = {
    "number": np.arange(N, dtype=np.float32),
    "matrix": np.ones((N, 2, 3), np.int8),
    "flag": np.zeros(N, bool),
}


def make_rows(index):
    """Every row tells which index it was made for."""
    return {
        "number": 100.0 + index,
        "matrix": jnp.broadcast_to(index[:, None, None] + 10, (len(index), 2, 3)).astype(jnp.int8),
        "flag": jnp.ones(len(index), bool),
    }


@partial(jax.jit, static_argnums=1)
def replace(needed, slots):
    return replace_rows(needed, make_rows, ROWS, slots)


@partial(jax.jit, static_argnums=1)
def replace_batch(needed, slots):
    return jax.vmap(lambda one: replace_rows(one, make_rows, ROWS, slots))(needed)


def make_all_and_select(needed):
    index = np.arange(N)
    return {
        "number": np.where(needed, 100 + index, ROWS["number"]),
        "matrix": np.where(needed[:, None, None], index[:, None, None] + 10, ROWS["matrix"]),
        "flag": needed,
    }


def assert_rows_equal(ours, expected):
    assert ours.keys() == expected.keys()
    for name, rows in ours.items():
        assert rows.dtype == ROWS[name].dtype
        np.testing.assert_array_equal(rows, expected[name])


masks = st.lists(st.booleans(), min_size=N, max_size=N).map(np.array)
any_slots = st.sampled_from([1, 3, N + 5])


@pytest.mark.parametrize("slots", [1, 2, 3, N, N + 5])
@pytest.mark.parametrize("needed", [np.zeros(N, bool), np.ones(N, bool)], ids=["none", "all"])
def test_none_and_all(needed, slots):
    assert_rows_equal(replace(needed, slots), make_all_and_select(needed))


@given(masks, any_slots)
def test_any_rows(needed, slots):
    assert_rows_equal(replace(needed, slots), make_all_and_select(needed))


@settings(max_examples=40)
@given(st.lists(masks, min_size=3, max_size=3), any_slots)
def test_under_vmap(masks_of_three, slots):
    """Batch members take different numbers of rounds; those that are done must not change."""
    needed = np.stack(masks_of_three)
    ours = replace_batch(needed, slots)
    for i in range(3):
        assert_rows_equal(jax.tree.map(lambda x, i=i: x[i], ours), make_all_and_select(needed[i]))


def test_no_more_rows_are_made_than_rounds_need():
    """What the loop is for: three rows two at a time are two rounds, none needed is no round."""
    rounds = []

    def counting(index):
        jax.debug.callback(lambda: rounds.append(1))
        return make_rows(index)

    run = jax.jit(lambda needed: replace_rows(needed, counting, ROWS, 2))
    for n_needed, expected in ((0, 0), (3, 2), (N, 4)):
        rounds.clear()
        jax.block_until_ready(run(np.arange(N) < n_needed))
        jax.effects_barrier()
        assert len(rounds) == expected
