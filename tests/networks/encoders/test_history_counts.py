"""The trunk that is told of all exchanges."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxtherapy.config.settings import PPO
from jaxtherapy.envs.observations.history_counts import CountedObservation
from jaxtherapy.errors import ConfigError
from jaxtherapy.networks.actor_critic import make_networks
from jaxtherapy.networks.encoders.history_counts import HistoryAndCounts
from tests.observations import observations


@pytest.fixture(scope="module")
def net():
    return HistoryAndCounts(8, "float32", nnx.Rngs(0))


def seen(*leading):
    counts = np.random.default_rng(1).random((*leading, 8, 8), np.float32)
    return CountedObservation(observations(0, *leading), counts)


def test_counts_are_added_to_the_first_layers_sums(net):
    view = seen(5)
    sums = net.recent.hidden_1(_embedded(net.recent, view.recent))
    sums += view.counts.reshape(5, 64) @ net.counts.kernel[...] + net.counts.bias[...]
    expected = nnx.relu(net.recent.hidden_2(nnx.relu(sums)))
    np.testing.assert_allclose(net(view), expected, rtol=1e-4, atol=1e-5)


def _embedded(trunk, obs):
    act = trunk.client_action_embed.embedding[...][obs.client_action]
    history = trunk.history_embed.embedding[...][obs.history].reshape(len(act), -1)
    return jnp.concatenate([act, obs.session_number, history], axis=-1)


def test_without_exchanges_it_is_the_ordinary_trunk(net):
    view = seen(5)._replace(counts=np.zeros((5, 8, 8), np.float32))
    np.testing.assert_allclose(net(view), net.recent(view.recent), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("encoder", "view"),
    [("history_counts", "history"), ("history", "omniscient"), ("history", "history_counts")],
)
def test_an_encoder_that_cant_read_a_view_is_refused_in_one_line(encoder, view):
    ppo = PPO(hidden_size=8, critic_view=view, actor_view="history", encoder=encoder)
    with pytest.raises(ConfigError, match=f"encoder {encoder} can't read the view {view}") as told:
        make_networks(ppo, jax.random.key(0))
    assert "\n" not in str(told.value)
