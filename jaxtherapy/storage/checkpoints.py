"""Orbax checkpoints: the complete training state, from which training goes on bit for bit."""

import contextlib
import logging
import os
import shutil
from collections.abc import Collection, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from jaxtherapy.devices.programs import snapshot
from jaxtherapy.errors import RunError, is_out_of_memory
from jaxtherapy.storage.progress import Progress


def orbax() -> Any:
    """Orbax, which takes long to import: not before it is needed."""
    for name in ("absl", "asyncio"):  # what matters reaches us as exceptions
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    import orbax.checkpoint

    return orbax.checkpoint


def flat(state: PyTree) -> dict[str, jax.Array]:
    """Leaves by path; random keys as their numbers. What is flat already stays as it is."""
    return {
        _name(path): jax.random.key_data(leaf) if _is_key(leaf) else leaf
        for path, leaf in jax.tree.leaves_with_path(state)
    }


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


_BEFORE = {"opt_state/0/": "opt_state/1/0/", "dyads/client/utilities": "dyads/client/worth"}
"""Beginnings of paths, and what they were in version 0.1."""


def _stored_name(path: str, stored: Collection[str]) -> str:
    """Under which path a checkpoint has a leaf, if it has it."""
    if path not in stored:
        for now, before in _BEFORE.items():
            if path.startswith(now):
                return path.replace(now, before, 1)
    return path


class Checkpoints:
    """The checkpoints of one experiment, by step. Each appears whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._orbax = orbax()
        options = self._orbax.CheckpointManagerOptions(max_to_keep=None)
        self._manager = self._orbax.CheckpointManager(self.folder, options=options)

    def steps(self) -> list[int]:
        """Steps of all complete checkpoints, ascending."""
        return sorted(self._manager.all_steps())

    def save(self, state: PyTree, progress: Progress) -> None:
        """Copies the state off the device and writes it in the background.

        Starts no program on the device where the state is :func:`flat`.

        Raises:
            OSError: the folder is gone, read-only or full.
            RunError: whatever else Orbax raised, also of an earlier save.
        """
        leaves = flat(state)
        about = {
            "progress": asdict(progress),
            "shapes": {path: list(leaf.shape) for path, leaf in leaves.items()},
        }
        args = self._orbax.args
        if jax.process_count() == 1:  # Orbax takes half as long for what is on the host already
            leaves = jax.device_get(leaves)
        items = args.Composite(state=args.StandardSave(leaves), about=args.JsonSave(about))
        try:
            self._manager.save(progress.step, args=items)
        except OSError:
            raise
        except Exception as error:
            raise self._cannot_save(error) from None

    def restore(self, step: int, template: PyTree, sharding: PyTree) -> tuple[PyTree, Progress]:
        """The state and progress saved at ``step``, on whatever devices there are now: as in
        ``template``, a state or its shapes, and where ``sharding`` says.
        Raises RunError: damaged, of other shapes than ``template``, or too large for the device."""
        places = {_name(path): each for path, each in jax.tree.leaves_with_path(sharding)}
        wanted = {
            path: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=places[path])
            for path, leaf in jax.eval_shape(flat, template).items()
        }
        try:
            about = self._restore(step, about=self._orbax.args.JsonRestore()).about
            shapes = {path: tuple(shape) for path, shape in about["shapes"].items()}
            progress = Progress.read(about["progress"])
        except Exception as error:  # Orbax and TensorStore raise many kinds for a damaged file
            raise self._damaged(step, error) from None
        names = {path: _stored_name(path, shapes) for path in wanted}
        for path, name in names.items():
            if name not in shapes:
                raise RunError(
                    f"checkpoint {step} in {self.folder} lacks {path}: it was saved by another "
                    f"version or with another configuration; a copy of its checkpoint_{step}.pth "
                    "in a folder of its own can be given to --resume-from"
                )
            if shapes[name] != wanted[path].shape:
                raise RunError(
                    f"checkpoint {step} in {self.folder} does not fit this configuration: {path} "
                    f"is {shapes[name]}, needed is {wanted[path].shape}; use the configuration "
                    "it was trained with"
                )
        try:
            stored = {names[path]: leaf for path, leaf in wanted.items()}
            restored = self._restore(step, state=self._orbax.args.StandardRestore(stored)).state
        except Exception as error:
            if is_out_of_memory(error):
                raise RunError(
                    f"out of memory while restoring checkpoint {step}; continue where more memory "
                    "is free",
                    exit_code=1,
                ) from None
            raise self._damaged(step, error) from None

        def leaf(path: Any, like: Any) -> jax.Array:
            value = restored[names[_name(path)]]
            return jax.random.wrap_key_data(value) if _is_key(like) else value

        state = jax.tree.map_with_path(leaf, template)
        return snapshot(state), progress  # buffers of our own: training donates them

    def _restore(self, step: int, **items: Any) -> Any:
        return self._manager.restore(step, args=self._orbax.args.Composite(**items))

    def _damaged(self, step: int, error: Exception) -> RunError:
        reason = str(error).split("\n")[0][:200]
        return RunError(
            f"checkpoint {step} in {self.folder} can't be read ({type(error).__name__}: {reason}); "
            "resume from an earlier checkpoint_*.pth"
        )

    def delete(self, steps: Iterable[int]) -> None:
        """Removes checkpoints from the disk, in this order. A kill leaves no half of one behind: it
        is renamed before its files go."""
        aside = self.folder / ".deleted"
        shutil.rmtree(aside, ignore_errors=True)  # what a kill left
        for step in steps:
            os.rename(self.folder / str(step), aside)
            shutil.rmtree(aside)

    def reload(self) -> None:
        """Sees what was removed behind its back, by another host say."""
        self._manager.reload()

    def wait(self) -> None:
        """Returns when everything saved is on the disk. Raises RunError: something went wrong in
        the background, usually because the disk is full."""
        try:
            self._manager.wait_until_finished()
        except Exception as error:  # Orbax reports a full disk in many ways
            raise self._cannot_save(error) from None

    def _cannot_save(self, error: Exception) -> RunError:
        reason = " ".join(str(error).split())[:160]
        return RunError(
            f"can't save a checkpoint in {self.folder}: {type(error).__name__}: {reason}; earlier "
            "checkpoints are intact: make room, then continue with --resume",
            exit_code=1,
        )

    def close(self) -> None:
        """Waits, and stops the background threads. What went wrong in them :meth:`wait` tells."""
        with contextlib.suppress(Exception):
            self._manager.close()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
