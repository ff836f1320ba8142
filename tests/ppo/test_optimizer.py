"""Adam is Optax's, and packed weights are the same weights."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxtherapy.networks import N_FEATURES
from jaxtherapy.ppo.optimizer import (
    SMALL,
    Packed,
    clip_by_norm,
    map_weights,
    pack,
    scale_by_adam,
    unpack,
)


def numbers(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def weights(seed=0, wide=SMALL // 8):
    return {
        "kernel": numbers((seed, 0), 8, wide),
        "bias": numbers((seed, 1), 5),
        "more": [numbers((seed, 2), 3, 2), numbers((seed, 3), 2, SMALL)],
    }


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e3])
def test_adam_takes_the_steps_of_optax(scale):
    """Gradients of all sizes, some of them always zero, so that ε decides."""
    ours, theirs = scale_by_adam(), optax.scale_by_adam()
    size = numbers(9, 1000) ** 3 * scale * (jnp.arange(1000) % 7 > 0)
    states = ours.init(size), theirs.init(size)
    assert jax.tree.structure(states[0]) == jax.tree.structure(states[1])
    for step in range(200):
        gradient = numbers((9, step), 1000) * size
        found, first = ours.update(gradient, states[0])
        expected, second = theirs.update(gradient, states[1])
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-7)
        chex.assert_trees_all_equal(first, second)
        states = first, second


def test_clipping_is_that_of_optax():
    grads = weights()
    for max_norm in (0.1, 1e6):
        found, _ = clip_by_norm(jnp.float32(max_norm)).update(
            grads, optax.EmptyState(), norm=optax.tree.norm(grads)
        )
        expected, _ = optax.clip_by_global_norm(max_norm).update(grads, optax.EmptyState())
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5), found, expected)


def test_packed_by_hand():
    tree = weights()
    packed = pack(tree)
    assert [x.shape for x in packed.large] == [(8, SMALL // 8), (2, SMALL)]
    np.testing.assert_array_equal(packed.small[:5], tree["bias"])
    np.testing.assert_array_equal(packed.small[5:], tree["more"][0].reshape(-1))


@given(
    st.lists(
        st.lists(st.integers(1, 90), min_size=0, max_size=2).map(tuple), min_size=1, max_size=6
    )
)
def test_packed_and_unpacked_again(shapes):
    tree = {str(i): numbers(i, *shape) for i, shape in enumerate([*shapes, (1,)])}
    packed = pack(tree)
    assert packed.small.size + sum(x.size for x in packed.large) == sum(
        x.size for x in tree.values()
    )
    chex.assert_trees_all_equal(unpack(packed, tree), tree)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="of CPUs")
def test_the_first_layers_history_is_an_array_of_its_own():
    """So that the table is made of it as it is."""
    tree = {"bias": numbers(0, 5), "kernel": numbers(1, N_FEATURES, 64)}
    packed = pack(tree)
    np.testing.assert_array_equal(packed.large[0], tree["kernel"][17:])
    np.testing.assert_array_equal(packed.small[5:], tree["kernel"][:17].reshape(-1))
    chex.assert_trees_all_equal(unpack(packed, tree), tree)
    # No copy of it is made: what is joined and split again is the same array to the compiler.
    again = jax.jit(lambda packed: pack(unpack(packed, tree)).large[0])
    text = again.lower(packed).compile().as_text()
    assert "concatenate" not in text


def test_an_optimisers_moments_are_packed_like_weights():
    tree = weights()
    adam = optax.adam(1e-3)
    state = adam.init(tree)
    packed = map_weights(pack, (tree, state), tree)
    assert isinstance(packed[0], Packed)
    assert jax.tree.structure(packed[1]) == jax.tree.structure(adam.init(packed[0]))
    again = map_weights(lambda x: unpack(x, tree), packed, packed[0])
    chex.assert_trees_all_equal(again, (tree, state))
