"""A sweep of trainings: a therapist trained at each point, beside those that need no training."""

from collections.abc import Collection, Hashable, Iterator, Sequence
from pathlib import Path

import jax
import numpy as np

from jaxtherapy.config.settings import PPO
from jaxtherapy.ppo.types import EvalResult
from jaxtherapy.storage.policies import to_named_arrays
from jaxtherapy.storage.trained_policy import Policy, save_policy
from jaxtherapy.studies import trainings
from jaxtherapy.studies.folder import policy_name
from jaxtherapy.studies.measures import measured, of_clients
from jaxtherapy.studies.settings import TRAINED, Run, Sweep
from jaxtherapy.studies.table import Key, Row
from jaxtherapy.studies.trainings import Study, TrainedRun, train_points
from jaxtherapy.studies.untrained import Forecast, UnderWay, Untrained, clients_of, nobody_asks


class Trainings:
    """Trainings, a :data:`~jaxtherapy.studies.runner.Kind`.

    Args:
        sweep: whose runs are measured.
        policies: the folder for weights, which are written before the rows of their run.

    Raises:
        ConfigError: what only a training of its own can do.
        RunError: a policy that can't be read, or a function that is no therapist.
    """

    columns = (*Untrained.columns, "steps", "status")

    def __init__(self, sweep: Sweep, policies: Path) -> None:
        for point in sweep.run_points:
            trainings.check(point.config)
        self._sweep, self._policies, self._others = sweep, policies, Untrained(sweep)

    @property
    def therapists(self) -> list[str]:
        """The reference is the first, the trained one the second."""
        reference, *others = self._others.therapists
        return [reference, TRAINED, *others]

    def program_of(self, run: Run) -> Hashable:
        """What of a training's settings is no number."""
        return trainings.program_of(run.config)

    def measure(
        self, runs: Sequence[Run], done: Collection[Key], under_way: UnderWay = nobody_asks
    ) -> Iterator[list[Row]]:
        """Rows of the runs that are not done, as they are trained."""
        left_out = [place for place, run in enumerate(runs) if run.key in done]

        def evaluated(positions: Sequence[int], step: int, result: EvalResult) -> tuple[int, ...]:
            under_way(len(positions) * min(1.0, step / runs[0].config.total_timesteps))
            return ()

        keep = self._sweep.save_policies != "none"
        study = Study(self._sweep.clients, keep, evaluated)
        others = self._of_others(runs, done)
        for each in train_points([run.config for run in runs], study, left_out):
            run = runs[each.position]
            about = {"point": run.point.number, "seed": run.seed}
            if each.weights is not None:
                self._policies.mkdir(parents=True, exist_ok=True)
                named = to_named_arrays(each.weights, PPO.of(run.config))
                save_policy(self._policies / policy_name(about), Policy(named, PPO()))
            first, *rest = (row | about for row in others[_who_is_met(run)])
            yield [first, about | row_of(each), *rest]

    def _of_others(self, runs: Sequence[Run], done: Collection[Key]) -> dict[Hashable, list[Row]]:
        """Rows of therapists that need no training, once for runs that meet the same clients."""
        first: dict[Hashable, Run] = {}
        for run in runs:
            first.setdefault(_who_is_met(run), run)
        wanted = {_who_is_met(run) for run in runs if run.key not in done}
        known = [run.key for who, run in first.items() if who not in wanted]
        who_met = {run.key: who for who, run in first.items()}
        rows: dict[Hashable, list[Row]] = {}
        for part in self._others.measure(list(first.values()), known):
            for row in part:
                rows.setdefault(who_met[row["point"], row["seed"]], []).append(row)
        return rows

    def forecast(self, runs: Sequence[Run]) -> Forecast:
        """Trains a first group for a moment."""
        plan = trainings.plan([run.config for run in runs])
        compiling, each = trainings.trial([run.config for run in runs])
        others = self._others.forecast(runs)
        shared = len({_who_is_met(run) for run in runs}) / len(runs)
        return Forecast(
            compiling + others.compile_seconds,
            each + shared * others.seconds_per_run,
            max(others.n_bytes or 0, plan.seeds_at_once * plan.each),
        )


def _who_is_met(run: Run) -> Hashable:
    """The same for runs whose evaluations meet the same clients."""
    leaves = map(np.asarray, jax.tree.leaves(clients_of(run)))
    return run.seed, b"".join(leaf.tobytes() for leaf in leaves)


def row_of(trained: TrainedRun) -> Row:
    """What the table says of a trained therapist."""
    ours, reference = trained.outcomes.at(0), trained.outcomes.at(1)
    row = measured(of_clients(ours, reference.success).sum(0), is_reference=False)
    about = {"seconds": round(trained.seconds, 4), "steps": trained.steps}
    return {"therapist": TRAINED} | row | about | {"status": trained.status}
