"""The stack that jaxtherapy replaces: its networks in PyTorch, trained by Tianshou 1.2's PPO.

What it is here for: its ``state_dict()`` has the keys of the ``policy_*.pth`` files, so it decides
whether those files load where users hold on to them, and it is what benchmarks compare against.
Written for that purpose from the description of the network and of the algorithm.
"""

from typing import Any

import gymnasium
import numpy as np
import torch
from tianshou.policy import PPOPolicy
from torch import nn
from torch.distributions import Categorical

OCTANTS = 8
PLACES = 50  # of the history: 25 sessions of two acts
EMPTY_PLACE = 8  # a ninth act, for places not filled yet
ACT_FEATURES = 16
HISTORY_FEATURES = 8
FEATURES = ACT_FEATURES + 1 + PLACES * HISTORY_FEATURES

# A batch of observations: client_action (n,), session_number (n, 1), history (n, 50).
Observation = Any


class Preprocess(nn.Module):
    """The trunk: embeds an observation, then two hidden layers."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.client_action_embed = nn.Embedding(OCTANTS, ACT_FEATURES)
        self.history_embed = nn.Embedding(EMPTY_PLACE + 1, HISTORY_FEATURES)
        self.mlp = nn.Sequential(
            nn.Linear(FEATURES, hidden_size),
            nn.ReLU(),
            nn.Linear(hidden_size, hidden_size),
            nn.ReLU(),
        )

    def forward(self, observation: Observation) -> torch.Tensor:
        device = self.client_action_embed.weight.device
        act = torch.as_tensor(observation["client_action"], dtype=torch.long, device=device)
        past = torch.as_tensor(observation["history"], dtype=torch.long, device=device)
        session = torch.as_tensor(observation["session_number"], dtype=torch.float32, device=device)
        features = [
            self.client_action_embed(act.flatten()),
            session.reshape(-1, 1),
            self.history_embed(past).flatten(start_dim=1),
        ]
        return self.mlp(torch.cat(features, dim=1))


class Actor(nn.Module):
    """Logits of the therapist's acts. The signature of ``forward`` is Tianshou's."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.preprocess = Preprocess(hidden_size)
        self.output_layer = nn.Linear(hidden_size, OCTANTS)

    def forward(
        self, obs: Observation, state: Any = None, info: Any = None
    ) -> tuple[torch.Tensor, Any]:
        return self.output_layer(self.preprocess(obs)), state


class Critic(nn.Module):
    """The value of an observation, (n, 1)."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.preprocess = Preprocess(hidden_size)
        self.output_layer = nn.Linear(hidden_size, 1)

    def forward(self, obs: Observation, **kwargs: Any) -> torch.Tensor:
        return self.output_layer(self.preprocess(obs))


def categorical(logits: torch.Tensor) -> Categorical:
    return Categorical(logits=logits)


def observation_space() -> gymnasium.spaces.Dict:
    return gymnasium.spaces.Dict(
        client_action=gymnasium.spaces.Discrete(OCTANTS),
        session_number=gymnasium.spaces.Box(0.0, 1.0, (1,), np.float32),
        history=gymnasium.spaces.MultiDiscrete([EMPTY_PLACE + 1] * PLACES),
    )


def make_policy(
    hidden_size: int = 256,
    *,
    learning_rate: float = 3e-4,
    gamma: float = 0.99,
    gae_lambda: float = 0.95,
    clip_range: float = 0.2,
    ent_coef: float = 0.01,
    vf_coef: float = 0.5,
    max_grad_norm: float | None = 0.5,
    device: str = "cpu",
) -> PPOPolicy:
    """Networks, Adam and PPO with the project's defaults.

    The minibatch size and the number of epochs are arguments of ``policy.update`` and of Tianshou's
    trainers (``batch_size=64``, ``repeat_per_collect=10``).
    """
    actor = Actor(hidden_size).to(device)
    critic = Critic(hidden_size).to(device)
    parameters = [*actor.parameters(), *critic.parameters()]  # numbered thus in Adam's state
    return PPOPolicy(
        actor=actor,
        critic=critic,
        optim=torch.optim.Adam(parameters, lr=learning_rate, eps=1e-8),
        dist_fn=categorical,
        action_space=gymnasium.spaces.Discrete(OCTANTS),
        observation_space=observation_space(),
        action_scaling=False,
        action_bound_method=None,
        discount_factor=gamma,
        gae_lambda=gae_lambda,
        eps_clip=clip_range,
        ent_coef=ent_coef,
        vf_coef=vf_coef,
        max_grad_norm=max_grad_norm,
        value_clip=True,
        advantage_normalization=True,
        reward_normalization=True,  # values are in units of the running deviation of returns
        deterministic_eval=False,  # evaluation samples its acts
    )
