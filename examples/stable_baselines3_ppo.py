"""Stable-Baselines3's PPO trains a therapist: ``python -m examples.stable_baselines3_ppo``.

A few clients need none of this: ``make_vec_env("jaxtherapy.gym:jaxtherapy/Therapy-v0", n_envs=8)``.
Here hundreds are simulated in one call, by ``gymnasium.make_vec``, as a ``VecEnv``.
"""

from typing import Any

import gymnasium
import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecEnv

ID = "jaxtherapy.gym:jaxtherapy/Therapy-v0"
FIRST_STEPS = {"patterns": ["cold_stuck"], "threshold": 0.6}


class Clients(VecEnv):
    """Gymnasium's vector environment as a ``VecEnv``; both reset in the same step.

    ``returns`` has what each therapy paid, in the order in which they ended.
    """

    def __init__(self, num_envs: int, **settings: Any) -> None:
        self.envs = gymnasium.make_vec(ID, num_envs, flat=True, **settings)
        self.returns: list[float] = []
        super().__init__(
            num_envs, self.envs.single_observation_space, self.envs.single_action_space
        )

    def reset(self) -> np.ndarray:
        return self.envs.reset(seed=self._seeds[0])[0]

    def step_async(self, actions: np.ndarray) -> None:
        self.actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        seen, rewards, terminated, truncated, told = self.envs.step(self.actions)
        over, infos = terminated | truncated, [{} for _ in rewards]
        for i in np.flatnonzero(over):
            last = told["final_obs"][i]
            infos[i] = {"terminal_observation": last, "TimeLimit.truncated": bool(truncated[i])}
            self.returns.append(float(rewards[i]))  # paid at the end, or never
        return seen, rewards, over, infos

    def close(self) -> None:
        self.envs.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self.envs, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise NotImplementedError("all clients share their settings")

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> Any:
        raise NotImplementedError("clients have no methods of their own")

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False for _ in self._get_indices(indices)]


def train(n_steps: int, seed: int = 0) -> list[float]:
    """What each therapy paid while PPO learned."""
    clients = Clients(256, **FIRST_STEPS)
    clients.seed(seed)
    ppo = PPO(
        "MlpPolicy",
        clients,
        learning_rate=1e-3,
        n_steps=25,
        batch_size=640,
        n_epochs=4,
        gamma=0.995,
        ent_coef=0.005,
        policy_kwargs={"net_arch": [64, 64]},
        seed=seed,
        device="cpu",
    )
    ppo.learn(n_steps)
    return clients.returns


if __name__ == "__main__":
    returns = train(500_000)
    third = len(returns) // 3
    print(f"mean reward: {np.mean(returns[:third]):.1f}, at last {np.mean(returns[-third:]):.1f}")
