"""Actor and critic: an encoder and a head each, of the view that each has."""

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from jaxtherapy.client.dyad import counted, intake
from jaxtherapy.client.octants import N_OCTANTS
from jaxtherapy.client.params import ClientParams
from jaxtherapy.config.settings import PPO
from jaxtherapy.envs.observations import VIEWS, View
from jaxtherapy.errors import ConfigError
from jaxtherapy.fast.promotion import ordinary
from jaxtherapy.networks.encoders import ENCODERS, Encoder
from jaxtherapy.networks.layers import Precision, linear


class _Network(nnx.Module):
    """An encoder, and a head that reads its features."""

    preprocess: Encoder

    @ordinary
    def __call__(self, obs: PyTree) -> Float[Array, "..."]:
        """Of a batch of views (any leading axes)."""
        return self.head(self.preprocess(obs))

    def prepared(self) -> Callable[[PyTree], Float[Array, "..."]]:
        """The same function, for many views and the same weights."""
        features = self.preprocess.prepared()
        return lambda obs: self.head(features(obs))

    def head(self, features: Float[Array, "*batch hidden"]) -> Float[Array, "..."]:
        """From the encoder's features."""
        raise NotImplementedError


class Actor(_Network):
    """The therapist's policy: logits over its eight octants."""

    def __init__(
        self, preprocess: Encoder, hidden_size: int, precision: Precision, rngs: nnx.Rngs
    ) -> None:
        self.preprocess = preprocess
        # A small gain: the untrained therapist is close to uniform.
        self.output_layer = linear(hidden_size, N_OCTANTS, 0.01, precision, rngs)

    def head(self, features: Float[Array, "*batch hidden"]) -> Float[Array, "*batch 8"]:
        """Logits of the therapist's acts."""
        return self.output_layer(features).astype(jnp.float32)


class Critic(_Network):
    """The value of what is seen, in units of the running standard deviation of returns."""

    def __init__(
        self, preprocess: Encoder, hidden_size: int, precision: Precision, rngs: nnx.Rngs
    ) -> None:
        self.preprocess = preprocess
        self.output_layer = linear(hidden_size, 1, 1.0, precision, rngs)

    def head(self, features: Float[Array, "*batch hidden"]) -> Float[Array, "*batch"]:
        """Values."""
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
    ppo = PPO(hidden_size=hidden_size, shared_trunk=shared_trunk, precision=precision)
    networks = _make_networks(ppo, rngs)
    return networks.actor, networks.critic


def make_networks(ppo: PPO, key: PRNGKeyArray) -> ActorCritic:
    """The actor-critic of these settings with the initial weights that belong to ``key``. Raises
    ConfigError: actor and critic share a trunk but not a view, or an encoder can't read one."""
    return _make_networks(ppo, nnx.Rngs(params=key))


def _make_networks(ppo: PPO, rngs: nnx.Rngs) -> ActorCritic:
    if ppo.shared_trunk and ppo.actor_view != ppo.critic_view:
        raise ConfigError(
            "shared_trunk: true needs one view for both, but "
            f"actor_view is {ppo.actor_view} and critic_view is {ppo.critic_view}"
        )
    precision: Any = ppo.precision

    def encoder(name: str) -> Encoder:
        view = VIEWS[name]
        chosen, shape = view.encoder if ppo.encoder == "auto" else ppo.encoder, _shape_of(view)
        encoder: Encoder = ENCODERS[chosen](ppo.hidden_size, shape, precision, rngs)
        if not isinstance(shape, encoder.reads):
            raise ConfigError(
                f"encoder {chosen} can't read the view {name}; set encoder to auto, or to flat, "
                "which reads them all"
            )
        return encoder

    # The order decides which weights a key gives.
    trunk = encoder(ppo.actor_view)
    actor = Actor(trunk, ppo.hidden_size, precision, rngs)
    critic_trunk = trunk if ppo.shared_trunk else encoder(ppo.critic_view)
    return ActorCritic(actor, Critic(critic_trunk, ppo.hidden_size, precision, rngs))


@cache
def _shape_of(view: View) -> PyTree:
    """What a single dyad looks like."""
    key, params = jax.random.key(0), ClientParams()
    return jax.eval_shape(lambda key: view.observe(counted(intake(key, params)), params), key)


def with_weights(ppo: PPO, params: PyTree) -> ActorCritic:
    """The actor-critic with given weights; nothing is computed to build it."""
    return nnx.merge(_structure(ppo), params)


def param_shapes(ppo: PPO) -> PyTree:
    """Shapes and dtypes of the parameters, to read weights into."""
    return nnx.state(_shapes(ppo), nnx.Param)


@cache
def _structure(ppo: PPO) -> nnx.GraphDef[ActorCritic]:
    return nnx.graphdef(_shapes(ppo))


@cache
def _shapes(ppo: PPO) -> ActorCritic:
    networks: ActorCritic = nnx.eval_shape(lambda: make_networks(ppo, jax.random.key(0)))
    return networks
