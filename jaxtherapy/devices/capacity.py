"""How many seeds fit into memory at once: an estimate before anything is compiled."""

import math
import os
from dataclasses import dataclass, replace
from pathlib import Path

import jax
from jaxtyping import PyTree

from jaxtherapy.config.settings import PPO
from jaxtherapy.devices.layout import mesh_shape
from jaxtherapy.devices.programs import state_shapes
from jaxtherapy.errors import RunError
from jaxtherapy.networks import N_FEATURES
from jaxtherapy.ppo.ppo import collect
from jaxtherapy.ppo.schedules import settings_at
from jaxtherapy.ppo.types import Settings, TrainState, Transition

HEADROOM = 0.85
"""Share of the free memory that is planned with: the estimate is none to the byte."""

UNKNOWN_MEMORY = 2**32
"""Bytes taken for granted where the platform does not tell."""


@dataclass(frozen=True)
class Plan:
    """What a seed takes, what there is on each device, in bytes, and what follows."""

    each: int
    available: int
    n_devices: int
    seeds_at_once: int
    n_seeds: int

    @property
    def n_groups(self) -> int:
        """Trainings one after another."""
        return -(-self.n_seeds // self.seeds_at_once)

    def __str__(self) -> str:
        together = (
            f"all {self.n_seeds} seeds at once"
            if self.n_groups == 1
            else f"{self.n_groups} groups of up to {self.seeds_at_once} seeds, one after another"
        )
        where = f" for each of {self.n_devices} devices" if self.n_devices > 1 else ""
        return (
            f"memory: about {readable(self.each)} a seed, "
            f"{readable(self.available)} free{where}: {together}"
        )


def readable(n_bytes: float) -> str:
    """``12.3 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 1_000:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1_000
    return f"{n_bytes:.3g} TB"


def bytes_of(tree: PyTree) -> int:
    """Of all arrays, or of what tells their shapes."""
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def bytes_of_a_seed(ppo: PPO, settings: Settings) -> tuple[int, int]:
    """What training one seed needs: (independent of the rollout's size, growing with it)."""
    state = state_shapes(ppo, settings)

    def collected(settings: Settings, state: TrainState) -> Transition:
        return collect(ppo, settings_at(ppo, settings, state.n_updates), state)[1]

    rollout = jax.eval_shape(collected, settings, state)
    learned = bytes_of(state.params) + bytes_of(state.opt_state)
    # The state, its successor until that is known to be healthy, a copy being saved; gradients.
    fixed = 3 * learned + 2 * bytes_of(state.params)
    # Features and two layers of all rows at once, when values are computed in one pass.
    activations = 4 * ppo.steps_per_update * (N_FEATURES + 2 * ppo.hidden_size)
    clients = bytes_of(state.dyads) // ppo.n_envs
    evaluation = ppo.eval_episodes * (2 * clients + 4 * (N_FEATURES + 2 * ppo.hidden_size))
    growing = 2 * bytes_of(rollout) + activations + 4 * ppo.n_envs * clients
    return fixed, max(growing, evaluation)


def available_bytes() -> int:
    """Free memory of each device of this process, the smallest; on a CPU, its share of the host's
    or of the container's."""
    local = jax.local_devices()
    stats = [device.memory_stats() or {} for device in local]
    if all("bytes_limit" in each for each in stats):
        return int(min(each["bytes_limit"] - each.get("bytes_in_use", 0) for each in stats))
    return host_memory() // len(local)


def host_memory() -> int:
    """Free bytes of the host, or what its container may still take."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(x.split()[1]) * 1024 for x in lines if x.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        if not hasattr(os, "sysconf"):
            return UNKNOWN_MEMORY
        free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    group = Path("/sys/fs/cgroup")
    try:
        limit = int((group / "memory.max").read_text())
        return min(free, limit - int((group / "memory.current").read_text()))
    except (OSError, ValueError):  # no container, or one without a limit
        return free


def plan(
    ppo: PPO,
    settings: Settings,
    n_seeds: int,
    seeds_at_once: int | None,
    available: int,
    n_devices: int = 1,
) -> Plan:
    """Deals the seeds into groups that fit, as equal as can be; or as ``seeds_at_once`` wishes.
    Raises RunError: not even one seed fits into the ``available`` bytes of each device."""
    each, usable = sum(bytes_of_a_seed(ppo, settings)), HEADROOM * available
    if seeds_at_once is not None:
        return Plan(each, available, n_devices, min(n_seeds, seeds_at_once), n_seeds)
    fit = int(usable // each)
    if fit < 1:
        raise RunError(
            f"one seed needs about {readable(each)} of memory, and {readable(available)} are free; "
            f"lower {_smaller(ppo, settings, usable)}"
        )

    def sizes(n_groups: int) -> tuple[int, int]:
        return -(-n_seeds // n_groups), n_seeds // n_groups

    def fits(n_groups: int) -> bool:
        return all(
            size // mesh_shape(size, ppo.n_envs, n_devices)[0] <= fit for size in sizes(n_groups)
        )

    fewest = next(n for n in range(1, n_seeds + 1) if fits(n))
    # Equal groups compile once, and multiples of the devices keep all of them busy: look a little
    # further for such.
    candidates = filter(fits, range(fewest, min(2 * fewest, n_seeds + 1)))
    n_groups = max(candidates, key=lambda n: (n_seeds % n == 0, n_seeds % (n * n_devices) == 0, -n))
    return Plan(each, available, n_devices, sizes(n_groups)[0], n_seeds)


def _smaller(ppo: PPO, settings: Settings, usable: float) -> str:
    """Which setting to lower, and to what, so that a seed fits."""
    ppo = ppo.replace(n_steps=ppo.rollout_length)
    for name in ("n_envs", "n_steps", "eval_episodes"):
        value = before = getattr(ppo, name)
        while value > 1:
            value //= 2
            if sum(bytes_of_a_seed(replace(ppo, **{name: value}), settings)) <= usable:
                return f"{name} from {before} to {value}"
    return f"hidden_size, now {ppo.hidden_size}"


def out_of_memory(ppo: PPO, n_seeds: int, resumed: bool = False) -> RunError:
    """One line instead of XLA's many, when the estimate was too low. Of a run that is ``resumed``
    seeds and environments can't change any more."""
    if n_seeds > 1 and not resumed:
        half = n_seeds // 2
        advice = f"pass --seeds-at-once {half}, or lower n_seeds from {n_seeds} to {half}"
    elif ppo.n_envs > 1 and not resumed:
        advice = f"lower n_envs from {ppo.n_envs} to {ppo.n_envs // 2}"
    elif ppo.rollout_length > 1:
        advice = f"lower n_steps from {ppo.rollout_length} to {ppo.rollout_length // 2}"
    elif resumed:
        advice = "continue where more memory is free"
    else:
        advice = f"lower hidden_size from {ppo.hidden_size}"
    return RunError(f"out of memory; {advice}", exit_code=1)
