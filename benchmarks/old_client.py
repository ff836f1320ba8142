"""The simulated client as users of the old stack have it: plain NumPy behind Gymnasium's interface.

Written from the description of the model, one client at a time, in the way such environments are
usually written: arrays where they are natural, no loop over what NumPy can do at once, nothing
compiled. ``tests/benchmarks`` holds it against the oracle. Imports nothing of jaxtherapy.
"""

import json
from collections import deque
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

OCTANTS = 8
MEMORY = 50
HISTORY = 25
WINDOW = 15
DROPOUT_SESSION = 10
MATRICES = Path(__file__).parents[1] / "jaxtherapy" / "client" / "utility_matrices.json"
STUCK = {
    "cold_stuck": ([5, 6, 7], [1, 2, 3]),
    "dominant_stuck": ([0, 1, 7], [0, 1, 7]),
    "submissive_stuck": ([3, 4, 5], [3, 4, 5]),
}
DEFAULT_PATTERNS = ("cold_stuck", "dominant_stuck", "submissive_stuck", "mixed_random", "cold_warm")


def recency_weights(ratio: float = 2.0) -> np.ndarray:
    """Of the 50 memories, oldest first."""
    raw = 1 + (ratio - 1) * np.sqrt(np.arange(MEMORY) / (MEMORY - 1))
    return raw / raw.sum()


def draw_memory(rng: np.random.Generator, pattern: str) -> list[tuple[int, int]]:
    """50 remembered (client, therapist) pairs."""
    if pattern == "cold_warm":
        return [(6, 2)] * MEMORY
    client = rng.integers(OCTANTS, size=MEMORY)
    therapist = rng.integers(OCTANTS, size=MEMORY)
    if pattern in STUCK:
        pool, answers = STUCK[pattern]
        from_pool = rng.random(MEMORY) < 0.8
        client = np.where(from_pool, rng.choice(pool, MEMORY), client)
        therapist = np.where(np.isin(client, pool), rng.choice(answers, MEMORY), therapist)
    elif pattern != "mixed_random":
        raise ValueError(pattern)
    return list(zip(client.tolist(), therapist.tolist(), strict=True))


class OldClient(gymnasium.Env):
    """One client at a time; ``reset`` brings a new one. Mechanism: frequency amplifier."""

    def __init__(
        self,
        patterns: tuple[str, ...] = DEFAULT_PATTERNS,
        threshold: float = 0.9,
        max_sessions: int = 100,
        entropy: float = 0.5,
        bond_alpha: float = 5.0,
        bond_offset: float = 0.7,
        history_weight: float = 1.0,
        baseline_accuracy: float = 0.5,
    ) -> None:
        bounds = json.loads(MATRICES.read_text())
        self.u_min, self.u_max = np.array(bounds["u_min"]), np.array(bounds["u_max"])
        self.patterns, self.threshold, self.max_sessions = patterns, threshold, max_sessions
        self.entropy, self.history_weight = entropy, history_weight
        self.bond_alpha, self.bond_offset = bond_alpha, bond_offset
        self.baseline_accuracy = baseline_accuracy
        self.weights = recency_weights()
        self.action_space = gymnasium.spaces.Discrete(OCTANTS)
        self.observation_space = gymnasium.spaces.Dict(
            client_action=gymnasium.spaces.Discrete(OCTANTS),
            session_number=gymnasium.spaces.Box(0.0, 1.0, (1,), np.float32),
            history=gymnasium.spaces.MultiDiscrete([OCTANTS + 1] * (2 * HISTORY)),
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """A new client, and what it does first."""
        super().reset(seed=seed)
        rng = self.np_random
        self.begin(
            rng.uniform(self.u_min, self.u_max),
            draw_memory(rng, str(rng.choice(self.patterns))),
        )
        self.client_act = self.act()
        return self.observation(), {}

    def begin(self, u: np.ndarray, memory: list[tuple[int, int]]) -> None:
        """The client with these utilities and this memory."""
        self.u = np.asarray(u, float)
        self.low, self.high = self.u.min(), self.u.max()
        self.memory = deque(memory, maxlen=MEMORY)
        self.enacted: deque[tuple[int, int]] = deque(maxlen=HISTORY)
        self.time = 0
        self.rs = self.initial_rs = self.satisfaction()

    def satisfaction(self) -> float:
        """RS: the recency-weighted mean utility of what is remembered."""
        pairs = np.array(self.memory)
        return float(self.weights @ self.u[pairs[:, 0], pairs[:, 1]])

    def bond(self) -> float:
        """How much the client trusts."""
        share = (self.rs - self.low) / (self.high - self.low)
        return float(1 / (1 + np.exp(-2 * self.bond_alpha * (share - self.bond_offset))))

    def expected_payoffs(self) -> np.ndarray:
        """What the client expects of each of its acts."""
        heard = np.array(self.memory)[:, 1]
        frequencies = np.bincount(heard, weights=self.weights, minlength=OCTANTS)
        ascending = np.sort(self.u * (1 + self.history_weight * frequencies), axis=1)
        position = self.bond() * (OCTANTS - 1)
        below = min(int(position), OCTANTS - 2)
        step = ascending[:, below + 1] - ascending[:, below]
        return ascending[:, below] + (position - below) * step

    def probabilities(self) -> np.ndarray:
        """Of its next act."""
        payoffs = self.expected_payoffs()
        odds = np.exp((payoffs - payoffs.max()) / self.entropy)
        return odds / odds.sum()

    def act(self) -> int:
        """What it does next."""
        return int(self.np_random.choice(OCTANTS, p=self.probabilities()))

    def habitual_act(self) -> int:
        """The therapist act heard most of late; a tie goes to the most recent."""
        recent = [therapist for _, therapist in self.memory][-WINDOW:]
        counts = np.bincount(recent, minlength=OCTANTS)
        most = counts.max()
        return next(act for act in reversed(recent) if counts[act] == most)

    def respond(self, action: int, accurately: bool) -> tuple[float, bool, bool]:
        """A session up to its outcome: reward, terminated, truncated."""
        heard = action if accurately else self.habitual_act()
        self.memory.append((self.client_act, heard))
        self.enacted.append((self.client_act, action))
        self.time += 1
        self.rs = self.satisfaction()
        if self.time == DROPOUT_SESSION and self.rs < self.initial_rs:
            return -150.0, True, False
        if self.rs >= self.low + self.threshold * (self.high - self.low):
            return 100.0 + 2.0 * (self.max_sessions - self.time), True, False
        return 0.0, False, self.time >= self.max_sessions

    def step(self, action: int) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """A session, and the client's next act if it stays."""
        accurately = self.np_random.random() < self.baseline_accuracy
        reward, terminated, truncated = self.respond(int(action), accurately)
        if not (terminated or truncated):
            self.client_act = self.act()
        return self.observation(), reward, terminated, truncated, {}

    def observation(self) -> dict[str, Any]:
        """What the therapist sees."""
        history = np.full(2 * HISTORY, OCTANTS, np.int64)
        if self.enacted:
            history[: 2 * len(self.enacted)] = np.array(self.enacted).reshape(-1)
        return {
            "client_action": self.client_act,
            "session_number": np.array([self.time / self.max_sessions], np.float32),
            "history": history,
        }
