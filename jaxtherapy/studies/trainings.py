"""Many trainings as one: runs that differ in numbers and seeds, dealt to all devices.

A run is a configuration. Runs are trained in groups: on a CPU one run on each core, elsewhere as
many as fit into memory. Each is then compared with one who always complements, on clients that it
has not met. Nothing is written here, and nothing printed.
"""

import time
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Int, PyTree

from jaxtherapy.client.params import ClientParams, client_params
from jaxtherapy.client.simulation import simulate
from jaxtherapy.client.therapists import as_therapist, complementary, taking_turns
from jaxtherapy.config import ConfigError, TrainingConfig
from jaxtherapy.config.settings import PPO
from jaxtherapy.devices import capacity, hosts, layout
from jaxtherapy.devices.pinned import pinned
from jaxtherapy.devices.programs import (
    FEW_EVALUATIONS,
    compile_programs,
    compile_quickly,
    snapshot,
    stacked,
)
from jaxtherapy.errors import is_out_of_memory
from jaxtherapy.evaluation.evaluation import evaluation_key
from jaxtherapy.evaluation.outcomes import Outcomes, ending
from jaxtherapy.ppo.evaluation import policy_therapist
from jaxtherapy.ppo.types import EvalResult, make_settings
from jaxtherapy.storage.progress import NEVER, Progress
from jaxtherapy.training.group import Group


@dataclass(frozen=True)
class TrainedRun:
    """What came of a run.

    Attributes:
        position: among the configurations.
        steps: that it was trained; fewer than wanted where it diverged or was stopped.
        seconds: of a device; of a group that shares one, each has its share.
        status: ``finished``, ``diverged`` or ``stopped``; what counts is the best state before.
        outcomes: of the trained therapist and of one who always complements, (2, clients).
        weights: with the best evaluation reward; None where they were not asked for.
    """

    position: int
    steps: int
    seconds: float
    status: str
    outcomes: Outcomes
    weights: PyTree | None


def _nobody_stops(positions: Sequence[int], step: int, result: EvalResult) -> Collection[int]:
    return ()


@dataclass(frozen=True)
class Study:
    """How runs are compared, and who is told.

    Attributes:
        n_clients: that each run's therapist treats in the end.
        keep_weights: whether they are fetched from the device.
        evaluated: is told of an evaluation: the runs (positions) that are in training, steps of
            each, results along an axis of runs. Returns those that are to stop.
    """

    n_clients: int = 1_000
    keep_weights: bool = False
    evaluated: Callable[[Sequence[int], int, EvalResult], Collection[int]] = _nobody_stops


def check(config: TrainingConfig) -> None:
    """Refuses what only a training of its own can do.

    Raises:
        ConfigError: one line that names the setting.
    """
    for name in ("target_success", "patience"):
        if (given := getattr(config, name)) is not None:
            raise ConfigError(
                f"{name} is {given}, but runs of a sweep are all trained to total_timesteps; set "
                f"{name} to null"
            )


def program_of(config: TrainingConfig) -> Hashable:
    """Runs for which this is the same are trained by one program: they differ in numbers and seeds
    alone."""
    structure = jax.tree.structure(make_settings(config))
    return PPO.of(config), structure, config.total_timesteps, config.eval_freq


def plan(configs: Sequence[TrainingConfig]) -> capacity.Plan:
    """How many runs are trained together.

    Those of a CPU's core would follow one another anyhow: each core is given one at a time.

    Raises:
        RunError: not even one fits into memory.
    """
    first, devices = configs[0], layout.usable_devices(len(configs))
    at_once, n_devices = first.seeds_at_once, len(devices)
    if at_once is None and devices[0].platform == "cpu":
        at_once = n_devices
    return capacity.plan(
        PPO.of(first),
        make_settings(first),
        _filled(len(configs), n_devices),
        at_once and _filled(at_once, n_devices),
        -int(hosts.largest(-capacity.available_bytes())[0]),
        n_devices,
    )


