"""Where a run's files are, and how they are written: whole or not at all."""

import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from jaxtherapy.config import TrainingConfig
from jaxtherapy.storage.experiment import checkpoint_folders, log_name
from jaxtherapy.storage.files import sweep

EVENTS = "tensorboard"
"""The folder of event files within that of logs."""

_SEED = re.compile(r"seed_[0-9]+")
_ASIDE = re.compile(r"later_than_[0-9]+(?:_[0-9]+)?")
_WEIGHTS = re.compile(r"policy_(?:best|final)\.pth|checkpoint_([0-9]+)\.pth")


def step_in(name: str) -> int | None:
    """The step in the name of a ``checkpoint_{step}.pth``; of any other name None."""
    match = _WEIGHTS.fullmatch(name)
    return int(match[1]) if match and match[1] else None


def weights_in(folder: Path) -> list[Path]:
    """The files that are named as a run names its weights."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _WEIGHTS.fullmatch(path.name))


def in_groups(seeds: tuple[int, ...], at_once: int | None) -> list[tuple[int, ...]]:
    """Seeds in equal groups (or, where that can't be, of two sizes one apart); None: in one."""
    n_groups = -(-len(seeds) // (at_once or len(seeds)))
    return [tuple(int(seed) for seed in part) for part in np.array_split(seeds, n_groups)]


@dataclass(frozen=True)
class RunFiles:
    """The contract's files of one experiment, or of a group of its seeds."""

    output: Path
    log: Path
    name: str
    seeds: tuple[int, ...]
    all_seeds: tuple[int, ...]

    @classmethod
    def of(cls, config: TrainingConfig) -> "RunFiles":
        """The files that this configuration writes."""
        seeds = tuple(range(config.seed, config.seed + config.n_seeds))
        places = config.output_path, config.log_path, config.experiment_name
        return cls(*places, seeds, seeds)

    def of_group(self, seeds: tuple[int, ...]) -> "RunFiles":
        """The files of these seeds alone, which are trained together."""
        return replace(self, seeds=seeds)

    def groups(self, at_once: int | None) -> list["RunFiles"]:
        """The files of the groups of seeds, at most so many each, that are trained together."""
        return [self.of_group(seeds) for seeds in in_groups(self.seeds, at_once)]

    @property
    def part(self) -> str:
        """Names the group within ``checkpoints/``; empty where all seeds are trained together."""
        if self.seeds == self.all_seeds:
            return ""
        return f"seeds_{self.seeds[0]}_{self.seeds[-1]}"

    @property
    def is_first_group(self) -> bool:
        """Whether no other group is trained before."""
        return self.seeds[0] == self.all_seeds[0]

    @property
    def config(self) -> Path:
        """The complete configuration in force."""
        return self.output / "config.yaml"

    @property
    def started_from(self) -> Path:
        """The path that the run was told to continue from, where it began elsewhere."""
        return self.output / "started_from.txt"

    @property
    def run(self) -> Path:
        """Versions, device, commit, command, timings, parameter counts."""
        return self.output / "run.json"

    @property
    def card(self) -> Path:
        """What the weights were trained on, how good they are, by which command."""
        return self.output / "model_card.md"

    @property
    def checkpoints(self) -> Path:
        """Orbax: the complete training state."""
        return self.output / "checkpoints" / self.part

    def weights_folder(self, seed: int) -> Path:
        """Where a seed's ``.pth`` files are."""
        return self.output if len(self.all_seeds) == 1 else self.output / f"seed_{seed}"

    def best(self, seed: int) -> Path:
        """The weights of a seed with the best evaluation reward."""
        return self.weights_folder(seed) / "policy_best.pth"

    def final(self, seed: int) -> Path:
        """The weights of a seed after its last step."""
        return self.weights_folder(seed) / "policy_final.pth"

    def checkpoint(self, seed: int, step: int) -> Path:
        """The weights of a seed at a step, with Adam's state and counters."""
        return self.weights_folder(seed) / f"checkpoint_{step}.pth"

    def csv(self, seed: int) -> Path:
        """A seed's log."""
        return self.log / log_name(self.name, seed if len(self.all_seeds) > 1 else None)

    def events(self, seed: int) -> Path:
        """The folder of a seed's TensorBoard events."""
        return self.log / EVENTS / self.csv(seed).name.removesuffix("_progress.csv")

    @property
    def wandb_id(self) -> Path:
        """Which run it is at Weights & Biases, where it is told of this one."""
        return self.output / "wandb_id.txt"

    @property
    def picture(self) -> Path:
        """The learning curve."""
        return self.log / f"{self.name}_progress.png"

    @property
    def summary(self) -> Path:
        """Statistics across seeds at every evaluation."""
        return self.log / f"{self.name}_summary.csv"

    def present(self, any_seed: bool = False) -> list[Path]:
        """What is there already of all that the whole run may write, its record last.

        Args:
            any_seed: the weights of other seeds too.
        """
        checkpoints = self.output / "checkpoints"
        found = [path for folder in self.weights_folders(any_seed) for path in weights_in(folder)]
        if checkpoints.is_dir():
            found += checkpoint_folders(self.output)
        elif os.path.lexists(checkpoints):
            found.append(checkpoints)
        logs = [of(seed) for of in (self.csv, self.events) for seed in self.all_seeds]
        named = self.run, *logs, self.picture, self.summary, self.card, self.config
        return found + [path for path in named if os.path.lexists(path)]

    def exists(self) -> bool:
        """Whether there is an experiment of this name already, or anything like one."""
        return bool(self.present(any_seed=True))

    def weights_folders(self, any_seed: bool = False) -> Iterator[Path]:
        """Those that are there, and those of weights that were set aside."""
        folders = {self.weights_folder(seed) for seed in self.all_seeds}
        if any_seed:
            seeds = self.output.glob("seed_*")
            folders |= {self.output, *(path for path in seeds if _SEED.fullmatch(path.name))}
        for folder in sorted(folders):
            yield from (path for path in folder.glob("later_than_*") if _ASIDE.fullmatch(path.name))
            yield folder

    def create(self) -> None:
        """Makes the folders."""
        for seed in self.seeds:
            self.weights_folder(seed).mkdir(parents=True, exist_ok=True)
        self.log.mkdir(parents=True, exist_ok=True)

    def sweep(self) -> None:
        """Removes what killed writes left. Only for who holds the locks: others may be writing."""
        name = re.escape(self.name)
        sweep(
            self.log, rf"{name}(?:_seed[0-9]+)?_progress\.csv|{name}_(?:progress\.png|summary\.csv)"
        )
        for folder in {self.output, *map(self.weights_folder, self.seeds)}:
            sweep(
                folder,
                r"config\.yaml|(?:started_from|wandb_id)\.txt|run\.json|model_card\.md"
                rf"|{_WEIGHTS.pattern}",
            )

    def later_weights(self, step: int) -> list[Path]:
        """The ``checkpoint_*.pth`` of later steps."""
        return [path for each, path in self._by_step() if each > step]

    def remove_before(self, step: int) -> None:
        """Removes the ``checkpoint_*.pth`` of earlier steps."""
        for each, path in self._by_step():
            if each < step:
                path.unlink(missing_ok=True)

    def _by_step(self) -> Iterator[tuple[int, Path]]:
        for seed in self.seeds:
            for path in weights_in(self.weights_folder(seed)):
                if (step := step_in(path.name)) is not None:
                    yield step, path

    def remove_after(
        self, step: int, without_best: Collection[int] = (), keep: bool = False
    ) -> None:
        """Removes the ``checkpoint_*.pth`` of later steps, and with them the final policy.

        Args:
            without_best: seeds whose best policy is of a later step too, as their log tells.
            keep: set them aside in ``later_than_{step}/`` instead.
        """
        for seed in self.seeds:
            later = self.of_group((seed,)).later_weights(step)
            gone = [self.best(seed)] if seed in without_best else []
            # Later checkpoints last: a kill meanwhile leaves the sign that the others have to go.
            gone += [self.final(seed), *later] if later else []
            for path in filter(Path.exists, gone):
                if keep:
                    _set_aside(path, step)
                else:
                    path.unlink()


def _set_aside(path: Path, step: int) -> None:
    folder, number = path.parent / f"later_than_{step}", 2
    while (folder / path.name).exists():
        folder, number = path.parent / f"later_than_{step}_{number}", number + 1
    folder.mkdir(exist_ok=True)
    path.rename(folder / path.name)
