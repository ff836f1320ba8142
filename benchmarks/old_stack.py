"""The old side, run by the Python that has PyTorch and Tianshou; prints one number as JSON.

``old_stack.py environment --seconds 3``    steps per second of one client, random therapist
``old_stack.py training --steps 5120``      steps per second of Tianshou's trainer, no evaluation
``old_stack.py quick_test``                 the quick test, evaluated after every update
"""

import argparse
import json
import time
from dataclasses import dataclass

import numpy as np
import torch
from tianshou.data import Collector, VectorReplayBuffer
from tianshou.env import DummyVectorEnv
from tianshou.policy import PPOPolicy
from tianshou.trainer import OnpolicyTrainer

from benchmarks.old_client import OldClient
from tests.torch.old_stack import make_policy


@dataclass
class Setting:
    """What the old stack is asked to train; the defaults of both stacks."""

    n_envs: int = 8
    n_steps: int = 64
    batch_size: int = 64
    n_epochs: int = 10
    hidden_size: int = 256
    max_sessions: int = 100
    total_steps: int = 5120
    eval_episodes: int = 0
    eval_clients: int = 100

    @property
    def steps_per_update(self) -> int:
        """Of all clients."""
        return self.n_envs * self.n_steps

    @property
    def updates(self) -> int:
        """Until all steps are done."""
        return -(-self.total_steps // self.steps_per_update)

    @property
    def trained_steps(self) -> int:
        """Whole updates."""
        return self.updates * self.steps_per_update


QUICK_TEST = Setting(
    n_envs=2,
    n_steps=32,
    batch_size=32,
    n_epochs=5,
    hidden_size=128,
    max_sessions=50,
    total_steps=10_000,
    eval_episodes=100,
)


def environment_rate(seconds: float) -> float:
    """Steps per second with resets, a random therapist."""
    client, rng = OldClient(), np.random.default_rng(0)
    client.reset(seed=0)
    start, steps = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        for act in rng.integers(8, size=100):
            _, _, terminated, truncated, _ = client.step(int(act))
            if terminated or truncated:
                client.reset()
        steps += 100
    return steps / (time.perf_counter() - start)


def collector(policy: PPOPolicy, setting: Setting, n_envs: int, buffered: bool) -> Collector:
    """Clients in one process, as Tianshou's examples have cheap environments."""
    clients = DummyVectorEnv(
        [lambda: OldClient(max_sessions=setting.max_sessions) for _ in range(n_envs)]
    )
    clients.seed(0)
    rollout = VectorReplayBuffer(n_envs * setting.n_steps, n_envs) if buffered else None
    return Collector(policy, clients, rollout)


def train(setting: Setting) -> float:
    """Seconds of Tianshou's own trainer; evaluated after every update if at all."""
    torch.manual_seed(0)
    policy = make_policy(setting.hidden_size)
    evaluated = setting.eval_episodes > 0
    training = collector(policy, setting, setting.n_envs, buffered=True)
    training.reset()
    trainer = OnpolicyTrainer(
        policy=policy,
        max_epoch=setting.updates if evaluated else 1,
        batch_size=setting.batch_size,
        train_collector=training,
        test_collector=collector(policy, setting, setting.eval_clients, False)
        if evaluated
        else None,
        step_per_epoch=setting.steps_per_update if evaluated else setting.trained_steps,
        repeat_per_collect=setting.n_epochs,
        episode_per_test=max(1, setting.eval_episodes),
        step_per_collect=setting.steps_per_update,
        verbose=False,
        show_progress=False,
        test_in_train=False,
    )
    start = time.perf_counter()
    trainer.run()
    return time.perf_counter() - start


def main() -> None:
    """Measures one thing."""
    parser = argparse.ArgumentParser("old_stack.py", description=__doc__)
    parser.add_argument("what", choices=("environment", "training", "quick_test"))
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--eval-episodes", type=int, default=QUICK_TEST.eval_episodes)
    arguments = parser.parse_args()
    if arguments.what == "environment":
        value = environment_rate(arguments.seconds)
    elif arguments.what == "training":
        setting = Setting(total_steps=arguments.steps or Setting.total_steps)
        train(Setting(total_steps=1))  # Numba compiles
        value = setting.trained_steps / train(setting)
    else:
        QUICK_TEST.total_steps = arguments.steps or QUICK_TEST.total_steps
        QUICK_TEST.eval_episodes = arguments.eval_episodes
        value = train(QUICK_TEST)
    print(json.dumps({"value": value, "threads": torch.get_num_threads()}))


if __name__ == "__main__":
    main()
