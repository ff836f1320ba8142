"""Which way a sweep's runs are measured: trainings, or therapists that need none."""

import time
from collections.abc import Collection, Hashable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np

from jaxtherapy.client.baselines import map_name
from jaxtherapy.config.settings import PPO
from jaxtherapy.devices.layout import choose_device
from jaxtherapy.evaluation.map_search import MAPS
from jaxtherapy.ppo.types import make_settings
from jaxtherapy.storage.policies import Policy, save_policy, to_named_arrays
from jaxtherapy.studies import measures
from jaxtherapy.studies.folder import policy_name
from jaxtherapy.studies.measures import MEASURED
from jaxtherapy.studies.runner import Forecast, Kind
from jaxtherapy.studies.settings import REFERENCE, TRAINED, Run, Sweep
from jaxtherapy.studies.table import Key, Row
from jaxtherapy.studies.trainings import COMPARED, Study, Trained, train_points
from jaxtherapy.studies.untrained import SEARCHED, Untrained, most_memory

TRIED_UPDATES = 3


def kind_of(sweep: Sweep, device: str, policies: Path) -> tuple[Kind, str]:
    """How this sweep is measured, on which device, and what the user should know of that.

    Args:
        sweep: to be run.
        device: ``auto``, ``cpu`` or ``gpu``.
        policies: folder for weights.

    Raises:
        RunError: a policy that can't be read, a function that is no therapist, or no such device.
    """
    if not sweep.train:
        note = choose_device(device)
        return Untrained(sweep), note
    # A core of a CPU trains runs of its own.
    several = replace(sweep.runs[0].config, n_seeds=min(len(sweep.runs), 1_000))
    return Trainings(sweep, policies), choose_device(device, several)


class Trainings:
    """A :class:`~jaxtherapy.studies.runner.Kind`: a therapist is trained in every run."""

    therapists = COMPARED
    columns = (*MEASURED, "map", "status", "steps", "seconds")

    def __init__(self, sweep: Sweep, policies: Path) -> None:
        self._sweep, self._policies = sweep, policies
        self._study = Study(sweep.clients, keep_weights=sweep.save_policies != "none")
        if sweep.fit_map is not None:
            self._study = replace(self._study, n_search=sweep.fit_map // MAPS)

    def program_of(self, run: Run) -> Hashable:
        """What shapes the program, and the length of the training."""
        config = run.config
        structure = jax.tree.structure(make_settings(config))
        return PPO.of(config), structure, config.total_timesteps, config.eval_freq

    def measure(self, runs: Sequence[Run], done: Collection[Key]) -> Iterator[list[Row]]:
        """Rows of the runs that are not done, some at a time."""
        there = {place for place, run in enumerate(runs) if run.key in done}
        for trained in train_points([run.config for run in runs], self._study, there):
            rows = self._rows(runs[trained.position], trained)
            if trained.weights is not None:
                self._policies.mkdir(parents=True, exist_ok=True)
                weights = to_named_arrays(trained.weights, PPO.of(trained.config))
                save_policy(self._policies / policy_name(rows[0]), Policy(weights, PPO()))
            yield rows

    def _rows(self, run: Run, trained: Trained) -> list[Row]:
        reference = np.asarray(trained.outcomes.success[COMPARED.index(REFERENCE)])
        rows = []
        for place, name in enumerate(COMPARED):
            sums = measures.total(measures.of_clients(trained.outcomes.at(place), reference))
            row = {"point": run.point.number, "seed": run.seed, "therapist": name}
            row |= measures.measured(sums, name == REFERENCE)
            if name == SEARCHED:
                row["map"] = map_name(trained.answers.tolist())
            if name == TRAINED:
                about = {"status": trained.status, "steps": trained.steps}
                row |= about | {"seconds": round(trained.seconds, 3)}
            rows.append(row)
        return rows

    def forecast(self, runs: Sequence[Run]) -> Forecast:
        """Trains a few runs for a few updates."""
        full = runs[0].config
        n_steps = TRIED_UPDATES * full.steps_per_update
        some = [
            replace(run.config, total_timesteps=n_steps, eval_freq=n_steps)
            for run in runs[: jax.device_count()]
        ]
        started = time.perf_counter()
        trained = list(train_points(some, replace(self._study, n_clients=2, n_search=1)))
        of_runs = sum(each.seconds for each in trained)
        compiling = time.perf_counter() - started - of_runs
        each = of_runs / len(some) * full.total_timesteps / n_steps / jax.device_count()
        return Forecast(compiling, each, most_memory())
