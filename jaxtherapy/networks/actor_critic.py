"""Actor and critic: an encoder and a head each, of the view that each has."""

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from jaxtherapy.client.dyad import intake
from jaxtherapy.client.octants import N_OCTANTS
from jaxtherapy.client.params import ClientParams
from jaxtherapy.config.settings import PPO
from jaxtherapy.envs.observations import VIEWS, View
from jaxtherapy.networks.encoders import ENCODERS, Encoder
from jaxtherapy.networks.encoders.history import TherapyNet
from jaxtherapy.networks.layers import Precision, linear


class Actor(nnx.Module):
    """The therapist's policy: logits over its eight octants."""

    def __init__(
        self, preprocess: Encoder, hidden_size: int, precision: Precision, rngs: nnx.Rngs
    ) -> None:
        self.preprocess = preprocess
        # A small gain: the untrained therapist is close to uniform.
        self.output_layer = linear(hidden_size, N_OCTANTS, 0.01, precision, rngs)

    def __call__(self, obs: PyTree) -> Float[Array, "*batch 8"]:
        """Logits of the therapist's acts."""
        return self.logits(self.preprocess(obs))

    def prepared(self) -> Callable[[PyTree], Float[Array, "*batch 8"]]:
        """The same function, where many observations meet the same weights."""
        features = self.preprocess.prepared()
        return lambda obs: self.logits(features(obs))

    def logits(self, features: Float[Array, "*batch hidden"]) -> Float[Array, "*batch 8"]:
        """From the encoder's features."""
        return self.output_layer(features).astype(jnp.float32)


class Critic(nnx.Module):
    """The value of what is seen, in units of the running standard deviation of returns."""

    def __init__(
        self, preprocess: Encoder, hidden_size: int, precision: Precision, rngs: nnx.Rngs
    ) -> None:
        self.preprocess = preprocess
        self.output_layer = linear(hidden_size, 1, 1.0, precision, rngs)

    def __call__(self, obs: PyTree) -> Float[Array, "*batch"]:
        """Values."""
        return self.value(self.preprocess(obs))

    def prepared(self) -> Callable[[PyTree], Float[Array, "*batch"]]:
        """The same function, where many observations meet the same weights."""
        features = self.preprocess.prepared()
        return lambda obs: self.value(features(obs))

    def value(self, features: Float[Array, "*batch hidden"]) -> Float[Array, "*batch"]:
        """From the encoder's features."""
        return self.output_layer(features)[..., 0].astype(jnp.float32)


class ActorCritic(nnx.Module):
    """Both, as one pytree of parameters. With a shared trunk its parameters appear once."""

    def __init__(self, actor: Actor, critic: Critic) -> None:
        self.actor = actor
        self.critic = critic


def make_therapy_networks(
    hidden_size: int = 256,
    *,
    shared_trunk: bool = False,
    precision: Precision = "auto",
    rngs: nnx.Rngs,
) -> tuple[Actor, Critic]:
    """An actor and a critic of the ordinary observation, with a trunk each (175 k parameters at
    256) or one for both."""

    def encoder() -> TherapyNet:
        return TherapyNet(hidden_size, precision=precision, rngs=rngs)

    return _with_heads(hidden_size, precision, rngs, encoder, None if shared_trunk else encoder)


def _with_heads(
    hidden_size: int,
    precision: Precision,
    rngs: nnx.Rngs,
    actor_encoder: Callable[[], Encoder],
    critic_encoder: Callable[[], Encoder] | None,
) -> tuple[Actor, Critic]:
    """Made in an order that decides the initial weights; no encoder of its own: the actor's."""
    trunk = actor_encoder()
    actor = Actor(trunk, hidden_size, precision, rngs)
    critic_trunk = trunk if critic_encoder is None else critic_encoder()
    return actor, Critic(critic_trunk, hidden_size, precision, rngs)


# --- as the settings say ------------------------------------------------------------------------


def make_networks(ppo: PPO, key: PRNGKeyArray) -> ActorCritic:
    """The actor-critic of these settings with the initial weights that belong to ``key``."""
    rngs = nnx.Rngs(params=key)
    precision: Any = ppo.precision

    def encoder(name: str) -> Callable[[], Encoder]:
        view = VIEWS[name]
        make = ENCODERS[view.encoder if ppo.encoder == "auto" else ppo.encoder]
        return lambda: make(ppo.hidden_size, _shape_of(view), precision, rngs)

    critic = None if ppo.shared_trunk else encoder(ppo.critic_view)
    return ActorCritic(
        *_with_heads(ppo.hidden_size, precision, rngs, encoder(ppo.actor_view), critic)
    )


def _shape_of(view: View) -> PyTree:
    """What a single dyad looks like."""
    key, params = jax.random.key(0), ClientParams()
    return jax.eval_shape(lambda key: view.observe(intake(key, params), params), key)


def with_weights(ppo: PPO, params: PyTree) -> ActorCritic:
    """The actor-critic with given weights; nothing is computed to build it."""
    return nnx.merge(_structure(ppo), params)


@cache
def _structure(ppo: PPO) -> nnx.GraphDef[ActorCritic]:
    return nnx.graphdef(_shapes(ppo))


def param_shapes(ppo: PPO) -> PyTree:
    """Shapes and dtypes of the parameters, to read weights into."""
    return nnx.state(_shapes(ppo), nnx.Param)


@cache
def _shapes(ppo: PPO) -> ActorCritic:
    networks: ActorCritic = nnx.eval_shape(lambda: make_networks(ppo, jax.random.key(0)))
    return networks
