"""Where a run's files are, and how they are written: whole or not at all."""

import contextlib
import fcntl
import operator
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

import numpy as np

from jaxtherapy.config import TrainingConfig
from jaxtherapy.errors import RunError

_WEIGHTS = re.compile(r"policy_(?:best|final)\.pth|checkpoint_([0-9]+)\.pth")


def step_in(name: str) -> int | None:
    """The step in the name of a ``checkpoint_{step}.pth``; of any other name None."""
    match = _WEIGHTS.fullmatch(name)
    return int(match[1]) if match and match[1] else None


def write_atomically(path: Path, contents: bytes) -> None:
    """Writes beside, flushes to the disk and renames: readers see the old file or the new one.

    Raises:
        OSError: the folder is gone, read-only or full; ``path`` is as it was.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(beside, "wb") as file:
            file.write(contents)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def side_by_side(jobs: Iterable[Callable[[], None]], n_bytes: int = 0) -> None:
    """Does jobs that write files, a few at once: most of the time they wait for the disk.

    Args:
        jobs: to be done.
        n_bytes: that each of them writes; large files are written one by one.

    Raises:
        Exception: of the first job that raised one; jobs not begun by then are not done.
    """
    with ThreadPoolExecutor(4 if n_bytes < 2**26 else 1, "files") as pool:
        for _ in pool.map(operator.call, jobs):  # an error here cancels the others
            pass


def _sweep(folder: Path, names: str) -> None:
    """Removes what killed writes of files with these names (a pattern) left in a folder."""
    leftover = re.compile(rf"\.(?:{names})\.[0-9]+\.tmp")
    for path in folder.glob(".*.tmp"):
        if leftover.fullmatch(path.name):
            path.unlink(missing_ok=True)


def _holds_weights(folder: Path) -> bool:
    """Whether there is a file that a run would write or remove."""
    return folder.is_dir() and any(_WEIGHTS.fullmatch(path.name) for path in folder.iterdir())


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


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
        suffix = "" if len(self.all_seeds) == 1 else f"_seed{seed}"
        return self.log / f"{self.name}{suffix}_progress.csv"

    @property
    def picture(self) -> Path:
        """The learning curve."""
        return self.log / f"{self.name}_progress.png"

    @property
    def summary(self) -> Path:
        """Statistics across seeds at every evaluation."""
        return self.log / f"{self.name}_summary.csv"

    def exists(self) -> bool:
        """Whether there is an experiment of this name already, finished or not."""
        ours = self.config, self.run, self.checkpoints, self.csv(self.seeds[0])
        folders = [self.output, *self._seed_folders()]
        return any(path.exists() for path in ours) or any(map(_holds_weights, folders))

    def have_weights(self) -> bool:
        """Whether there are weights of these seeds, of whatever run."""
        return any(_holds_weights(self.weights_folder(seed)) for seed in self.seeds)

    def _seed_folders(self) -> Iterator[Path]:
        """Those that are there, of whatever seeds."""
        for folder in self.output.glob("seed_*"):
            if re.fullmatch(r"seed_[0-9]+", folder.name) and folder.is_dir():
                yield folder

    def create(self) -> None:
        """Makes the folders."""
        for seed in self.seeds:
            self.weights_folder(seed).mkdir(parents=True, exist_ok=True)
        self.log.mkdir(parents=True, exist_ok=True)

    def sweep(self) -> None:
        """Removes what killed writes left. Only for who holds the locks: others may be writing."""
        name = re.escape(self.name)
        _sweep(
            self.log, rf"{name}(?:_seed[0-9]+)?_progress\.csv|{name}_(?:progress\.png|summary\.csv)"
        )
        for folder in {self.output, *map(self.weights_folder, self.seeds)}:
            _sweep(folder, rf"config\.yaml|started_from\.txt|run\.json|{_WEIGHTS.pattern}")

    def remove(self) -> None:
        """Removes what an earlier run of this name wrote, and nothing else."""
        for folder in [*self._seed_folders(), self.output]:
            for path in folder.glob("*.pth"):
                if _WEIGHTS.fullmatch(path.name):
                    path.unlink()
            if folder != self.output:
                with contextlib.suppress(OSError):  # the user keeps something there
                    folder.rmdir()
        checkpoints = self.output / "checkpoints"
        if checkpoints.exists():
            shutil.rmtree(checkpoints)
        for path in (self.config, self.started_from, self.run, self.picture, self.summary):
            path.unlink(missing_ok=True)
        log = re.compile(rf"{re.escape(self.name)}(?:_seed[0-9]+)?_progress\.csv")
        for path in self.log.glob("*_progress.csv"):
            if log.fullmatch(path.name):
                path.unlink()

    def remove_after(self, step: int, without_best: Collection[int] = ()) -> None:
        """Removes the ``checkpoint_*.pth`` of later steps, and with them the final policy.

        Args:
            step: of the checkpoint to go back to.
            without_best: seeds whose best policy is of a later step and goes too. Where it is of
                an earlier one it stays: only the log can tell.
        """
        for seed in self.seeds:
            folder = self.weights_folder(seed)
            found = {path: _WEIGHTS.fullmatch(path.name) for path in folder.glob("*.pth")}
            later = [path for path, name in found.items() if name and int(name[1] or -1) > step]
            if later and seed in without_best:
                self.best(seed).unlink(missing_ok=True)
            # These last: a kill meanwhile leaves the sign that the others have to go.
            for path in [self.final(seed), *later] if later else []:
                path.unlink(missing_ok=True)


class ExperimentLock:
    """Held while a run writes to a folder under a name; a second run is refused.

    The kernel drops the lock when its process ends, however it ends.
    """

    def __init__(self, folder: Path, name: str = ".lock") -> None:
        self._folder = folder
        self._name = name
        self._handle = -1

    def __enter__(self) -> "ExperimentLock":
        self._folder.mkdir(parents=True, exist_ok=True)
        self._handle = os.open(self._folder / self._name, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._handle)
            raise RunError(
                f"another run is writing to {self._folder}; wait for it, or give this one another "
                "--experiment-name"
            ) from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._handle)
