"""The compiled programs of many runs. Every one has a leading axis of runs.

A run is its settings and its seed. Several seeds are runs with equal settings; a sweep is runs
whose settings differ, and the programs are the same.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import PyTree

from jaxtherapy.config.settings import PPO
from jaxtherapy.devices import layout
from jaxtherapy.fast.compiling import on_cpu
from jaxtherapy.ppo.evaluation import evaluate
from jaxtherapy.ppo.ppo import init, train
from jaxtherapy.ppo.types import EvalResult, Settings, TrainState

FEW_EVALUATIONS = 12
"""With at most so many, optimising their program costs a CPU more than it saves."""


Tree = TypeVar("Tree")


class StoppedWhileCompiling(Exception):
    """The user asked to stop before there was anything to save."""


@dataclass(frozen=True)
class Shape:
    """All that decides the programs: everything but numbers. Hashable. Of the settings, shapes."""

    ppo: PPO
    settings: Settings
    mesh: Mesh
    n_runs: int

    @property
    def template(self) -> TrainState:
        """What the state looks like."""
        of_one = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), self.settings)
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct((self.n_runs, *x.shape), x.dtype),
            state_shapes(self.ppo, of_one),
        )


@dataclass(frozen=True)
class Programs:
    """The programs of these runs, bound to their settings and seeds."""

    init: Callable[[], TrainState]
    train: Callable[[TrainState, Any], TrainState]
    evaluate: Callable[[TrainState], EvalResult]
    reset_log: Callable[[TrainState], TrainState]
    template: TrainState
    sharding: TrainState
    mesh: Mesh


def shapes_of(tree: Tree) -> Tree:
    """What its arrays look like."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)


def stacked(settings: Sequence[Tree]) -> Tree:
    """The settings of several runs, or parts of them, along a leading axis. Raises ValueError:
    their structures differ: other mechanisms, or a schedule beside a constant."""
    return jax.tree.map(lambda *leaves: np.stack(leaves), *settings)


def compile_programs(
    ppo: PPO,
    settings: Settings,
    seeds: Sequence[int],
    stopped: Callable[[], bool] = lambda: False,
    n_evaluations: int = FEW_EVALUATIONS,
) -> Programs:
    """The programs of runs that are trained together.

    Settings are arguments of the programs, not constants in them: another learning rate or
    threshold finds the compiled program, in this process or in the persistent cache.

    Args:
        ppo: static, the same for all.
        settings, seeds: of each run, along a leading axis; see :func:`stacked`.
        stopped: whether to give up; asked ten times a second.
        n_evaluations: of all runs together.

    Raises:
        StoppedWhileCompiling: ``stopped`` said so.
    """
    mesh = layout.make_mesh(len(seeds), ppo)
    shape = Shape(ppo, shapes_of(settings), mesh, len(seeds))
    quickly = {"init", "reset_log"} | ({"evaluate"} if n_evaluations <= FEW_EVALUATIONS else set())
    pool = ThreadPoolExecutor(4, "compiler")  # threads, so that a signal is heard meanwhile
    submit = partial(pool.submit, _compiled, shape)
    jobs = list(map(submit, _PROGRAMS, map(quickly.__contains__, _PROGRAMS)))
    pool.shutdown(wait=False)
    _wait(jobs, stopped)
    trains, evaluates, begins, resets = (job.result() for job in jobs)
    by_run = NamedSharding(mesh, P(layout.RUNS))

    def placed(x: Any) -> jax.Array:
        return jax.make_array_from_callback(x.shape, by_run, x.__getitem__)

    settings, numbers = jax.tree.map(placed, (settings, np.array(seeds, np.int32)))
    return Programs(
        init=partial(begins, settings, numbers),
        train=partial(trains, settings),
        evaluate=partial(evaluates, settings),
        reset_log=lambda state: state.replace(log=resets(state.log)),
        template=shape.template,
        sharding=layout.state_sharding(mesh, shape.template),
        mesh=mesh,
    )


_PROGRAMS = ("train", "evaluate", "init", "reset_log")


def _wait(jobs: Sequence[Future[Any]], stopped: Callable[[], bool]) -> None:
    while wait(jobs, 0.1).not_done:
        if stopped() and jax.process_count() == 1:  # several stop after a chunk, together
            raise StoppedWhileCompiling


@cache
def _compiled(shape: Shape, name: str, quickly: bool) -> Callable[..., Any]:
    """One of the programs; as they are equal for equal shapes, each is compiled once."""
    ppo, mesh, template = shape.ppo, shape.mesh, shape.template
    by_run, everywhere = NamedSharding(mesh, P(layout.RUNS)), NamedSharding(mesh, P())
    places = layout.state_sharding(mesh, template)
    seeds = jax.ShapeDtypeStruct((shape.n_runs,), jnp.int32)
    n_updates = jax.ShapeDtypeStruct((), jnp.int32)
    function, arguments, sharding, result = {
        "train": (
            layout.over_runs(partial(train, ppo), mesh, (0, 0, None)),
            (shape.settings, template, n_updates),
            (by_run, places, everywhere),
            places,
        ),
        "evaluate": (
            layout.over_runs(partial(evaluate, ppo), mesh, (0, 0)),
            (shape.settings, template),
            (by_run, places),
            by_run,
        ),
        "init": (
            layout.over_runs(_init(ppo), mesh, (0, 0)),
            (shape.settings, seeds),
            (by_run, by_run),
            places,
        ),
        "reset_log": (
            partial(jax.tree.map, jnp.zeros_like),
            (template.log,),
            (places.log,),
            places.log,
        ),
    }[name]
    donated = {"train": 1, "reset_log": 0}.get(name, ())
    jitted = jax.jit(function, in_shardings=sharding, out_shardings=result, donate_argnums=donated)
    return jitted.lower(*arguments).compile(compile_quickly() if quickly else None)


def compile_quickly() -> dict[str, Any]:
    """Compiler options for programs that a CPU runs once or a few times: optimising them takes
    seconds and saves less."""
    return {"xla_backend_optimization_level": 0} if on_cpu() else {}


@jax.jit
def snapshot(tree: PyTree) -> PyTree:
    """A copy that stays when training donates the original."""
    return jax.tree.map(jnp.copy, tree)


def initial_state(ppo: PPO, settings: Settings, seeds: Sequence[int]) -> TrainState:
    """The state before the first update of runs with equal settings, compiling nothing else."""
    of_seeds = jax.vmap(partial(init, ppo), in_axes=(None, 0))
    return jax.jit(of_seeds)(settings, np.array(seeds, np.int32))


def state_shapes(ppo: PPO, settings: Settings) -> TrainState:
    """Shapes and dtypes of the state of one run; nothing is computed."""
    return jax.eval_shape(_init(ppo), settings, jax.ShapeDtypeStruct((), np.int32))


@cache
def _init(ppo: PPO) -> Callable[..., TrainState]:
    """The same function for the same program, so that JAX traces it once."""
    return jax.jit(partial(init, ppo), inline=True)
