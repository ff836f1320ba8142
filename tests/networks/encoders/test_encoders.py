"""What holds of every encoder with every view that it can read; more: ``test_choices.py``."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxtherapy.client.dyad import counted, hold_session, intakes
from jaxtherapy.client.params import ClientParams
from jaxtherapy.config.settings import PPO
from jaxtherapy.envs.observations import VIEWS
from jaxtherapy.networks.actor_critic import make_networks
from jaxtherapy.networks.encoders import ENCODERS

HIDDEN, N = 8, 6

# An encoder reads the views that name it; the flat one reads all.
PAIRS = sorted(
    {*((view.encoder, name) for name, view in VIEWS.items())} | {("flat", v) for v in VIEWS}
)

every_pair = pytest.mark.parametrize(("encoder", "view"), PAIRS)


@pytest.fixture(scope="module")
def dyads():
    """After one session."""

    @jax.jit
    def after_one():
        first = jax.vmap(counted)(intakes(jax.random.key(0), ClientParams(), jnp.arange(N)))
        return jax.vmap(lambda dyad: hold_session(jax.random.key(1), dyad, 2, ClientParams()))(
            first
        )

    return after_one()


def seen_by(view, dyads):
    return jax.vmap(lambda dyad: VIEWS[view].observe(dyad, ClientParams()))(dyads)


def make(encoder, seen):
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), seen)
    return ENCODERS[encoder](HIDDEN, shapes, "float32", nnx.Rngs(0))


@pytest.mark.parametrize("name", ENCODERS)
def test_every_encoder_is_one_documented_file(name):
    module = importlib.import_module(f"jaxtherapy.networks.encoders.{name}")
    assert module.__doc__
    assert module.make is ENCODERS[name]
    assert any(name == encoder for encoder, _ in PAIRS), "no view names it: it is never tested"


@every_pair
def test_every_encoder_tells_dyads_apart(encoder, view, dyads):
    seen = seen_by(view, dyads)
    features = np.asarray(make(encoder, seen)(seen))
    assert len(np.unique(features.round(5), axis=0)) > 1


@every_pair
def test_every_encoder_starts_as_its_key_says_in_every_network(encoder, view, dyads):
    seen = seen_by(view, dyads)
    ppo = PPO(hidden_size=HIDDEN, actor_view=view, critic_view=view, encoder=encoder)
    one, same, other = (make_networks(ppo, jax.random.key(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.actor(seen), same.actor(seen))
    assert np.any(one.critic(seen) != other.critic(seen))
