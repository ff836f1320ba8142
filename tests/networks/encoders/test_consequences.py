"""The same two layers for each act, in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxtherapy.envs.observations.consequences import Consequences
from jaxtherapy.errors import ConfigError
from jaxtherapy.networks.encoders.consequences import ActByAct

SHAPES = Consequences(jax.ShapeDtypeStruct((8, 3), "f4"), jax.ShapeDtypeStruct((5,), "f4"))


@pytest.mark.parametrize("batch", [(), (3,), (3, 2), (0,)])
def test_each_act_goes_through_two_layers_beside_the_therapy(batch):
    net = ActByAct(16, SHAPES, "float32", nnx.Rngs(0))
    rng = np.random.default_rng(0)
    seen = Consequences(*(jnp.asarray(rng.normal(size=(*batch, *x.shape)), "f4") for x in SHAPES))

    def through(layer, x):
        return x @ np.asarray(layer.kernel[...], float) + layer.bias[...]

    expected = []
    for act in range(8):
        which = np.broadcast_to(np.eye(8)[act], (*batch, 8))
        own = np.concatenate([seen.acts[..., act, :], which], axis=-1)
        first = np.maximum(through(net.act, own) + through(net.therapy, seen.therapy), 0)
        expected.append(np.maximum(through(net.second, first), 0))
    np.testing.assert_allclose(net(seen), np.concatenate(expected, axis=-1), rtol=1e-4, atol=1e-4)


def test_a_width_that_eight_acts_cannot_share_is_refused():
    with pytest.raises(ConfigError, match="hidden_size 100 is no multiple of 8"):
        ActByAct(100, SHAPES, "float32", nnx.Rngs(0))
