"""Running mean and variance: however the values arrive, the result is that of all at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxtherapy.ppo.running_statistics import RunningStatistics, merge, nothing_seen, statistics_of

N = 12

merged = jax.jit(
    lambda values, where: merge(statistics_of(values, where), statistics_of(values, ~where))
)
of_all = jax.jit(statistics_of)

values_list = st.lists(
    st.floats(-1000, 1000, width=32, allow_subnormal=False), min_size=N, max_size=N
)
masks = st.lists(st.booleans(), min_size=N, max_size=N)


@given(values_list, masks)
def test_two_batches_merge_to_the_whole(values, where):
    """Also where one of the two is empty."""
    values = np.array(values, np.float32)
    result = merged(values, np.array(where))
    scale = np.abs(values).max() + 1e-6
    assert result.count == N
    np.testing.assert_allclose(result.mean, values.mean(dtype=float), atol=1e-5 * scale)
    np.testing.assert_allclose(result.std, values.std(dtype=float), rtol=1e-4, atol=1e-3 * scale)


@given(values_list, masks)
def test_only_the_selected_count(values, where):
    values, where = np.array(values, np.float32), np.array(where)
    # What is masked out may be anything: the reward of a session that ended nothing, even NaN.
    result = of_all(np.where(where, values, np.nan), where)
    assert result.count == where.sum()
    chosen = values[where].astype(float)
    scale = np.abs(values).max() + 1e-6
    expected = (chosen.mean(), chosen.std()) if where.any() else (0, 0)
    np.testing.assert_allclose(result.mean, expected[0], atol=1e-5 * scale)
    np.testing.assert_allclose(result.std, expected[1], rtol=1e-4, atol=1e-3 * scale)


def test_many_batches_far_from_zero_merge_to_the_whole():
    """Sums of squares would lose all digits here: the mean is 1000 times the spread."""
    rng = np.random.default_rng(0)
    batches = rng.normal(1000, 1, (50, 64)).astype(np.float32)
    total = jax.lax.scan(lambda m, x: (merge(m, statistics_of(x)), None), nothing_seen(), batches)[
        0
    ]
    assert total.count == batches.size
    np.testing.assert_allclose(total.mean, batches.mean(dtype=float), rtol=1e-6)
    np.testing.assert_allclose(total.std, batches.std(dtype=float), rtol=1e-3)


def test_values_of_any_shape():
    values = jnp.arange(12.0).reshape(3, 4)
    np.testing.assert_allclose(statistics_of(values).variance, values.var(), rtol=1e-6)


def test_nothing_seen():
    empty = nothing_seen()
    assert (empty.count, empty.mean, empty.variance, empty.std) == (0, 0, 0, 0)
    assert merge(empty, empty) == empty
    seen = RunningStatistics(jnp.float32(3), jnp.float32(2), jnp.float32(6))
    assert merge(empty, seen) == seen
    assert merge(seen, empty) == seen


@pytest.mark.parametrize("value", [-150.0, 0.0, 298.0])
def test_one_value_has_no_spread(value):
    one = statistics_of(jnp.array([value]))
    assert (one.count, one.mean, one.std) == (1, value, 0)
