"""Where runs are computed: on one device, on all devices of this host, or on several hosts.

Runs are independent, so each device trains its own without a word to the others (``shard_map``
over a mesh axis). With fewer runs than devices the clients of a run are spread over the rest
(the compiler's own partitioning over a second axis).
"""

import contextlib
import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, SingleDeviceSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import PyTree

from jaxtherapy.config import TrainingConfig
from jaxtherapy.config.settings import PPO
from jaxtherapy.devices.hosts import are_several, join_hosts
from jaxtherapy.errors import RunError
from jaxtherapy.ppo.types import TrainState

RUNS, CLIENTS = "runs", "clients"

# --- choosing -------------------------------------------------------------------------------


def choose_device(device: str, config: TrainingConfig | None = None, cache: bool = True) -> str:
    """Restricts JAX to a device (``auto``, ``cpu`` or ``gpu``), and joins other hosts; returns
    what the user should know about it.

    Args:
        config: of a training, which may have several hosts, and seeds for several cores.
        cache: whether compiled programs are kept on the disk.

    Raises:
        RunError: a GPU is asked for and there is none, or the other hosts can't be reached.
    """
    # Two programs at once can wait for each other for ever in XLA's thread pool on a CPU.
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    if device != "auto":
        jax.config.update("jax_platforms", {"cpu": "cpu", "gpu": "cuda"}[device])
    note = _keep_compiled() if cache else ""
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
    if config is not None and are_several(config):
        join_hosts(config)
    elif config is not None:
        deal_to_cores(config)
    try:
        jax.devices()
    except (RuntimeError, AssertionError):
        raise RunError(_not_available(device)) from None
    return note


def _keep_compiled() -> str:
    """Has compiled programs kept on the disk. Returns why they can't be, if they can't."""
    folder = os.environ.get("JAX_COMPILATION_CACHE_DIR", "")
    if "://" in folder:  # in a cloud
        return ""
    # JAX would warn of every program; what is read-only may still have some of them.
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache")
    try:
        if not folder:
            base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
            folder = str(Path(base) / "jaxtherapy" / "xla")
            jax.config.update("jax_compilation_cache_dir", folder)
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except (OSError, RuntimeError) as error:  # or there is no home
        reason = getattr(error, "strerror", None) or error
        return (
            f"compiled programs can't be kept in {folder or '~/.cache'} ({reason}), so every start "
            "compiles anew; name a folder that can be written: JAX_COMPILATION_CACHE_DIR"
        )


def _not_available(device: str) -> str:
    """What to do, which is not what was done."""
    wanted = os.environ.get("JAX_PLATFORMS", "")
    if device == "auto" and wanted:
        return f"JAX_PLATFORMS={wanted} is not available; unset it, or use --device cpu"
    other = "cpu" if device == "auto" else "auto"
    install = ", or install jax[cuda12] for a GPU" if device != "cpu" else ""
    return f"device {device} is not available; use --device {other}{install}"


