"""Where seeds run: on one device, on all devices of this host, or on those of several hosts.

Seeds are independent, so each device trains its own without a word to the others (``shard_map``
over a mesh axis). With fewer seeds than devices the clients of a seed are spread over the rest
(the compiler's own partitioning over a second axis).
"""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, SingleDeviceSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import PyTree

from jaxtherapy.agents.ppo import TrainState
from jaxtherapy.config import TrainingConfig
from jaxtherapy.training.errors import RunError
from jaxtherapy.training.hosts import join_hosts

SEEDS, CLIENTS = "seeds", "clients"

# --- choosing -------------------------------------------------------------------------------


def choose_device(device: str, hosts: TrainingConfig | None = None) -> None:
    """Restricts JAX to a device, joins other hosts and turns the compilation cache on.

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
    if hosts is not None:
        join_hosts(hosts)
    try:
        jax.devices()
    except (RuntimeError, AssertionError):
        raise RunError(
            f"device {device} is not available; use --device auto, or install jax[cuda12] for a GPU"
        ) from None


# --- laying out -----------------------------------------------------------------------------


def make_mesh(n_seeds: int, n_envs: int) -> Mesh:
    """The devices as seeds × clients: as many as divide the work evenly, seeds first.

    Raises:
        RunError: there are several hosts, and some would have nothing to do.
    """
    devices = jax.devices()
    shapes = [
        (seeds, clients)
        for seeds in range(1, len(devices) + 1)
        for clients in range(1, len(devices) // seeds + 1)
        if n_seeds % seeds == 0 and n_envs % clients == 0
    ]
    seeds, clients = max(shapes, key=lambda shape: (shape[0] * shape[1], shape[0]))
    if jax.process_count() > 1 and seeds * clients < len(devices):
        raise RunError(
            f"{n_seeds} seeds of {n_envs} clients can't be dealt evenly to {len(devices)} devices "
            f"of {jax.process_count()} hosts; make --n-seeds a multiple of {len(devices)}"
        )
    return Mesh(np.array(devices[: seeds * clients]).reshape(seeds, clients), (SEEDS, CLIENTS))


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
    """``vmap`` over seeds, each device on its own share; no device waits for another's seeds."""
    batched = jax.vmap(function, in_axes)
    if mesh.size == 1:
        return batched
    return jax.shard_map(
        batched,
        mesh=mesh,
        in_specs=tuple(P() if axis is None else P(SEEDS) for axis in in_axes),
        out_specs=P(SEEDS),
        axis_names={SEEDS},
        check_vma=False,
    )


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


def own_rows(mesh: Mesh, n_seeds: int) -> tuple[int, ...]:
    """Which of the seeds this host writes, as positions."""
    owners = [row[0].process_index for row in mesh.devices]
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
