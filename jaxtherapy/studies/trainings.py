"""Many trainings as one: runs that differ in numbers and seeds, dealt to all devices.

A run is a configuration. Runs that one program can train are trained in groups: on a CPU one run
on each core, elsewhere as many as fit into memory. Each is then compared with therapists that need
no training, on clients that it has not met. Nothing is written here, and nothing printed.
"""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Int, PyTree

from jaxtherapy.client import therapists
from jaxtherapy.client.params import ClientParams, client_params
from jaxtherapy.client.simulation import simulate
from jaxtherapy.client.therapists import as_therapist, fixed_map, taking_turns
from jaxtherapy.config import ConfigError, TrainingConfig
from jaxtherapy.config.settings import PPO
from jaxtherapy.devices import capacity, hosts, layout
from jaxtherapy.devices.pinned import pinned
from jaxtherapy.devices.programs import compile_programs, snapshot, stacked
from jaxtherapy.errors import is_out_of_memory
from jaxtherapy.evaluation.grid import Outcomes, outcome
from jaxtherapy.evaluation.map_search import search_maps
from jaxtherapy.ppo.evaluation import policy_therapist
from jaxtherapy.ppo.types import EvalResult, make_settings
from jaxtherapy.storage.progress import NEVER, Progress
from jaxtherapy.training.group import Group
from jaxtherapy.training.summary import summary_key

COMPARED = ("trained", "complementary", "random", "fixed_map", "myopic")
"""The therapists of every comparison, in order."""

Maps = dict[Any, Int[np.ndarray, "8"]]
"""Fixed maps that were found, by what tells kinds of clients from each other."""


@dataclass(frozen=True)
class Trained:
    """What came of a run.

    Attributes:
        position: among the configurations.
        config: of it.
        steps: that it was trained; fewer than wanted where it diverged or was stopped.
        seconds: of a device; of a group that shares one, each has its share.
        status: ``finished``, ``diverged`` or ``stopped``; what counts is the best state before.
        outcomes: of ``COMPARED`` with the same clients, (therapists, clients).
        answers: of the fixed map that was found for its clients.
        weights: with the best evaluation reward; None where they were not asked for.
    """

    position: int
    config: TrainingConfig
    steps: int
    seconds: float
    status: str
    outcomes: Outcomes
    answers: Int[np.ndarray, "8"]
    weights: PyTree | None


def _nobody_stops(positions: Sequence[int], step: int, result: EvalResult) -> Collection[int]:
    return ()


@dataclass(frozen=True)
class Study:
    """How runs are compared, and who is told.

    Attributes:
        n_clients: that each run is compared with.
        n_search: clients on which every map of a search is tried.
        keep_weights: whether they are fetched from the device.
        advance: is told of steps that were trained, of all runs together.
        evaluated: is told of an evaluation: the runs that are trained together (positions), steps
            of each, results along an axis of runs. Returns the runs that are to stop.
    """

    n_clients: int = 1_000
    n_search: int = 100
    keep_weights: bool = False
    advance: Callable[[int], None] = lambda steps: None
    evaluated: Callable[[Sequence[int], int, EvalResult], Collection[int]] = _nobody_stops


def check(configs: Sequence[TrainingConfig]) -> None:
    """Refuses what only a training of its own can do.

    Raises:
        ConfigError: one line that names the setting.
    """
    for config in configs:
        for name in ("target_success", "patience"):
            if (given := getattr(config, name)) is not None:
                raise ConfigError(
                    f"{name} is {given}, but runs of a sweep end together; set it to null, and "
                    "total_timesteps to what each shall take"
                )
        if config.n_seeds > 1:
            raise ConfigError(f"n_seeds is {config.n_seeds}, but a run of a sweep has one seed")


def in_programs(configs: Sequence[TrainingConfig]) -> list[list[int]]:
    """Positions of the runs that each program trains: they differ in numbers and seeds alone."""
    programs: dict[Any, list[int]] = {}
    for position, config in enumerate(configs):
        structure = jax.tree.structure(make_settings(config))
        shape = PPO.of(config), structure, config.total_timesteps, config.eval_freq
        programs.setdefault(shape, []).append(position)
    return list(programs.values())


def plan(configs: Sequence[TrainingConfig]) -> capacity.Plan:
    """How many runs of one program are trained together.

    Runs of a CPU's core follow one another anyhow, so each core is given one at a time.

    Raises:
        RunError: not even one fits into memory.
    """
    first, devices = configs[0], layout.usable_devices(len(configs))
    n_devices = len(devices)
    at_once = first.seeds_at_once
    if at_once is None and devices[0].platform == "cpu":
        at_once = n_devices
    return capacity.plan(
        PPO.of(first),
        make_settings(first),
        _full(len(configs), n_devices),
        at_once and _full(at_once, n_devices),
        -int(hosts.largest(-capacity.available_bytes())[0]),
        n_devices,
    )


