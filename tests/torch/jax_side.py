"""What the JAX side makes of a ``.pth`` file; run by the Python that has JAX.

``jax_side.py FILE.pth OUT.npz``: action probabilities and values for fixed observations, and the
weights after one more Adam step along ``sin(weight)``.
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxtherapy.client.dyad import Observation
from jaxtherapy.config import load_config
from jaxtherapy.config.settings import PPO
from jaxtherapy.devices import layout as devices
from jaxtherapy.devices.programs import initial_state
from jaxtherapy.networks.actor_critic import with_weights
from jaxtherapy.ppo.optimizer import adam
from jaxtherapy.ppo.types import make_settings
from jaxtherapy.storage import policies as weights
from jaxtherapy.storage.progress import Progress
from jaxtherapy.training.start import from_weights


def observations(n: int = 64) -> Observation:
    rng = np.random.default_rng(5)
    return Observation(
        client_action=rng.integers(0, 8, n),
        session_number=rng.uniform(0, 1, (n, 1)).astype(np.float32),
        history=rng.integers(0, 9, (n, 50)),
    )


def main(source: Path, target: Path) -> None:
    pth = weights.read(source)
    config = load_config(None, {"hidden_size": pth.hidden_size, "shared_trunk": pth.shared_trunk})
    ppo, settings = PPO.of(config), make_settings(config)
    state = initial_state(ppo, settings, (0,))
    placed = devices.on_one_device(state)
    state, _ = from_weights(pth, state, Progress(best_reward=[0.0]), placed)
    state = jax.tree.map(lambda x: x[0], state)
    networks = with_weights(ppo, state.params)
    obs = observations()
    results = {
        "probabilities": jax.nn.softmax(networks.actor(obs)),
        "values": networks.critic(obs),
    }
    if pth.adam is not None:
        gradients = jax.tree.map(jnp.sin, state.params)
        rule = adam(settings.hyperparameters.learning_rate)
        updates, _ = rule.update(gradients, state.opt_state, state.params)
        stepped = jax.tree.map(jnp.add, state.params, updates)
        results |= {
            f"stepped/{name}": array for name, array in weights.to_named_arrays(stepped).items()
        }
    np.savez(target, **obs._asdict(), **results)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
