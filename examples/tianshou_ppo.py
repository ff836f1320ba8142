"""Tianshou 2's PPO trains a therapist: ``python -m examples.tianshou_ppo``."""

from typing import Any

import gymnasium
import numpy as np
import torch
from tianshou.algorithm import PPO
from tianshou.algorithm.modelfree.reinforce import ProbabilisticActorPolicy
from tianshou.algorithm.optim import AdamOptimizerFactory
from tianshou.data import Collector, VectorReplayBuffer
from tianshou.env import BaseVectorEnv
from tianshou.trainer import OnPolicyTrainerParams
from tianshou.utils.net.common import Net
from tianshou.utils.net.discrete import DiscreteActor, DiscreteCritic
from torch.distributions import Categorical

ID = "jaxtherapy.gym:jaxtherapy/Therapy-v0"
FIRST_STEPS = {"patterns": ["cold_stuck"], "threshold": 0.6}


class Clients(BaseVectorEnv):
    """Gymnasium's vector environment as one of Tianshou, for collectors that count steps.

    Ours begins the next therapy in the step that ends one; Tianshou asks for it with ``reset``.
    ``returns`` has what each therapy paid, in the order in which they ended.
    """

    def __init__(self, num_envs: int, seed: int, **settings: Any) -> None:
        self.envs = gymnasium.make_vec(ID, num_envs, flat=True, **settings)
        self.env_num, self.is_async, self.is_closed = num_envs, False, False
        self.returns: list[float] = []
        self._now = self.envs.reset(seed=seed)[0]

    def get_env_attr(self, key: str, id: Any = None) -> list[Any]:
        single = f"single_{key}" if key.endswith("_space") else key
        return [getattr(self.envs, single, None) for _ in self._wrap_id(id)]

    def reset(self, env_id: Any = None, **kwargs: Any) -> tuple[np.ndarray, np.ndarray]:
        ids = self._wrap_id(env_id)
        return self._now[ids], np.array([{} for _ in ids])

    def step(self, action: Any, id: Any = None) -> tuple[np.ndarray, ...]:
        self._now, rewards, terminated, truncated, told = self.envs.step(action)
        seen, over = self._now.copy(), terminated | truncated
        for i in np.flatnonzero(over):
            seen[i] = told["final_obs"][i]
            self.returns.append(float(rewards[i]))  # paid at the end, or never
        infos = np.array([{"env_id": i} for i in range(self.env_num)])
        return seen, rewards, terminated, truncated, infos

    def seed(self, seed: Any = None) -> list[Any]:
        return [seed] * self.env_num

    def close(self) -> None:
        self.envs.close()
        self.is_closed = True


def train(n_steps: int, seed: int = 0, num_envs: int = 256, rollout: int = 25) -> list[float]:
    """What each therapy paid while PPO learned."""
    torch.manual_seed(seed)
    clients = Clients(num_envs, seed, **FIRST_STEPS)
    shape = clients.envs.single_observation_space.shape
    body = {"state_shape": shape, "hidden_sizes": [64, 64]}
    actor = DiscreteActor(preprocess_net=Net(**body), action_shape=8, softmax_output=False)
    ppo = PPO(
        policy=ProbabilisticActorPolicy(
            actor=actor,
            dist_fn=lambda logits: Categorical(logits=logits),
            action_space=clients.envs.single_action_space,
            observation_space=clients.envs.single_observation_space,
            action_scaling=False,
            action_bound_method=None,
        ),
        critic=DiscreteCritic(preprocess_net=Net(**body)),
        optim=AdamOptimizerFactory(lr=1e-3),
        gamma=0.995,
        ent_coef=0.005,
        max_grad_norm=0.5,
        max_batchsize=num_envs * rollout,
        return_scaling=True,
    )
    size = num_envs * rollout
    params = OnPolicyTrainerParams(
        training_collector=Collector(ppo, clients, VectorReplayBuffer(size, num_envs)),
        max_epochs=1,
        epoch_num_steps=n_steps,
        collection_step_num_env_steps=size,
        update_step_num_repetitions=4,
        batch_size=640,
        show_progress=False,
        verbose=False,
    )
    ppo.run_training(params)
    return clients.returns


if __name__ == "__main__":
    returns = train(500_000)
    third = len(returns) // 3
    print(f"mean reward: {np.mean(returns[:third]):.1f}, at last {np.mean(returns[-third:]):.1f}")