def _full(n_runs: int, n_devices: int) -> int:
    """As many runs, or a few more, as keep all devices busy; fewer than those stay as they are."""
    return n_runs if n_runs < n_devices else -(-n_runs // n_devices) * n_devices


def train_points(
    configs: Sequence[TrainingConfig], study: Study | None = None, done: Collection[int] = ()
) -> Iterator[Trained]:
    """Trains every run and compares its therapist; group by group, as they are finished.

    Groups do not depend on what is done already, so a run is the same wherever it was broken off.

    Args:
        configs: of all runs.
        study: how they are compared, and who is told.
        done: positions of runs that are not to be trained again.

    Raises:
        ConfigError: what only a training of its own can do.
        RunError: runs do not fit into memory.
    """
    check(configs)
    study = study or Study()
    maps: Maps = {}
    for program in in_programs(configs):
        at_once = plan([configs[i] for i in program]).seeds_at_once
        for start in range(0, len(program), at_once):
            places = program[start : start + at_once]
            padded = places + places[-1:] * (at_once - len(places))
            wanted = [i not in done for i in places] + [False] * (at_once - len(places))
            if any(wanted):
                runs = _Runs(tuple(padded), [configs[i] for i in padded], np.array(wanted))
                yield from _train_together(runs, study, len(program), maps)


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


@pinned()
def _train_together(runs: _Runs, study: Study, n_in_all: int, maps: Maps) -> list[Trained]:
    """A group from its first update to the comparisons."""
    config, seeds = runs.configs[0], tuple(each.seed for each in runs.configs)
    ppo, progress = PPO.of(config), Progress(best_reward=[NEVER] * len(seeds))
    settings = stacked([make_settings(each) for each in runs.configs])
    n_evaluations = n_in_all * (config.total_timesteps // config.eval_freq + 1)
    try:
        programs = compile_programs(ppo, settings, seeds, n_evaluations=n_evaluations)
        group = Group(config, seeds, programs, programs.init(), progress)
        best, stopped = _train(group, runs, study)
        answers, outcomes = _compare(ppo, runs, best, programs.mesh, study, maps)
    except jax.errors.JaxRuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise capacity.out_of_memory(ppo, len(seeds)) from None
    diverged, n_updates = hosts.fetch((group.state.diverged & ~stopped, group.state.n_updates))
    weights = hosts.fetch(best) if study.keep_weights else None
    share = programs.mesh.size / max(1, runs.wanted.sum())
    return [
        Trained(
            position=runs.positions[i],
            config=runs.configs[i],
            steps=int(n_updates[i]) * config.steps_per_update,
            seconds=progress.duration * min(1.0, share),
            status="diverged" if diverged[i] else "stopped" if stopped[i] else "finished",
            outcomes=Outcomes(*(part[i] for part in outcomes)),
            answers=answers[i],
            weights=weights and jax.tree.map(lambda x, i=i: x[i].copy(), weights),
        )
        for i in np.flatnonzero(runs.wanted)
    ]


def _train(group: Group, runs: _Runs, study: Study) -> tuple[PyTree, Bool[np.ndarray, " runs"]]:
    """Trains to the end. Returns the best weights of each run, and which were stopped."""
    progress, stopped = group.progress, ~runs.wanted
    best, standing = snapshot(group.state.params), stopped
    _stand_still(group, stopped)
    group.clock = time.monotonic()
    while not group.finished and not standing.all():
        before, n_updates = progress.step, group.updates_of_next_chunk()
        standing = group.train(n_updates).diverged
        (elapsed,) = hosts.largest(group.lap())
        progress.duration += elapsed
        group.count(n_updates, elapsed)
        study.advance(int((~standing).sum()) * (progress.step - before))
        if group.passed(before, group.config.eval_freq) or group.finished:
            result = EvalResult(*hosts.fetch(group.programs.evaluate(group.state)))
            better = result.reward_mean > np.array(progress.best_reward)
            best = _replaced(better, best, group.state.params)
            highest = np.maximum(result.reward_mean, progress.best_reward)
            progress.best_reward = highest.tolist()
            told = study.evaluated(runs.positions, progress.step, result)
            stopped = stopped | np.isin(runs.positions, list(told))
            _stand_still(group, stopped)
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
    return jax.tree.map(
        lambda x, y: jnp.where(jnp.expand_dims(which, range(1, x.ndim)), y, x), old, new
    )


# --- comparisons ----------------------------------------------------------------------------


def _compare(
    ppo: PPO, runs: _Runs, weights: PyTree, mesh: Mesh, study: Study, maps: Maps
) -> tuple[Int[np.ndarray, "runs 8"], Outcomes]:
    """The maps that were found, and outcomes (runs, therapists, clients)."""
    clients = [client_params(each.at_end().for_evaluation()) for each in runs.configs]
    kinds = [b"".join(np.asarray(x).tobytes() for x in jax.tree.leaves(each)) for each in clients]
    new = {kind: each for kind, each in zip(kinds, clients, strict=True) if kind not in maps}
    if new:
        among = layout.make_mesh(len(new), ppo)
        maps |= zip(new, search_maps([*new.values()], study.n_search, among), strict=True)
    answers = np.array([maps[kind] for kind in kinds], np.int8)
    seeds = np.array([each.seed for each in runs.configs], np.int32)
    program = _comparison(ppo, study.n_clients, mesh)
    outcomes = program(stacked(clients), seeds, weights, answers)
    return answers, Outcomes(*hosts.fetch(outcomes))


@cache
def _comparison(ppo: PPO, n_clients: int, mesh: Mesh) -> Callable[..., Outcomes]:
    """Of clients, seeds, policies and maps, each along an axis of runs."""

    def of_run(
        clients: ClientParams, seed: Int[Array, ""], weights: PyTree, answers: Int[Array, "8"]
    ) -> Outcomes:
        fixed, ours = fixed_map(answers), policy_therapist(ppo, weights)
        others = therapists.complementary, therapists.random, fixed, therapists.myopic
        everyone = [ours, *map(as_therapist, others)]

        def of_therapist(which: Int[Array, ""]) -> Outcomes:
            ended = simulate(summary_key(seed), clients, taking_turns(everyone, which), n_clients)
            return jax.vmap(partial(outcome, params=clients))(ended)

        return jax.lax.map(of_therapist, jnp.arange(len(everyone)))

    return jax.jit(layout.over_runs(of_run, mesh, (0, 0, 0, 0)))
