"""The weights and checkpoints of the seeds that are trained together, written while they train."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import PyTree

from jaxtherapy.config.settings import PPO
from jaxtherapy.devices import hosts, layout
from jaxtherapy.devices.programs import snapshot
from jaxtherapy.ppo.types import TrainState
from jaxtherapy.storage import policies
from jaxtherapy.storage.checkpoints import Checkpoints, flat
from jaxtherapy.storage.files import side_by_side
from jaxtherapy.storage.progress import Progress
from jaxtherapy.storage.run_files import RunFiles
from jaxtherapy.storage.writer import Writer


class Saver:
    """Writes to the folder of a run, and keeps so many checkpoints; 0: all.

    Attributes:
        files: of its seeds.
        own: which of the seeds this host writes, as positions; all of them where it is alone.
    """

    def __init__(self, ppo: PPO, files: RunFiles, mesh: Mesh, writer: Writer, keep: int) -> None:
        self.own, self._keep = layout.own_runs(mesh, len(files.seeds)), keep
        self._ppo, self.files, self._mesh, self._writer = ppo, files, mesh, writer

    @cached_property
    def checkpoints(self) -> Checkpoints:
        """Opened when first asked for: Orbax takes long to import."""
        return Checkpoints(self.files.checkpoints)

    def save_best(self, params: PyTree, improved: list[int]) -> None:
        """Has the weights of these seeds (positions) written as their best."""
        own = [i for i in improved if i in self.own]
        if not own:
            return
        params = snapshot(params)

        def write_one(here: PyTree, i: int) -> None:
            of_seed = jax.tree.map(lambda x: x[self.own.index(i)], here)
            named = policies.to_named_arrays(of_seed, self._ppo)
            policies.write(self.files.best(self.files.seeds[i]), policies.state_dict(named))

        self._writer.submit(lambda: _for_each(own, write_one, layout.fetch_own(params, self._mesh)))

    def save(
        self, state: TrainState, progress: Progress, learning_rate: float, finished: bool
    ) -> None:
        """Has a ``checkpoint_{step}.pth`` of each seed and Orbax's of all written; at the end the
        final policies."""
        files = self.files
        progress = replace(progress, best_reward=list(progress.best_reward))
        state = snapshot(state)
        # Not in the writer: on a CPU, a program of its own could wait for training's for ever.
        leaves = flat(state)

        def write_one(here: TrainState, i: int) -> None:
            seed, index = files.seeds[i], self.own.index(i)
            contents = policies.of_state(
                here, index, learning_rate, progress.n_updates, progress.step, self._ppo
            )
            policies.write(files.checkpoint(seed, progress.step), contents)
            if finished:
                policies.write(files.final(seed), contents["model"])

        def write() -> None:
            if not files.config.exists():  # Orbax would make the folder anew, and half of it
                raise FileNotFoundError(2, "the folder is gone", str(files.output))
            # One transfer of what is written, whatever the number of seeds.
            learned = layout.fetch_own((state.params, state.opt_state), self._mesh)
            here = state.replace(params=learned[0], opt_state=learned[1])
            _for_each(self.own, write_one, here)
            files.card.unlink(missing_ok=True)  # of weights that were the last until now
            self._prune()  # the one to come is not complete yet, and can't stand for another
            self.checkpoints.save(leaves, progress)

        self._writer.submit(write)

    def _prune(self) -> None:
        """Removes all but the last checkpoints, ``.pth`` files last."""
        if not self._keep:
            return
        self.checkpoints.wait()
        steps = self.checkpoints.steps()
        if not steps:
            return
        kept = steps[-self._keep :]
        if hosts.is_first_host():
            self.checkpoints.delete(steps[: -self._keep])
        hosts.wait_for_all("earlier steps removed")
        self.checkpoints.reload()
        self.files.of_group(tuple(self.files.seeds[i] for i in self.own)).remove_before(kept[0])

    def finish(self) -> None:
        """Returns when all is on the disk, and no more checkpoints than wanted."""
        self.wait()
        if "checkpoints" in vars(self):
            self._prune()

    def wait(self) -> None:
        """Returns when everything is on the disk."""
        self._writer.wait()
        if "checkpoints" in vars(self):
            self.checkpoints.wait()

    def close(self, *error: object) -> None:
        """Waits for what is on its way; where something has failed, forgets what was to come."""
        if any(error):
            self._writer.close()
        if "checkpoints" in vars(self):
            self.checkpoints.close()


def _for_each(seeds: Sequence[int], write: Callable[[Any, int], None], here: Any) -> None:
    """Writes files of seeds, by position, of which the arrays are ``here``."""
    of_one = sum(x[0].nbytes for x in jax.tree.leaves(here) if isinstance(x, np.ndarray))
    side_by_side((partial(write, here, i) for i in seeds), of_one)