def available_cores() -> int:
    """Cores that this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)  # macOS has none
    return len(allowed(0)) if allowed else os.cpu_count() or 1


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


def mesh_shape(n_runs: int, n_envs: int, n_devices: int) -> tuple[int, int]:
    """Shares of runs and of clients: as many shares of runs as are equal, since runs need
    nothing of each other; clients only where there are fewer runs than devices."""
    runs = max(d for d in range(1, min(n_runs, n_devices) + 1) if n_runs % d == 0)
    if n_runs >= n_devices:
        return runs, 1
    return runs, max(d for d in range(1, n_devices // runs + 1) if n_envs % d == 0)


def usable_devices(n_runs: int) -> list[jax.Device]:
    """All that may have runs of their own; cores of one CPU do not share the clients of a run."""
    devices = jax.devices()
    return devices[:n_runs] if _are_cores() else devices


def make_mesh(n_runs: int, ppo: PPO) -> Mesh:
    """The devices as runs × clients; see :func:`mesh_shape`.
    Raises RunError: there are several hosts, and some would have nothing to do."""
    devices = usable_devices(n_runs)
    shape = mesh_shape(n_runs, ppo.n_envs, len(devices))
    if jax.process_count() > 1 and np.prod(shape) < len(devices):
        raise RunError(
            f"{n_runs} seeds of {ppo.n_envs} clients can't be dealt evenly to {len(devices)} "
            f"devices of {jax.process_count()} hosts; make --n-seeds a multiple of {len(devices)}"
        )
    return Mesh(np.array(devices[: np.prod(shape)]).reshape(shape), (RUNS, CLIENTS))


def state_sharding(mesh: Mesh, template: TrainState) -> TrainState:
    """Where each part of a batch of states is: by run, the clients themselves also by client."""
    by_run, by_client = NamedSharding(mesh, P(RUNS)), NamedSharding(mesh, P(RUNS, CLIENTS))
    tree = jax.tree.map(lambda _: by_run, template)
    return tree.replace(dyads=jax.tree.map(lambda _: by_client, template.dyads))


def on_one_device(template: PyTree) -> PyTree:
    """All of it on the first device."""
    here = SingleDeviceSharding(jax.local_devices()[0])
    return jax.tree.map(lambda _: here, template)


def over_runs(function: Callable[..., Any], mesh: Mesh, in_axes: tuple[int | None, ...]) -> Any:
    """A function of one run as one of many; no device waits for another's runs. ``in_axes`` has
    per argument 0, where it has a leading axis of runs, or None.

    A GPU works on its runs side by side (``vmap``). A CPU takes them one after another: products
    of small batches keep a core busy, and as a batch of products they are slower.
    """
    on_cpu = mesh.devices.flat[0].platform == "cpu"
    batched = _one_by_one(function, in_axes) if on_cpu else jax.vmap(function, in_axes)
    if mesh.size == 1:
        return batched
    return jax.shard_map(
        batched,
        mesh=mesh,
        in_specs=tuple(P() if axis is None else P(RUNS) for axis in in_axes),
        out_specs=P(RUNS),
        axis_names={RUNS} | ({CLIENTS} if mesh.shape[CLIENTS] == 1 else set()),
        check_vma=False,
    )


def _one_by_one(function: Callable[..., Any], in_axes: tuple[int | None, ...]) -> Any:
    """The runs of one device after one another; one alone has no axis of runs in its program,
    which is a sixth less time at the defaults."""

    def share(*arguments: Any) -> Any:
        def of_one(run: list[Any]) -> list[Any]:
            each = iter(run)
            pairs = zip(arguments, in_axes, strict=True)
            return [x if axis is None else next(each) for x, axis in pairs]

        batched = [x for x, axis in zip(arguments, in_axes, strict=True) if axis is not None]
        if jax.tree.leaves(batched)[0].shape[0] > 1:
            return jax.lax.map(lambda run: function(*of_one(run)), batched)
        alone = function(*of_one(jax.tree.map(lambda x: x[0], batched)))
        return jax.tree.map(lambda x: x[None], alone)

    return share


def describe(mesh: Mesh) -> str:
    """``NVIDIA H200 (gpu)``, with their number where there are several."""
    device = mesh.devices.flat[0]
    kind = f"{device.device_kind} ({device.platform})"
    if mesh.size == 1:
        return kind
    runs, clients = mesh.devices.shape
    shares = f"{runs} share{'s' * (runs > 1)} of seeds"
    shares += f" × {clients} of clients" if clients > 1 else ""
    hosts = f" on {jax.process_count()} hosts" if jax.process_count() > 1 else ""
    return f"{mesh.size} × {kind}{hosts}, {shares}"


def idle(mesh: Mesh, n_runs: int) -> str:
    """What to do about devices that have nothing to do; empty where all are busy."""
    n_devices = len(usable_devices(n_runs))
    if mesh.size == n_devices or _are_cores():
        return ""
    seeds = "1 seed keeps" if n_runs == 1 else f"{n_runs} seeds keep"
    return f"{seeds} {mesh.size} of {n_devices} devices busy; a multiple of {n_devices} keeps all"


def own_runs(mesh: Mesh, n_runs: int) -> tuple[int, ...]:
    """Which of the runs this host writes, as positions."""
    owners = [devices.flat[0].process_index for devices in mesh.devices]
    share = n_runs // len(owners)
    here = jax.process_index()
    return tuple(i for i in range(n_runs) if owners[i // share] == here)


def fetch_own(tree: PyTree, mesh: Mesh) -> PyTree:
    """Those of :func:`own_runs`, as NumPy arrays; nothing travels between hosts."""
    if jax.process_count() == 1:
        return jax.device_get(tree)
    writers = set(mesh.devices[:, 0])

    def of_leaf(x: jax.Array) -> np.ndarray:
        shards = [shard for shard in x.addressable_shards if shard.device in writers]
        ordered = sorted(shards, key=lambda shard: shard.index[0].start or 0)
        return np.concatenate([np.asarray(shard.data) for shard in ordered])

    return jax.tree.map(of_leaf, tree)
