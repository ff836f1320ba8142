"""rejax's PPO, in JAX from end to end, trains a therapist: ``python -m examples.rejax_ppo``."""

import jax
import numpy as np
import rejax

import jaxtherapy as jt


def train(n_steps: int, seed: int = 0) -> np.ndarray:
    """(5, 128) rewards of therapies before PPO learned, and after each quarter of the training."""
    env, clients = jt.make("Therapy-v0", patterns=["cold_stuck"], threshold=0.6)
    ppo = rejax.PPO.create(
        env=jt.Gymnax0Wrapper(env),
        env_params=clients,
        total_timesteps=n_steps,
        eval_freq=n_steps // 4,
        num_envs=256,
        num_steps=25,
        num_minibatches=10,
        num_epochs=4,
        learning_rate=1e-3,
        max_grad_norm=0.5,
        gamma=0.995,
        ent_coef=0.005,
        normalize_rewards=True,
    )
    _, (_, rewards) = jax.jit(ppo.train)(jax.random.key(seed))
    return np.asarray(rewards)


if __name__ == "__main__":
    print("mean reward:", *train(500_000).mean(axis=1).round(1))
