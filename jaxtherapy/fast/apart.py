"""Actor and critic learning on a device each.

Without a shared trunk they have the same layers and learn the same rows, each from its own part
of the loss; all that joins them is the norm that their gradients are clipped by. Two cores of a CPU
share small products poorly: with a network on each, both are busy.

The functions here run on every device along the mesh axis ``NETWORKS`` (``shard_map``). Devices
run one program, so the critic's head gets the actor's shape; what is added stays zero.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, PyTree

from jaxtherapy.ppo.optimizer import Packed, pack, unpack

NETWORKS = "networks"
"""The mesh axis: its first device has the actor, its second the critic."""


def has_actor() -> Bool[Array, ""]:
    """Whether this device's network is the actor."""
    return jax.lax.axis_index(NETWORKS) == 0


def own(tree: PyTree) -> PyTree:
    """This device's network of each actor-critic in a tree, packed: weights, or moments of
    gradients."""

    def one(actor: Array, critic: Array) -> Array:
        missing = [(0, a - c) for a, c in zip(actor.shape, critic.shape, strict=True)]
        return jnp.where(has_actor(), actor, jnp.pad(critic, missing))

    return _in_pairs(lambda pair: pack(jax.tree.map(one, pair["actor"], pair["critic"])), tree)


def together(networks: PyTree, like: PyTree) -> PyTree:
    """The inverse of :func:`own`, the same on both devices; ``like`` tells the shapes."""

    def both(pair: Any, network: Packed) -> Any:
        gathered = jax.lax.all_gather(network, NETWORKS)
        actor, critic = (
            unpack(jax.tree.map(lambda x, i=i: x[i], gathered), pair["actor"]) for i in range(2)
        )
        critic = jax.tree.map(lambda x, y: x[tuple(map(slice, y.shape))], critic, pair["critic"])
        leaves = [*jax.tree.leaves(actor), *jax.tree.leaves(critic)]
        return jax.tree.unflatten(jax.tree.structure(pair), leaves)

    return _in_pairs(both, like, networks)


def global_norm(gradients: PyTree) -> Float[Array, ""]:
    """Of both networks' gradients."""
    squares = sum(jnp.sum(jnp.square(x)) for x in jax.tree.leaves(gradients))
    return jnp.sqrt(jax.lax.psum(squares, NETWORKS))


def _in_pairs(function: Callable[..., Any], tree: PyTree, *others: PyTree) -> PyTree:
    """Applies a function to each actor-critic in a tree and leaves everything else."""

    def is_pair(x: Any) -> bool:
        return isinstance(x, nnx.State) and set(x) == {"actor", "critic"}

    def one(x: Any, *others: Any) -> Any:
        return function(x, *others) if is_pair(x) else (others[0] if others else x)

    return jax.tree.map(one, tree, *others, is_leaf=is_pair)
