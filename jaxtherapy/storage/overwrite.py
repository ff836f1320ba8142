"""What ``--overwrite`` takes away: what the experiment's own record names, checked first."""

import contextlib
import os
import shlex
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from jaxtherapy.errors import RunError
from jaxtherapy.storage import run_info
from jaxtherapy.storage.experiment import is_checkpoint, read_record
from jaxtherapy.storage.logs import log_folder
from jaxtherapy.storage.run_files import EVENTS, RunFiles


@dataclass(frozen=True)
class Removal:
    """Files and Orbax checkpoints to remove, in order: the record of what is ours comes last."""

    output: Path
    paths: list[Path]

    @property
    def note(self) -> str:
        """What the user should know before it happens; empty where there is nothing."""
        if not self.paths:
            return ""
        weights = sum(path.suffix == ".pth" for path in self.paths)
        events = [path for path in self.paths if _are_events(path)]
        orbax = sum(path.is_dir() for path in self.paths) - len(events)
        logs = [path for path in self.paths if path.suffix in (".csv", ".png")] + events
        told = [f"{weights} .pth files", f"{orbax} Orbax checkpoints"]
        told += map(str, logs) if len(logs) <= 3 else [f"{len(logs)} files in {logs[0].parent}"]
        return f"--overwrite removes the experiment in {self.output}: {', '.join(told)}"

    def carry_out(self) -> None:
        """Removes all of it.
        Raises RunError: something can't be removed; says what is gone by then."""
        for path in self.paths:
            for folder in [path.parent, *[path] * _is_real_folder(path)]:
                if not os.access(folder, os.W_OK | os.X_OK):
                    raise RunError(
                        f"{path} can't be removed: {folder} is read-only; nothing was removed"
                    )
        for number, path in enumerate(self.paths):
            try:
                if _is_real_folder(path):
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
            except OSError as error:
                gone = ", ".join(map(str, self.paths[:number])) or "nothing"
                raise RunError(
                    f"can't remove {error.filename or path}: {error.strerror or error}; "
                    f"{gone} of the earlier experiment is gone, the rest is intact",
                    exit_code=1,
                ) from None
        folders = {path.parent for path in self.paths} - {self.output}
        for folder in sorted(folders, key=lambda path: -len(path.parts)):
            inside = folder.is_relative_to(self.output) or folder.name == EVENTS
            if inside and not folder.is_symlink():
                with contextlib.suppress(OSError):  # the user keeps something there
                    folder.rmdir()


def _is_real_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def plan(files: RunFiles) -> Removal:
    """What a run under this name replaces.
    Raises RunError: it would replace something that no experiment's record in its folder names."""
    recorded = _recorded(files.output)
    own = [path for path in recorded.present() if _is_ours(path)] if recorded else []
    if stranger := next((path for path in files.present() if path not in own), None):
        raise RunError(
            f"{stranger} is nothing that an experiment in {files.output} says it wrote, so "
            "--overwrite leaves it alone; move it, or choose another --experiment-name"
        )
    if recorded:
        own[:0] = filter(Path.is_file, (recorded.started_from, recorded.wandb_id))
    return Removal(files.output, own)


def _recorded(output: Path) -> RunFiles | None:
    """The files of the experiment that a folder has the record of.

    A log elsewhere only where the record speaks of this very folder: else it may be the original's.
    """
    config = read_record(output)
    if config is None:
        return None
    is_here = config.output_path.resolve() == output.resolve()
    log = log_folder(output, config) if is_here else output
    return RunFiles.of(replace(config, output_dir=str(output), log_dir=str(log)))


def _is_ours(path: Path) -> bool:
    """Whether it holds what its name says."""
    if path.name == "run.json":
        return run_info.is_ours(path)
    if path.name == "config.yaml":
        return read_record(path.parent) is not None
    if path.suffix in (".pth", ".csv", ".png", ".md"):
        return path.is_file() and not path.is_symlink()
    return (is_checkpoint(path) or _are_events(path)) and not path.is_symlink()


def _are_events(path: Path) -> bool:
    """Whether it is a folder of TensorBoard's event files and nothing else."""
    if path.parent.name != EVENTS or not path.is_dir():
        return False
    return all(each.name.startswith("events.out.tfevents.") for each in path.iterdir())


def occupied(files: RunFiles) -> str:
    """What a run may not replace unasked, and what to do; empty where there is nothing."""
    there = files.present(any_seed=True)
    if not there:
        return ""
    output = shlex.quote(str(files.output))
    try:
        plan(files)
    except RunError:
        return (
            f"{there[0]} is there already, and no experiment in {output} says it wrote it; "
            "choose another --experiment-name"
        )
    return (
        f"{files.output} holds an experiment already; continue it with --resume-from {output}, "
        "replace it with --overwrite, or choose another --experiment-name"
    )
