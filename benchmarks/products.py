"""The matrix products of an update and nothing else: what the update phase could take at best."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxtherapy.client.octants import N_OCTANTS
from jaxtherapy.config.settings import PPO
from jaxtherapy.networks import N_FEATURES

Weights = list[Float[Array, "n_in n_out"]]


def make_weights(ppo: PPO) -> list[Weights]:
    """Linear layers of actor and critic."""
    hidden, key = ppo.hidden_size, jax.random.key(0)

    def network(n_out: int) -> Weights:
        shapes = [(N_FEATURES, hidden), (hidden, hidden), (hidden, n_out)]
        return [0.05 * jax.random.normal(key, shape) for shape in shapes]

    return [network(N_OCTANTS), network(1)]


def there_and_back(rows: Float[Array, "batch n"], weights: Weights) -> tuple[Array, Weights]:
    """Three products forward, six backward; a trace of each result, so that none is left out."""
    inputs = [rows]
    for layer in weights:
        inputs.append(inputs[-1] @ layer)
    gradient, moved = inputs.pop(), []
    for layer, given in zip(reversed(weights), reversed(inputs), strict=True):
        moved.append(layer + 1e-12 * (given.T @ gradient))
        gradient = gradient @ layer.T
    return rows + 1e-12 * gradient, moved[::-1]


def own_products(ppo: PPO, rows: Array, networks: list[Weights]) -> tuple[Array, list[Weights]]:
    """The products of all gradient steps of one update, one after the other."""

    def step(carry: tuple[Array, list[Weights]], _: None) -> tuple[tuple[Array, list], None]:
        rows, networks = carry
        moved = []
        for weights in networks:
            rows, weights = there_and_back(rows, weights)
            moved.append(weights)
        return (rows, moved), None

    return jax.lax.scan(step, (rows, networks), length=ppo.gradient_steps_per_update)[0]


def make_products(ppo: PPO) -> partial:
    """A compiled function without arguments."""
    rows = jnp.ones((ppo.batch_size, N_FEATURES))
    networks = make_weights(ppo)
    return partial(jax.jit(partial(own_products, ppo)), rows, networks)
