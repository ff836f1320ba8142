"""Work that the algorithm asks for, from shapes alone; what a program really does may differ.

FLOPs count the matrix products of the networks and nothing else. A linear layer with ``w`` weights
costs ``2·w`` per row forward, and twice that backward (gradients of its input and of its weights):

* rollout: ``2 · actor · rows``
* advantages: ``2 · critic · (rows + n_envs)``
* update: ``6 · (actor + critic) · rows · n_epochs``

Bytes count what has to move if every array is read and written once where it is used and caches
hold nothing in between:

* rollout: per session, the clients read and written, the transition written, the actor read
* advantages: the observations and the critic read, five numbers per row written
* update: per gradient step, weights and two moments read and written, gradients written and read,
  weights read twice more (forward, backward), and its rows read
"""

from typing import NamedTuple

import jax
from jaxtyping import PyTree

from jaxtherapy.client.octants import N_OCTANTS
from jaxtherapy.config.settings import PPO
from jaxtherapy.networks import N_FEATURES


class Work(NamedTuple):
    """Of one update of one seed."""

    flops: float
    bytes: float


def layer_weights(ppo: PPO) -> tuple[int, int]:
    """Weights of the linear layers (no biases, no embeddings) of actor and critic.

    A shared trunk counts for the actor.
    """
    hidden = ppo.hidden_size
    trunk = N_FEATURES * hidden + hidden**2
    return trunk + hidden * N_OCTANTS, (0 if ppo.shared_trunk else trunk) + hidden


def nbytes(tree: PyTree) -> int:
    """Of all arrays of a tree, keys included."""
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))


def work(ppo: PPO, dyads: PyTree, rollout: PyTree, obs: PyTree) -> dict[str, Work]:
    """FLOPs and bytes of each phase, for the clients, the transitions and the observations."""
    actor, critic = layer_weights(ppo)
    rows = ppo.steps_per_update
    weights = 4 * (actor + critic)
    row_bytes = nbytes(obs) / rows + 5 * 4
    return {
        "rollout": Work(
            2 * actor * rows,
            ppo.n_steps * (2 * nbytes(dyads) + 4 * actor) + nbytes(rollout),
        ),
        "advantages": Work(2 * critic * (rows + ppo.n_envs), 4 * critic + row_bytes * rows),
        "update": Work(
            6 * (actor + critic) * rows * ppo.n_epochs,
            10 * weights * ppo.gradient_steps_per_update + row_bytes * rows * ppo.n_epochs,
        ),
    }
