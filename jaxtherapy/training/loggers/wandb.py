"""Weights & Biases: a run there for each group of seeds, with the mean of its seeds.

``WANDB_PROJECT``, ``WANDB_MODE=offline`` and its other variables hold as they do everywhere.
"""

import os
import secrets
from typing import Any

from jaxtherapy.config import config_as_dict
from jaxtherapy.devices import hosts
from jaxtherapy.errors import RunError, extra
from jaxtherapy.storage.files import write_atomically
from jaxtherapy.training.loggers import Row, Run
from jaxtherapy.training.loggers._tags import tagged
from jaxtherapy.training.result import TrainingResult

with extra("wandb", "the logger wandb"):
    import wandb


class WandbLogger:
    """A run that is resumed goes on there: steps that it has already are not taken again."""

    def __init__(self, run: Run) -> None:
        self._run, self._id, self._step = run, _id_of(run), 0
        self._there = self._begin(run.config.seed)

    def log(self, step: int, row: Row) -> None:
        """An evaluation."""
        if not self._step:
            self._keep_id()
        if step <= self._step:  # the next group of seeds
            self._there.finish()
            self._there = self._begin(min(row.by_seed))
        self._step = step
        self._there.log(tagged(row), step=step)

    def end(self, result: TrainingResult) -> None:
        """The table of the end."""
        if result.comparison:
            names, *_ = (result.comparison["therapists"],)
            rewards = zip(names, result.comparison["reward_mean"], strict=True)
            self._there.summary.update({f"final/{name}": reward for name, reward in rewards})

    def close(self) -> None:
        """Has all sent."""
        self._there.finish()

    def _keep_id(self) -> None:
        """Only now: --overwrite has taken away what was there."""
        if self._run.files and hosts.is_first_host():
            write_atomically(self._run.files.wandb_id, f"{self._id}\n".encode())

    def _begin(self, seed: int) -> Any:
        config, files = self._run.config, self._run.files
        try:
            return wandb.init(
                project=os.environ.get("WANDB_PROJECT", "jaxtherapy"),
                name=config.experiment_name,
                id=f"{self._id}-{seed}",
                resume="allow",
                config=config_as_dict(config.replace(seed=seed)),
                dir=None if files is None else files.output,
                mode=None if hosts.is_first_host() else "disabled",
                settings={"silent": config.quiet},
            )
        except wandb.Error as error:
            raise RunError(f"Weights & Biases: {' '.join(str(error).split())}") from None


def _id_of(run: Run) -> str:
    """Of this experiment there, which its folder keeps; a new one for what replaces another."""
    if run.files is None or run.config.overwrite or not run.files.wandb_id.is_file():
        return secrets.token_hex(4)
    return run.files.wandb_id.read_text().strip()


make = WandbLogger
