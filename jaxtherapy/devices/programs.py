"""The compiled programs of a run. Every one has a leading axis of seeds."""

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import PyTree

from jaxtherapy.config.settings import PPO
from jaxtherapy.devices import layout as devices
from jaxtherapy.fast.compiling import on_cpu
from jaxtherapy.ppo.evaluation import evaluate
from jaxtherapy.ppo.ppo import init, train
from jaxtherapy.ppo.types import Settings, TrainState
from jaxtherapy.training.signals import StopRequest


class StoppedWhileCompiling(Exception):
    """The user asked to stop before there was anything to save."""


@dataclass(frozen=True)
class Programs:
    """Compiled for one configuration, number of seeds and set of devices."""

    init: Callable[..., TrainState]
    train: Callable[..., TrainState]
    evaluate: Callable[..., Any]
    template: TrainState
    sharding: TrainState
    mesh: Mesh

    def reset_log(self, state: TrainState) -> TrainState:
        """The same, with nothing logged since the last row."""
        return state.replace(log=self._zeros(state.log))

    @cached_property
    def _zeros(self) -> Callable[..., Any]:
        """Compiled once: a new ``jit`` for every row would compile anew."""
        zeros = partial(jax.tree.map, jnp.zeros_like)
        return jax.jit(zeros, out_shardings=self.sharding.log, donate_argnums=0)


@jax.jit
def snapshot(tree: PyTree) -> PyTree:
    """A copy that stays when training donates the original."""
    return jax.tree.map(jnp.copy, tree)


FEW_EVALUATIONS = 12
"""With at most so many, optimising their program costs a CPU more than it saves."""


def compile_programs(
    ppo: PPO,
    settings: Settings,
    seeds: tuple[int, ...],
    stop: StopRequest,
    n_evaluations: int = FEW_EVALUATIONS,
) -> Programs:
    """The programs of a run, bound to its settings and seeds.

    Settings are arguments of the programs, not constants in them: another learning rate or
    threshold finds the compiled program, in this process or in the persistent cache.

    Args:
        ppo, settings, seeds: of the run.
        stop: whether to give up.
        n_evaluations: of the whole run, over all seeds.

    Raises:
        StoppedWhileCompiling: a signal came meanwhile.
    """
    mesh = devices.make_mesh(len(seeds), ppo)
    settings = jax.tree.map(np.asarray, settings)  # belongs to every host and device
    quickly = {"init", "evaluate"} if n_evaluations <= FEW_EVALUATIONS else {"init"}
    key = (ppo, jax.tree.structure(settings), len(seeds), mesh, frozenset(quickly))
    if key not in _compiled:
        _compiled[key] = _compile(ppo, settings, len(seeds), mesh, stop, quickly)
    compiled, template, sharding = _compiled[key]
    by_seed = NamedSharding(mesh, P(devices.SEEDS))
    numbers = np.array(seeds, np.int32)
    return Programs(
        init=lambda: compiled["init"](
            settings, jax.make_array_from_callback(numbers.shape, by_seed, numbers.__getitem__)
        ),
        train=partial(compiled["train"], settings),
        evaluate=partial(compiled["evaluate"], settings),
        template=template,
        sharding=sharding,
        mesh=mesh,
    )


def compile_quickly() -> dict[str, Any]:
    """Compiler options for programs that a CPU runs once or a few times: optimising them takes
    seconds and saves less."""
    return {"xla_backend_optimization_level": 0} if on_cpu() else {}


_compiled: dict[Hashable, tuple[dict[str, Any], TrainState, TrainState]] = {}


def _compile(
    ppo: PPO,
    settings: Settings,
    n_seeds: int,
    mesh: Mesh,
    stop: StopRequest,
    quickly: set[str],
) -> tuple[dict[str, Any], TrainState, TrainState]:
    """Compiles side by side, in threads, so that a signal is heard meanwhile."""
    seeds = jax.ShapeDtypeStruct((n_seeds,), jnp.int32)
    n_updates = jax.ShapeDtypeStruct((), jnp.int32)
    one_seed = state_shapes(ppo, settings)
    template = jax.tree.map(lambda x: jax.ShapeDtypeStruct((n_seeds, *x.shape), x.dtype), one_seed)
    everywhere, by_seed = NamedSharding(mesh, P()), NamedSharding(mesh, P(devices.SEEDS))
    sharding = devices.state_sharding(mesh, template)
    jobs: dict[str, tuple[Any, tuple[Any, ...]]] = {
        "train": (
            jax.jit(
                devices.over_seeds(partial(train, ppo), mesh, (None, 0, None)),
                in_shardings=(everywhere, sharding, everywhere),
                out_shardings=sharding,
                donate_argnums=1,
            ),
            (settings, template, n_updates),
        ),
        "evaluate": (
            jax.jit(
                devices.over_seeds(partial(evaluate, ppo), mesh, (None, 0)),
                in_shardings=(everywhere, sharding),
                out_shardings=by_seed,
            ),
            (settings, template),
        ),
        "init": (
            jax.jit(
                devices.over_seeds(partial(init, ppo), mesh, (None, 0)),
                in_shardings=(everywhere, by_seed),
                out_shardings=sharding,
            ),
            (settings, seeds),
        ),
    }
    compiled: dict[str, Any] = {}
    errors: list[BaseException] = []

    def work(name: str) -> None:
        function, arguments = jobs[name]
        try:
            options = compile_quickly() if name in quickly else None
            compiled[name] = function.lower(*arguments).compile(options)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(name,), daemon=True) for name in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            thread.join(0.1)
            if stop.requested and jax.process_count() == 1:  # several stop after a chunk, together
                raise StoppedWhileCompiling
    if errors:
        raise errors[0]
    return compiled, template, sharding


def initial_state(ppo: PPO, settings: Settings, seeds: tuple[int, ...]) -> TrainState:
    """The state before the first update, compiling nothing else."""
    over_seeds = jax.vmap(partial(init, ppo), in_axes=(None, 0))
    return jax.jit(over_seeds)(settings, np.array(seeds, np.int32))


def state_shapes(ppo: PPO, settings: Settings) -> TrainState:
    """Shapes and dtypes of the state of one seed; nothing is computed."""
    return jax.eval_shape(_init(ppo), settings, jnp.int32(0))


@cache
def _init(ppo: PPO) -> Callable[..., TrainState]:
    """The same function for the same program, so that JAX traces it once."""
    return partial(init, ppo)
