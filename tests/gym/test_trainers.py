"""PPO of others learns on our environments, from first_steps.yaml's clients."""

import time
from pathlib import Path

import gymnasium
import numpy as np
import pytest

import jaxtherapy as jt
from examples import rejax_ppo, stable_baselines3_ppo, tianshou_ppo

CONFIG = Path(__file__).parents[2] / "configs/first_steps.yaml"
SECONDS = 60
"""Of one core, that a trainer may take."""


def standard_error(*samples):
    return np.sqrt(sum(np.var(each) / len(each) for each in samples))


@pytest.fixture(scope="module")
def random_rewards():
    envs = gymnasium.make_vec("jaxtherapy.gym:jaxtherapy/Therapy-v0", 256, config=CONFIG)
    envs.reset(seed=1)
    rng, rewards = np.random.default_rng(0), []
    for _ in range(150):
        _, paid, terminated, truncated, _ = envs.step(rng.integers(0, 8, 256))
        rewards += paid[terminated | truncated].tolist()
    return rewards


def test_the_examples_clients_are_those_of_first_steps():
    config = jt.load_config(CONFIG)
    told = {"patterns": list(config.patterns), "threshold": config.threshold}
    assert told == stable_baselines3_ppo.FIRST_STEPS == tianshou_ppo.FIRST_STEPS
    default = jt.TrainingConfig()
    same = ("max_sessions", "entropy", "mechanism", "dropout_reward", "baseline_accuracy")
    assert all(getattr(config, name) == getattr(default, name) for name in same)


@pytest.mark.parametrize(
    ("example", "steps"), [(stable_baselines3_ppo, 130_000), (tianshou_ppo, 90_000)]
)
def test_the_last_third_of_a_training_beats_random_acts(example, steps, random_rewards):
    start = time.process_time()
    returns = example.train(steps)
    assert time.process_time() - start < SECONDS
    last = returns[-(len(returns) // 3) :]
    gained = np.mean(last) - np.mean(random_rewards)
    assert len(last) > 100 and gained > 3 * standard_error(last, random_rewards)


def test_rejax_learns():
    first, *_, last = rejax_ppo.train(128_000)
    assert np.mean(last) - np.mean(first) > 3 * standard_error(first, last)
