"""The trunk that the PyTorch weights describe, layer for layer."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jaxtherapy.client.dyad import HISTORY_PADDING, HISTORY_SIZE, Observation
from jaxtherapy.client.octants import N_OCTANTS
from jaxtherapy.fast.compiling import on_cpu
from jaxtherapy.fast.first_layer import LARGE_BATCH, Table, first_layer, make_table, select
from jaxtherapy.fast.look_up import look_up
from jaxtherapy.networks.encoders import Encoder
from jaxtherapy.networks.layers import Precision, linear

CLIENT_ACTION_FEATURES = 16
HISTORY_FEATURES = 8
N_HISTORY_FEATURES = HISTORY_SIZE * HISTORY_FEATURES
N_FEATURES = CLIENT_ACTION_FEATURES + 1 + N_HISTORY_FEATURES


class TherapyNet(Encoder):
    """The trunk: what the therapist sees → ``hidden_size`` features.

    Client-act embedding 8→16, session number, history embedding 9→8 at each of 50 places:
    417 numbers, through two ReLU layers.
    """

    reads = Observation

    def __init__(
        self, hidden_size: int = 256, *, precision: Precision = "auto", rngs: nnx.Rngs
    ) -> None:
        normal = nnx.initializers.normal
        self.client_action_embed = nnx.Embed(
            N_OCTANTS, CLIENT_ACTION_FEATURES, embedding_init=normal(1.0), rngs=rngs
        )
        # Small, so that 400 numbers about the past do not drown the 16 about the act to answer:
        # with deviation 1, first_steps needs about twice as many steps to the same success.
        self.history_embed = nnx.Embed(
            HISTORY_PADDING + 1, HISTORY_FEATURES, embedding_init=normal(0.25), rngs=rngs
        )
        self.hidden_1 = linear(N_FEATURES, hidden_size, 2**0.5, precision, rngs)
        self.hidden_2 = linear(hidden_size, hidden_size, 2**0.5, precision, rngs)

    def __call__(self, obs: Observation) -> Float[Array, "*batch hidden"]:
        """Features of a batch of observations (any leading axes)."""
        return self.second(self.first(obs))

    def first(self, obs: Observation) -> Float[Array, "*batch hidden"]:
        """The first layer's sums."""
        if on_cpu() or obs.client_action.size >= LARGE_BATCH:
            layer = self.hidden_1
            return first_layer(self.table(), obs, layer.dtype, layer.precision)
        return self.plain_first(obs)

    def plain(self, obs: Observation) -> Float[Array, "*batch hidden"]:
        """The features, as they are defined."""
        return self.second(self.plain_first(obs))

    def plain_first(self, obs: Observation) -> Float[Array, "*batch hidden"]:
        """The first layer's sums, as they are defined: embeddings, side by side."""
        act = look_up(self.client_action_embed.embedding[...], obs.client_action.astype(jnp.int32))
        history = look_up(self.history_embed.embedding[...], obs.history.astype(jnp.int32))
        history = history.reshape(*history.shape[:-2], N_HISTORY_FEATURES)
        features = jnp.concatenate([act, obs.session_number, history], axis=-1)
        return self.hidden_1(features)

    def prepared(self) -> Callable[[Observation], Float[Array, "*batch hidden"]]:
        """The same function, for many observations and the same weights."""
        first = self.prepared_first()
        return lambda obs: self.second(first(obs))

    def prepared_first(self) -> Callable[[Observation], Float[Array, "*batch hidden"]]:
        """:meth:`first`, for many observations and the same weights."""
        return partial(select, self.table()) if on_cpu() else self.plain_first

    def second(self, hidden: Float[Array, "*batch hidden"]) -> Float[Array, "*batch hidden"]:
        """From the first layer's sums to the features."""
        return nnx.relu(self.hidden_2(nnx.relu(hidden)))

    def table(self) -> Table:
        """Embeddings and first layer as rows to select from."""
        bias = self.hidden_1.bias
        assert bias is not None
        return make_table(
            self.client_action_embed.embedding[...],
            self.history_embed.embedding[...],
            self.hidden_1.kernel[...],
            bias[...],
            self.hidden_1.precision,
        )


def make(hidden_size: int, view: Any, precision: Precision, rngs: nnx.Rngs) -> TherapyNet:
    """See :mod:`jaxtherapy.networks.encoders`."""
    return TherapyNet(hidden_size, precision=precision, rngs=rngs)