def _filled(n_runs: int, n_devices: int) -> int:
    """As many runs, or a few more, as keep all devices busy; fewer than those stay as they are."""
    return n_runs if n_runs < n_devices else -(-n_runs // n_devices) * n_devices


def train_points(
    configs: Sequence[TrainingConfig], study: Study | None = None, done: Collection[int] = ()
) -> Iterator[TrainedRun]:
    """Trains every run and compares its therapist; group by group, as they are finished.

    Groups do not depend on what is done already, so a run is the same wherever it was broken off.

    Args:
        configs: of all runs, which one program can train; see :func:`program_of`.
        study: how they are compared, and who is told.
        done: positions of runs that are not to be trained again.

    Raises:
        ConfigError: what only a training of its own can do.
        RunError: runs do not fit into memory.
    """
    for config in configs:
        check(config)
    at_once = plan(configs).seeds_at_once
    n_evaluations = len(configs) * (configs[0].total_timesteps // configs[0].eval_freq + 1)
    for runs in _groups(configs, at_once, done):
        if runs.wanted.any():
            yield from _train_together(runs, study or Study(), n_evaluations)


def trial(configs: Sequence[TrainingConfig], seconds: float = 2.0) -> tuple[float, float]:
    """Seconds to compile, and seconds of a run when all are trained; from a few updates."""
    started = time.monotonic()
    runs = next(_groups(configs, plan(configs).seeds_at_once, ()))
    group, compiled = _begin(runs, n_evaluations=0), time.monotonic()
    group.train(1)
    group.lap()
    n_updates = 0
    while time.monotonic() < compiled + seconds:
        group.train(1)
        n_updates += 1
    each = group.lap() / max(1, n_updates) * configs[0].n_updates / len(runs.configs)
    return compiled - started, each


# --- groups ---------------------------------------------------------------------------------


class _Runs(NamedTuple):
    """Runs that are trained together.

    Attributes:
        positions: among all configurations.
        configs: of them.
        wanted: whether somebody asked for a run, or it only fills a place.
    """

    positions: tuple[int, ...]
    configs: list[TrainingConfig]
    wanted: Bool[np.ndarray, " runs"]


def _groups(
    configs: Sequence[TrainingConfig], at_once: int, done: Collection[int]
) -> Iterator[_Runs]:
    """All of one size, so that they share a program; the last run fills the last one up."""
    for start in range(0, len(configs), at_once):
        places = range(start, start + at_once)
        positions = tuple(min(i, len(configs) - 1) for i in places)
        wanted = np.array([i < len(configs) and i not in done for i in places])
        yield _Runs(positions, [configs[i] for i in positions], wanted)


def _begin(runs: _Runs, n_evaluations: int) -> Group:
    config, seeds = runs.configs[0], tuple(each.seed for each in runs.configs)
    settings = stacked([make_settings(each) for each in runs.configs])
    programs = compile_programs(PPO.of(config), settings, seeds, n_evaluations=n_evaluations)
    return Group(
        config, seeds, programs, programs.init(), Progress(best_reward=[NEVER] * len(seeds))
    )


@pinned()
def _train_together(runs: _Runs, study: Study, n_evaluations: int) -> list[TrainedRun]:
    """A group from its first update to the comparisons."""
    ppo = PPO.of(runs.configs[0])
    try:
        group = _begin(runs, n_evaluations)
        best, stopped = _train(group, runs, study)
        few = n_evaluations <= FEW_EVALUATIONS
        compared = _comparison(ppo, study.n_clients, group.programs.mesh, few)
        outcomes = _compare(compared, runs, best)
    except jax.errors.JaxRuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise capacity.out_of_memory(ppo, len(runs.configs)) from None
    diverged, n_updates = hosts.fetch((group.state.diverged, group.state.n_updates))
    weights = hosts.fetch(best) if study.keep_weights else None
    share = min(1.0, group.programs.mesh.size / runs.wanted.sum())
    return [
        TrainedRun(
            position=runs.positions[i],
            steps=int(n_updates[i]) * group.config.steps_per_update,
            seconds=group.progress.duration * share,
            status="stopped" if stopped[i] else "diverged" if diverged[i] else "finished",
            outcomes=outcomes.at(i),
            weights=weights and jax.tree.map(lambda x, i=i: x[i].copy(), weights),
        )
        for i in np.flatnonzero(runs.wanted)
    ]


def _train(group: Group, runs: _Runs, study: Study) -> tuple[PyTree, Bool[np.ndarray, " runs"]]:
    """Trains to the end. Returns the best weights of each run, and which were stopped."""
    progress, standing = group.progress, ~runs.wanted
    best, stopped = snapshot(group.state.params), standing
    _stand_still(group, stopped)
    group.clock = time.monotonic()
    while not group.finished and not standing.all():
        before, n_updates = progress.step, group.updates_of_next_chunk()
        standing = group.train(n_updates).diverged
        (elapsed,) = hosts.largest(group.lap())
        progress.duration += elapsed
        group.count(n_updates, elapsed)
        if group.passed(before, group.config.eval_freq) or group.finished:
            result = EvalResult(*hosts.fetch(group.programs.evaluate(group.state)))
            better = result.reward_mean > np.array(progress.best_reward)
            best = _replaced(better, best, group.state.params)
            progress.best_reward = np.where(
                better, result.reward_mean, progress.best_reward
            ).tolist()
            going = np.flatnonzero(~standing)
            positions = [runs.positions[i] for i in going]
            of_these = EvalResult(*(each[going] for each in result))
            told = list(study.evaluated(positions, progress.step, of_these))
            to_stop = np.isin(runs.positions, told) & ~standing
            _stand_still(group, to_stop)
            stopped, standing = stopped | to_stop, standing | to_stop
            progress.duration += hosts.largest(group.lap())[0]
    return best, stopped


def _stand_still(group: Group, which: Bool[np.ndarray, " runs"]) -> None:
    """Has these runs wait for the others, as diverged ones do; on a CPU that costs nothing."""
    if which.any():
        diverged = jax.device_put(group.state.diverged | which, group.programs.sharding.diverged)
        group.state = group.state.replace(diverged=diverged)


@jax.jit
def _replaced(which: Bool[Array, " runs"], old: PyTree, new: PyTree) -> PyTree:
    """The old weights, and the new ones of some runs."""

    def of_leaf(old: Array, new: Array) -> Array:
        return jnp.where(jnp.expand_dims(which, range(1, old.ndim)), new, old)

    return jax.tree.map(of_leaf, old, new)


# --- comparisons ----------------------------------------------------------------------------


def _compare(compared: Callable[..., Outcomes], runs: _Runs, weights: PyTree) -> Outcomes:
    """(runs, therapists, clients)."""
    clients = [client_params(each.at_end().for_evaluation()) for each in runs.configs]
    seeds = np.array([each.seed for each in runs.configs], np.int32)
    return Outcomes(*hosts.fetch(compared(stacked(clients), seeds, weights)))


@cache
def _comparison(ppo: PPO, n_clients: int, mesh: Mesh, few: bool) -> Callable[..., Outcomes]:
    """Of clients, seeds and policies, each along an axis of runs."""

    def of_run(clients: ClientParams, seed: Int[Array, ""], weights: PyTree) -> Outcomes:
        both = policy_therapist(ppo, weights), as_therapist(complementary)
        key = evaluation_key(seed)

        def of_therapist(which: Int[Array, ""]) -> Outcomes:
            ended = simulate(key, clients, taking_turns(both, which), n_clients)
            return jax.vmap(partial(ending, params=clients))(ended)

        return jax.lax.map(of_therapist, jnp.arange(len(both)))

    options = compile_quickly() if few else {}
    return jax.jit(layout.over_runs(of_run, mesh, (0, 0, 0)), compiler_options=options)
