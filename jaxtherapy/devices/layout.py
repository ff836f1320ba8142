"""Where seeds run: on one device, on all devices of this host, or on those of several hosts.

Seeds are independent, so each device trains its own without a word to the others (``shard_map``
over a mesh axis). With fewer seeds than devices the clients of a seed are spread over the rest
(the compiler's own partitioning over a second axis).
"""

import contextlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, SingleDeviceSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import PyTree

from jaxtherapy.config import TrainingConfig
from jaxtherapy.config.settings import PPO
from jaxtherapy.devices.cores import available_cores
from jaxtherapy.devices.hosts import are_several, join_hosts
from jaxtherapy.errors import RunError
from jaxtherapy.ppo.types import TrainState

SEEDS, CLIENTS = "seeds", "clients"

# --- choosing -------------------------------------------------------------------------------


def choose_device(device: str, config: TrainingConfig | None = None) -> None:
    """Restricts JAX to a device, joins other hosts and turns the compilation cache on.

    Args:
        device: ``auto``, ``cpu`` or ``gpu``.
        config: of a training, which may have several hosts, and seeds for several cores.

    Raises:
        RunError: a GPU is asked for and there is none, or the other hosts can't be reached.
    """
    # Two programs at once can wait for each other for ever in XLA's thread pool on a CPU.
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    if device != "auto":
        jax.config.update("jax_platforms", {"cpu": "cpu", "gpu": "cuda"}[device])
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        with contextlib.suppress(RuntimeError):  # no home, no cache
            base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
            jax.config.update("jax_compilation_cache_dir", str(Path(base) / "jaxtherapy" / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
    if config is not None and are_several(config):
        join_hosts(config)
    elif config is not None:
        deal_to_cores(config)
    try:
        jax.devices()
    except (RuntimeError, AssertionError):
        raise RunError(
            f"device {device} is not available; use --device auto, or install jax[cuda12] for a GPU"
        ) from None


def deal_to_cores(config: TrainingConfig) -> None:
    """Lets cores of a CPU count as devices, as many as there are seeds to train at once.

    A core then trains seeds of its own: small products are poorly shared among cores.
    """
    if _cpu_devices_are_given():
        return
    n_groups = -(-config.n_seeds // (config.seeds_at_once or config.n_seeds))
    smallest_group = config.n_seeds // n_groups
    with contextlib.suppress(RuntimeError):  # a process that has trained before keeps its devices
        jax.config.update("jax_num_cpu_devices", min(available_cores(), smallest_group))


def _cpu_devices_are_given() -> bool:
    """Whether the user says how many devices a CPU is."""
    flags = os.environ.get("XLA_FLAGS", "")
    return "host_platform_device_count" in flags or "JAX_NUM_CPU_DEVICES" in os.environ


def _are_cores() -> bool:
    """Whether devices are cores of one CPU, which share memory and each other's work."""
    is_cpu = jax.devices()[0].platform == "cpu"
    return is_cpu and not _cpu_devices_are_given() and jax.process_count() == 1


# --- laying out -----------------------------------------------------------------------------


def mesh_shape(n_seeds: int, n_envs: int, n_devices: int) -> tuple[int, int]:
    """Shares of seeds and of clients: as many shares of seeds as are equal, since seeds need
    nothing of each other; clients only where there are fewer seeds than devices."""
    seeds = max(d for d in range(1, min(n_seeds, n_devices) + 1) if n_seeds % d == 0)
    if n_seeds >= n_devices:
        return seeds, 1
    return seeds, max(d for d in range(1, n_devices // seeds + 1) if n_envs % d == 0)


def usable_devices(n_seeds: int) -> list[jax.Device]:
    """All that may have seeds of their own."""
    devices = jax.devices()
    return devices[:n_seeds] if _are_cores() else devices


def make_mesh(n_seeds: int, ppo: PPO) -> Mesh:
    """The devices as seeds × clients; see :func:`mesh_shape`.

    Cores of one CPU are not worth talking between for the clients of a seed.

    Raises:
        RunError: there are several hosts, and some would have nothing to do.
    """
    devices = usable_devices(n_seeds)
    seeds, clients = mesh_shape(n_seeds, ppo.n_envs, len(devices))
    if jax.process_count() > 1 and seeds * clients < len(devices):
        raise RunError(
            f"{n_seeds} seeds of {ppo.n_envs} clients can't be dealt evenly to {len(devices)} "
            f"devices of {jax.process_count()} hosts; make --n-seeds a multiple of {len(devices)}"
        )
    shape = seeds, clients
    return Mesh(np.array(devices[: np.prod(shape)]).reshape(shape), (SEEDS, CLIENTS))


def state_sharding(mesh: Mesh, template: TrainState) -> TrainState:
    """Where each part of a batch of states is: by seed, the clients themselves also by client."""
    by_seed = NamedSharding(mesh, P(SEEDS))
    by_client = NamedSharding(mesh, P(SEEDS, CLIENTS))
    tree = jax.tree.map(lambda _: by_seed, template)
    return tree.replace(dyads=jax.tree.map(lambda _: by_client, template.dyads))


def on_one_device(template: PyTree) -> PyTree:
    """All of it on the first device."""
    here = SingleDeviceSharding(jax.local_devices()[0])
    return jax.tree.map(lambda _: here, template)


def over_seeds(function: Callable[..., Any], mesh: Mesh, in_axes: tuple[int | None, ...]) -> Any:
    """A function of one seed as one of many; no device waits for another's seeds.

    A GPU works on its seeds side by side (``vmap``). A CPU takes them one after another: products
    of small batches keep a core busy, and as a batch of products they are slower.

    Args:
        function: of one seed.
        mesh: the devices among which seeds are dealt.
        in_axes: per argument 0, where it has a leading axis of seeds, or None.
    """
    batched = partial(_share_of_seeds, function, in_axes, mesh.devices.flat[0].platform)
    if mesh.size == 1:
        return batched
    return jax.shard_map(
        batched,
        mesh=mesh,
        in_specs=tuple(P() if axis is None else P(SEEDS) for axis in in_axes),
        out_specs=P(SEEDS),
        axis_names={SEEDS} | ({CLIENTS} if mesh.shape[CLIENTS] == 1 else set()),
        check_vma=False,
    )


def _share_of_seeds(
    function: Callable[..., Any], in_axes: tuple[int | None, ...], platform: str, *arguments: Any
) -> Any:
    """The seeds of one device."""
    if platform != "cpu":
        return jax.vmap(function, in_axes)(*arguments)

    def one(by_seed: list[Any]) -> Any:
        each = iter(by_seed)
        return function(
            *(
                argument if axis is None else next(each)
                for argument, axis in zip(arguments, in_axes, strict=True)
            )
        )

    by_seed = [x for x, axis in zip(arguments, in_axes, strict=True) if axis is not None]
    if jax.tree.leaves(by_seed)[0].shape[0] > 1:
        return jax.lax.map(one, by_seed)
    # One seed needs no axis of seeds in its program: a sixth less time at the defaults.
    alone = one(jax.tree.map(lambda x: x[0], by_seed))
    return jax.tree.map(lambda x: x[None], alone)


def describe(mesh: Mesh) -> str:
    """``NVIDIA H200 (gpu)``, with their number where there are several."""
    device = mesh.devices.flat[0]
    kind = f"{device.device_kind} ({device.platform})"
    if mesh.size == 1:
        return kind
    seeds, clients = mesh.devices.shape
    shares = f"{seeds} share{'s' * (seeds > 1)} of seeds"
    shares += f" × {clients} of clients" if clients > 1 else ""
    hosts = f" on {jax.process_count()} hosts" if jax.process_count() > 1 else ""
    return f"{mesh.size} × {kind}{hosts}, {shares}"


def idle(mesh: Mesh, n_seeds: int) -> str:
    """What to do about devices that have nothing to do; nothing where all are busy."""
    n_devices = len(usable_devices(n_seeds))
    if mesh.size == n_devices or _are_cores():
        return ""
    seeds = "1 seed keeps" if n_seeds == 1 else f"{n_seeds} seeds keep"
    return f"{seeds} {mesh.size} of {n_devices} devices busy; a multiple of {n_devices} keeps all"


def own_rows(mesh: Mesh, n_seeds: int) -> tuple[int, ...]:
    """Which of the seeds this host writes, as positions."""
    owners = [devices.flat[0].process_index for devices in mesh.devices]
    share = n_seeds // len(owners)
    here = jax.process_index()
    return tuple(i for i in range(n_seeds) if owners[i // share] == here)


def fetch_own(tree: PyTree, mesh: Mesh) -> PyTree:
    """The rows of :func:`own_rows`, as NumPy arrays; nothing travels between hosts."""
    if jax.process_count() == 1:
        return jax.device_get(tree)
    writers = set(mesh.devices[:, 0])

    def rows(x: jax.Array) -> np.ndarray:
        shards = [shard for shard in x.addressable_shards if shard.device in writers]
        ordered = sorted(shards, key=lambda shard: shard.index[0].start or 0)
        return np.concatenate([np.asarray(shard.data) for shard in ordered])

    return jax.tree.map(rows, tree)
