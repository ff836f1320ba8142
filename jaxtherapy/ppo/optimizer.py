"""The parts of the optimiser: clipping, Adam, and weights packed for few operations."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from jaxtherapy.fast.first_layer import selecting_pays
from jaxtherapy.networks import N_FEATURES, N_HISTORY_FEATURES


def clip_by_norm(max_norm: Float[Array, ""]) -> optax.GradientTransformationExtraArgs:
    """``optax.clip_by_global_norm`` for those who know the norm: ``g · min(1, max_norm / ‖g‖)``."""

    def clip(
        updates: PyTree, state: PyTree, params: PyTree = None, *, norm: Float[Array, ""]
    ) -> tuple[PyTree, PyTree]:
        scale = jnp.minimum(1.0, max_norm / norm)
        return jax.tree.map(lambda x: x * scale, updates), state

    return optax.GradientTransformationExtraArgs(optax.init_empty_state, clip)


def scale_by_adam() -> optax.GradientTransformation:
    """``optax.scale_by_adam`` with one division per weight instead of three.

    ``m ← β₁m + (1 − β₁)g``, ``v ← β₂v + (1 − β₂)g²``, and the update is ``m̂ / (√v̂ + ε)``, computed
    in the order of Kingma & Ba (2015), end of section 2: ``c·m / (√v + ε·√(1 − β₂ᵗ))`` with
    ``c = √(1 − β₂ᵗ) / (1 − β₁ᵗ)``; β₁ = 0.9, β₂ = 0.999, ε = 1e-8.
    """
    b1, b2, eps = 0.9, 0.999, 1e-8

    def scale(
        updates: PyTree, state: optax.ScaleByAdamState, params: PyTree = None
    ) -> tuple[PyTree, optax.ScaleByAdamState]:
        mu = optax.tree.update_moment(updates, state.mu, b1, 1)
        nu = optax.tree.update_moment_per_elem_norm(updates, state.nu, b2, 2)
        count = optax.safe_increment(state.count)
        correction = jnp.sqrt(1 - b2**count)
        factor = correction / (1 - b1**count)
        updates = jax.tree.map(lambda m, v: factor * m / (jnp.sqrt(v) + eps * correction), mu, nu)
        return updates, optax.ScaleByAdamState(count, mu, nu)

    return optax.GradientTransformation(optax.scale_by_adam().init, scale)


def clipped_adam(
    learning_rate: Float[Array, ""], max_grad_norm: Float[Array, ""]
) -> optax.GradientTransformationExtraArgs:
    """Adam (ε = 1e-8) behind a clip of the global gradient norm."""
    return optax.chain(
        clip_by_norm(max_grad_norm),
        optax.chain(scale_by_adam(), optax.scale_by_learning_rate(learning_rate)),
    )


def adam_state(opt_state: PyTree) -> optax.ScaleByAdamState:
    """Count and moments within the state of :func:`clipped_adam`."""
    _, (adam, _) = opt_state
    return adam


def with_adam_state(opt_state: PyTree, adam: optax.ScaleByAdamState) -> PyTree:
    """The state of :func:`clipped_adam` with another count and other moments."""
    clip, (_, scale) = opt_state
    return clip, (adam, scale)


SMALL = 8192
"""Arrays with fewer numbers are packed: of those, copying takes less than an operation's start."""


class Packed(NamedTuple):
    """Weights with all small arrays as one: each array costs an optimiser several operations."""

    large: list[Array]
    small: Float[Array, " n"]


def pack(weights: PyTree) -> Packed:
    """Of weights, their gradients or moments; at least one array (a bias, say) is small."""
    parts = [part for x in jax.tree.leaves(weights) for part in _split(x)]
    small = [x.reshape(-1) for x in parts if x.size < SMALL]
    return Packed([x for x in parts if x.size >= SMALL], jnp.concatenate(small))


def unpack(packed: Packed, like: PyTree) -> PyTree:
    """The inverse of :func:`pack`; ``like`` tells the shapes."""
    large, start, leaves = iter(packed.large), 0, []
    for x in jax.tree.leaves(like):
        parts = []
        for part in jax.eval_shape(_split, x):
            if part.size >= SMALL:
                parts.append(next(large))
            else:
                parts.append(packed.small[start : start + part.size].reshape(part.shape))
                start += part.size
        leaves.append(jnp.concatenate(parts) if len(parts) > 1 else parts[0])
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _split(weights: Array) -> list[Array]:
    """Where selecting pays, the history's part of a first layer's weights is an array of its own:
    the table of histories is made of it alone, and would copy it in every step. (Other arrays of as
    many rows are split too, which does no harm.)"""
    if selecting_pays() and weights.shape[:1] == (N_FEATURES,):
        return jnp.split(weights, [N_FEATURES - N_HISTORY_FEATURES])
    return [weights]


def map_weights(function: Callable[[PyTree], PyTree], tree: PyTree, weights: PyTree) -> PyTree:
    """Applies a function to each part of a tree that is built as ``weights`` are: the weights
    themselves, and their moments in an optimiser's state."""
    structure: Any = jax.tree.structure(weights)

    def are_weights(x: Any) -> bool:
        return bool(structure == jax.tree.structure(x))

    return jax.tree.map(lambda x: function(x) if are_weights(x) else x, tree, is_leaf=are_weights)
