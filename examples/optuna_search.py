"""Numbers of learning, searched with Optuna: it is asked for a batch of trials, which are trained
together, and told how they went. A trial that lags behind is pruned.

    pip install 'jaxtherapy[studies]'
    python examples/optuna_search.py configs/sweeps/hyperparameters.yaml

The file is a sweep's: ``vary`` says between what to search, ``points`` how many trials. They are
kept in the storage: the same command goes on where it was killed, and Optuna's tools read them.
The best settings are written as a file that ``python -m jaxtherapy.train --config`` takes.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import TrialState

from jaxtherapy.config import TrainingConfig, save_config
from jaxtherapy.devices.layout import choose_device
from jaxtherapy.devices.pinned import pin
from jaxtherapy.ppo.types import EvalResult
from jaxtherapy.studies.designs import Axis
from jaxtherapy.studies.settings import Sweep, load_sweep
from jaxtherapy.studies.trainings import Study, program_of, train_points

STATES = {
    "finished": TrialState.COMPLETE,
    "stopped": TrialState.PRUNED,
    "diverged": TrialState.FAIL,
}


def distribution_of(axis: Axis) -> BaseDistribution:
    """What Optuna draws: a number, or the place of one of several values."""
    if axis.values:
        return CategoricalDistribution(range(len(axis.values)))
    kind = IntDistribution if axis.about.type is int else FloatDistribution
    return kind(*axis.ends, log=axis.scale == "log")


def config_of(sweep: Sweep, params: dict) -> TrainingConfig:
    """The training of a trial."""
    axes = {axis.name: axis for axis in sweep.axes}
    values = {n: axes[n].values[x] if axes[n].values else x for n, x in params.items()}
    return sweep.config_at(values)


def search(sweep: Sweep, study: optuna.Study, n_trials: int, batch: int) -> None:
    """Until so many trials are finished, those among them that were finished before."""
    for lost in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(lost.number, state=TrialState.FAIL)  # a kill left it
    distributions = {axis.name: distribution_of(axis) for axis in sweep.axes}
    ended = tuple(STATES.values())
    while (left := n_trials - len(study.get_trials(deepcopy=False, states=ended))) > 0:
        train_batch(sweep, study, [study.ask(distributions) for _ in range(min(batch, left))])
        best = [trial.number for trial in study.best_trials]
        print(f"{n_trials - left + min(batch, left)} of {n_trials} trials, best {best}", flush=True)


def train_batch(sweep: Sweep, study: optuna.Study, trials: Sequence[optuna.Trial]) -> None:
    """Trains all of these, one program after another, and tells Optuna what share succeeds."""
    programs: dict = {}
    for trial in trials:
        config = config_of(sweep, trial.params)
        programs.setdefault(program_of(config), []).append((trial, config))
    for members in programs.values():
        asked = [trial for trial, _ in members]

        def evaluated(
            positions: Sequence[int], step: int, result: EvalResult, asked: Sequence = asked
        ) -> list[int]:
            for position, success in zip(positions, result.success_rate, strict=True):
                asked[position].report(float(success), step)
            return [position for position in positions if asked[position].should_prune()]

        for run in train_points([c for _, c in members], Study(sweep.clients, evaluated=evaluated)):
            success = float(run.outcomes.success[0].mean())
            state = STATES[run.status]
            told = success if state == TrialState.COMPLETE else None
            study.tell(asked[run.position], told, state)


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("sweep", help="file of a sweep of trainings")
    parser.add_argument("--storage", default="sqlite:///optuna.db", help="where trials are kept")
    parser.add_argument("--batch", type=int, default=8, help="trials asked for at once")
    parser.add_argument("--winner", default="winner.yaml", help="file for the best settings")
    given = parser.parse_args(argv)
    sweep = load_sweep(given.sweep)
    pin()
    choose_device("auto", replace(sweep.config_at({}), n_seeds=given.batch))
    study = optuna.create_study(
        study_name=sweep.name,
        storage=given.storage,
        direction="maximize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=given.batch),
        load_if_exists=True,
    )
    search(sweep, study, sweep.points or 32, given.batch)
    best = config_of(sweep, study.best_params)
    save_config(replace(best, seed=best.seed + 1), given.winner)  # other clients, other luck
    print(f"best: {study.best_value:.1%} with {study.best_params}, some of it luck; train with")
    print(f"{given.winner}, which has another seed, and see")


if __name__ == "__main__":
    main()
