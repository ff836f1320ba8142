"""The simulated client once more, as plainly as it can be said.

Written from the model's specification and not from ``jaxtherapy``, of which nothing is imported:
NumPy, float64, loops. Slow on purpose; the tests hold the JAX functions against it.
"""

import math
from dataclasses import dataclass, field

import numpy as np

D, WD, W, WS, S, CS, C, CD = range(8)
COMPLEMENT = [4, 3, 2, 1, 0, 7, 6, 5]
ANTICOMPLEMENT = {D: D, S: S, WD: CD, CD: WD, W: C, C: W, WS: CS, CS: WS}

PATTERN_NAMES = [
    "cold_stuck",
    "dominant_stuck",
    "submissive_stuck",
    "cold_warm",
    "complementary_perfect",
    "conflictual",
    "mixed_random",
]


@dataclass
class Settings:
    mechanism: str = "frequency_amplifier"
    threshold: float = 0.9
    max_sessions: int = 100
    entropy: float = 0.5
    bond_alpha: float = 5.0
    bond_offset: float = 0.7
    history_weight: float = 1.0
    bond_power: float = 1.0
    smoothing: float = 0.1
    recency_ratio: float = 2.0
    enable_parataxic: bool = True
    baseline_accuracy: float = 0.5
    dropout_session: int = 10
    success_reward: float = 100.0
    reward_per_session_saved: float = 2.0
    dropout_reward: float = -150.0


@dataclass
class Therapy:
    """One client with its therapist; ``session`` moves it on, everything else looks at it."""

    u: np.ndarray
    memory: list[tuple[int, int]]
    settings: Settings = field(default_factory=Settings)
    counter: int = 0
    enacted: list[tuple[int, int]] = field(default_factory=list)
    success: bool = False
    dropout: bool = False

    def __post_init__(self):
        self.u = [[float(cell) for cell in row] for row in self.u]
        self.memory = [(int(client), int(therapist)) for client, therapist in self.memory]
        self.lowest = min(min(row) for row in self.u)
        self.highest = max(max(row) for row in self.u)
        ratio = self.settings.recency_ratio
        raw = [1 + (ratio - 1) * math.sqrt(i / 49) for i in range(50)]
        self.weights = [w / sum(raw) for w in raw]
        self.initial_rs = self.rs()

    def weighted_memory(self):
        return zip(self.weights, self.memory, strict=True)

    def rs(self):
        return sum(
            w * self.u[client][therapist] for w, (client, therapist) in self.weighted_memory()
        )

    def bond(self):
        width = self.highest - self.lowest
        # The specification divides by the range; of a matrix without one, no share is satisfied.
        share = (self.rs() - self.lowest) / width if width > 0 else 0.0
        x = 2 * self.settings.bond_alpha * (share - self.settings.bond_offset)
        return 1 / (1 + math.exp(-x)) if x > 0 else math.exp(x) / (1 + math.exp(x))

    def rs_threshold(self):
        return self.lowest + self.settings.threshold * (self.highest - self.lowest)

    def frequencies(self):
        """P(j), for every own act alike."""
        shares = [0.0] * 8
        for w, (_, therapist) in self.weighted_memory():
            shares[therapist] += w
        return [shares] * 8

    def conditional_frequencies(self):
        """P(j given i)."""
        table = []
        for i in range(8):
            counts = [self.settings.smoothing] * 8
            for w, (client, therapist) in self.weighted_memory():
                if client == i:
                    counts[therapist] += w
            # Without smoothing, an act never shown says nothing: the limit of ever less smoothing.
            total = sum(counts)
            table.append([count / total if total > 0 else 1 / 8 for count in counts])
        return table

    def adjusted_utilities(self):
        settings = self.settings
        if settings.mechanism == "bond_only":
            f, k = [[0.0] * 8] * 8, 0.0
        elif settings.mechanism == "frequency_amplifier":
            f, k = self.frequencies(), settings.history_weight
        elif settings.mechanism == "conditional_amplifier":
            f, k = self.conditional_frequencies(), settings.history_weight
        elif settings.mechanism == "bond_weighted_frequency_amplifier":
            f, k = self.frequencies(), self.bond() ** settings.bond_power * settings.history_weight
        elif settings.mechanism == "bond_weighted_conditional_amplifier":
            f = self.conditional_frequencies()
            k = self.bond() ** settings.bond_power * settings.history_weight
        else:
            raise ValueError(settings.mechanism)
        return [[self.u[i][j] * (1 + k * f[i][j]) for j in range(8)] for i in range(8)]

    def expected_payoffs(self):
        position = self.bond() * 7
        below = min(math.floor(position), 6)
        payoffs = []
        for row in self.adjusted_utilities():
            ascending = sorted(row)
            step = ascending[below + 1] - ascending[below]
            payoffs.append(ascending[below] + (position - below) * step)
        return np.array(payoffs)

    def probabilities(self):
        payoffs = self.expected_payoffs()
        odds = np.exp((payoffs - payoffs.max()) / self.settings.entropy)
        return odds / odds.sum()

    def habitual_act(self):
        """The most frequent therapist act of the newest 15; a tie goes to the most recent."""
        recent = [therapist for _, therapist in self.memory[-15:]]
        most = max(recent.count(act) for act in recent)
        for act in reversed(recent):
            if recent.count(act) == most:
                return act
        raise AssertionError

    def hear(self, therapist_act, accurately):
        if accurately or not self.settings.enable_parataxic:
            return therapist_act
        return self.habitual_act()

    def session(self, client_act, therapist_act, accurately):
        """One session; returns the act as heard."""
        heard = self.hear(therapist_act, accurately)
        self.memory = [*self.memory[1:], (client_act, heard)]
        self.enacted.append((client_act, therapist_act))
        self.counter += 1
        rs = self.rs()
        self.success = rs >= self.rs_threshold()
        self.dropout = self.counter == self.settings.dropout_session and rs < self.initial_rs
        return heard

    def terminated(self):
        return self.success or self.dropout

    def truncated(self):
        return self.counter >= self.settings.max_sessions and not self.terminated()

    def reward(self):
        if self.dropout:
            return self.settings.dropout_reward
        if self.success:
            saved = self.settings.max_sessions - self.counter
            return self.settings.success_reward + self.settings.reward_per_session_saved * saved
        return 0

    def session_number(self):
        return self.counter / self.settings.max_sessions

    def history(self):
        acts = [act for pair in self.enacted[-25:] for act in pair]
        return acts + [8] * (50 - len(acts))


def draw_pair(rng, pattern, exact=False):
    """One remembered (client, therapist) pair of a pattern, by the rule that defines it."""

    def one_of(acts):
        return int(rng.choice(acts))

    if pattern == "cold_warm":
        return C, W
    if pattern == "conflictual":
        return D, D
    if pattern == "mixed_random":
        return one_of(range(8)), one_of(range(8))
    if pattern == "complementary_perfect":
        which = rng.random()
        if which < 0.7:
            client = one_of([WD, W, WS])
        elif which < 0.9:
            client = one_of([D, S])
        else:
            client = one_of([CS, C, CD])
        return client, COMPLEMENT[client]
    pool, answers = {
        "cold_stuck": ([CS, C, CD], [WD, W, WS]),
        "dominant_stuck": ([D, WD, CD], [D, WD, CD]),
        "submissive_stuck": ([WS, S, CS], [WS, S, CS]),
    }[pattern]
    client = one_of(pool) if rng.random() < 0.8 else one_of(range(8))
    if client not in pool:
        return client, one_of(range(8))
    return client, ANTICOMPLEMENT[client] if exact else one_of(answers)
