"""The same two layers for each of the therapist's acts: what is learned of one holds for all."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jaxtherapy.client.octants import N_OCTANTS
from jaxtherapy.envs.observations.consequences import Consequences
from jaxtherapy.errors import ConfigError
from jaxtherapy.networks.encoders import Encoder
from jaxtherapy.networks.layers import Precision, linear


class ActByAct(Encoder):
    """Of each act, which one it is, and the therapy → ``hidden_size`` features, an eighth each.

    ``hidden_size`` has to be a multiple of 8.
    """

    reads = Consequences

    def __init__(self, hidden_size: int, view: Any, precision: Precision, rngs: nnx.Rngs) -> None:
        if hidden_size % N_OCTANTS:
            raise ConfigError(
                f"hidden_size {hidden_size} is no multiple of {N_OCTANTS}, which the encoder "
                "consequences needs; change it, or set encoder to flat"
            )
        n_act, n_therapy = view.acts.shape[-1], view.therapy.shape[-1]
        n_each = hidden_size // N_OCTANTS
        self.act = linear(n_act + N_OCTANTS, 2 * n_each, 2**0.5, precision, rngs)
        self.therapy = linear(n_therapy, 2 * n_each, 2**0.5, precision, rngs)
        self.second = linear(2 * n_each, n_each, 2**0.5, precision, rngs)

    def __call__(self, view: Consequences) -> Float[Array, "*batch hidden"]:
        """Features of a batch of views (any leading axes)."""
        which = jnp.broadcast_to(jnp.eye(N_OCTANTS), (*view.acts.shape[:-1], N_OCTANTS))
        acts = self.act(jnp.concatenate([view.acts, which], axis=-1))
        first = nnx.relu(acts + self.therapy(view.therapy)[..., None, :])
        features = nnx.relu(self.second(first))
        return features.reshape(*features.shape[:-2], N_OCTANTS * features.shape[-1])


make = ActByAct
