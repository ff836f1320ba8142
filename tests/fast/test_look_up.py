"""Looking up is indexing, and so is its gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtherapy.fast.look_up import look_up

RNG = np.random.default_rng(0)
TABLE = jnp.asarray(RNG.normal(size=(9, 8)), jnp.float32)


@pytest.mark.parametrize("batch", [(), (5,), (4, 5), (0,)], ids=str)
def test_rows_and_gradient_are_those_of_indexing(batch):
    index, weight = jnp.asarray(RNG.integers(0, 9, batch)), RNG.normal(size=(*batch, 8))
    np.testing.assert_array_equal(look_up(TABLE, index), TABLE[index])
    ours = jax.grad(lambda t: jnp.sum(weight * look_up(t, index)))(TABLE)
    plain = jax.grad(lambda t: jnp.sum(weight * t[index]))(TABLE)
    np.testing.assert_allclose(ours, plain, rtol=1e-5, atol=1e-5)


def test_of_many_tables_each_has_its_own_gradient():
    tables = jnp.stack([TABLE, TABLE + 1])
    index = jnp.asarray(RNG.integers(0, 9, (2, 6)))
    gradient = jax.grad(lambda t, i: jnp.sum(look_up(t, i) ** 2))
    many = jax.vmap(gradient)(tables, index)
    for i in range(2):
        np.testing.assert_allclose(many[i], gradient(tables[i], index[i]), rtol=1e-5, atol=1e-5)
