"""What comes of a training."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from jaxtherapy.client.therapists import Therapist
from jaxtherapy.config import TrainingConfig
from jaxtherapy.config.settings import PPO
from jaxtherapy.networks.actor_critic import param_shapes
from jaxtherapy.ppo.evaluation import policy_therapist
from jaxtherapy.storage import policies, run_info
from jaxtherapy.storage.progress import Progress
from jaxtherapy.storage.progress_log import ProgressLog
from jaxtherapy.storage.resume import Start
from jaxtherapy.storage.run_files import RunFiles
from jaxtherapy.training import early_stopping

Rows = dict[int, list[dict[str, float]]]
"""The rows of each seed's log."""


@dataclass
class Tally:
    """What all groups of seeds have come to.

    Attributes:
        files: of the whole run; None without a folder.
        best_reward: of each seed that was trained.
        diverged: the seeds that stood still, and from which step.
        seconds, steps: spent training; steps of all seeds together.
        step: that each seed is at; of the last group.
        ended_early: why, if a group did.
    """

    all_seeds: tuple[int, ...]
    files: RunFiles | None
    best_reward: dict[int, float] = field(default_factory=dict)
    diverged: dict[int, int] = field(default_factory=dict)
    seconds: float = 0.0
    steps: int = 0
    step: int = 0
    ended_early: str = ""
    _rows: Rows = field(default_factory=dict)
    _kept: dict[tuple[str, int], PyTree] = field(default_factory=dict)

    @property
    def folder(self) -> Path | None:
        """Where everything is; None where nothing is written."""
        return None if self.files is None else self.files.output

    @property
    def steps_per_second(self) -> float:
        """Of all seeds together."""
        return self.steps / max(self.seconds, 1e-9)

    def count(self, seeds: Sequence[int], progress: Progress, diverged: dict[int, int]) -> None:
        """Adds a group."""
        self.best_reward |= dict(zip(seeds, progress.best_reward, strict=True))
        self.diverged |= diverged
        self.seconds += progress.duration
        self.steps += progress.timed_steps * len(seeds)
        self.step = progress.step
        self.ended_early = self.ended_early or progress.ended_early

    def keep(self, which: str, seeds: Sequence[int], chosen: Iterable[int], params: PyTree) -> None:
        """Weights of seeds (by position), where they are not written: ``best`` or ``final``."""
        here = jax.device_get(params)
        for i in chosen:
            self._kept[which, seeds[i]] = jax.tree.map(lambda x, i=i: x[i].copy(), here)

    def log(self, by_seed: dict[int, dict[str, float]]) -> None:
        """An evaluation, where it is not written."""
        if self.files is None:
            for seed, row in by_seed.items():
                self._rows.setdefault(seed, []).append(row)

    def rows(self) -> Rows:
        """Of each seed that has any."""
        if self.files is None:
            return self._rows
        logs = {seed: ProgressLog(self.files.csv(seed)) for seed in self.best_reward}
        rows = {seed: log.numbers() for seed, log in logs.items()}
        return {seed: each for seed, each in rows.items() if each}

    def weights(self, ppo: PPO, which: str, seed: int) -> PyTree:
        """Of a seed: ``best``, or ``final``, which is the last checkpoint of a run that stopped."""
        if self.files is None:
            return self._kept[which, seed]
        path = self.files.best(seed) if which == "best" else self.files.final(seed)
        if which == "final" and not path.exists():
            path = self.files.checkpoint(seed, self.step)
        return policies.from_named_arrays(policies.read(path).weights, param_shapes(ppo))

    def result(
        self, config: TrainingConfig, status: str, comparison: dict[str, Any] | None
    ) -> "TrainingResult":
        """What came of it all."""
        log = log_arrays(self.rows(), config.n_seeds)
        return TrainingResult(config, status, self.folder, log, comparison, self)


@dataclass(frozen=True)
class TrainingResult:
    """What came of a training.

    Attributes:
        config: in force at the end.
        status: ``finished``; ``interrupted`` by a signal; ``stopped`` by the callback.
        folder: where everything is; None where nothing was written.
        log: every column of the log, (evaluations,), or (seeds, evaluations) of several seeds;
            NaN where a seed has not come so far.
        comparison: the last table: therapists and the mean of each metric; None where it is not
            finished.
    """

    config: TrainingConfig
    status: str
    folder: Path | None
    log: dict[str, np.ndarray]
    comparison: dict[str, Any] | None
    _tally: Tally = field(repr=False)

    def weights(self, which: str = "best", seed: int | None = None) -> PyTree:
        """The parameters of actor and critic: ``best`` or ``final``, of the first seed or another.

        Raises:
            KeyError, RunError: there are none.
        """
        first = self.config.seed if seed is None else seed
        return self._tally.weights(PPO.of(self.config), which, first)

    def therapist(self, which: str = "best", seed: int | None = None) -> Therapist:
        """The trained therapist, to simulate and to evaluate with."""
        return policy_therapist(PPO.of(self.config), self.weights(which, seed))


def nothing_left(
    config: TrainingConfig, starts: Mapping[RunFiles, Start], tally: Tally
) -> TrainingResult | None:
    """What came of a run that has finished already; None where something is left to do.

    The tally knows then why it ended early, if it did.
    """
    if tally.files is None:
        return None
    info = run_info.read(tally.files.run)
    if info.get("status") != "finished" or "comparison" not in info:
        return None
    for files, start in starts.items():
        reached = start.reached
        if not start.in_place or reached is None:
            return None
        early = "" if start.new_yardstick else early_stopping.still(config, reached)
        if not early and reached.step < config.total_timesteps:
            return None
        tally.ended_early = tally.ended_early or early
        tally.best_reward |= dict(zip(files.seeds, reached.best_reward, strict=True))
        tally.step = reached.step
    return tally.result(config, "finished", info["comparison"])


def log_arrays(rows: Rows, n_seeds: int) -> dict[str, np.ndarray]:
    """The log by column; see :class:`TrainingResult`."""
    if not rows:
        return {}
    names = next(iter(rows.values()))[0].keys()
    by_evaluation = list(zip_longest(*rows.values(), fillvalue=dict.fromkeys(names, np.nan)))
    table = {
        name: np.array([[row[name] for row in of_seeds] for of_seeds in by_evaluation], float).T
        for name in names
    }
    return table if n_seeds > 1 else {name: column[0] for name, column in table.items()}
