"""``run.json``: what ran, on what, from which source, for how long."""

import contextlib
import json
import math
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jaxtherapy
from jaxtherapy.storage.files import write_atomically

if TYPE_CHECKING:
    from jaxtyping import PyTree

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "gymnax", "numpy")


def now() -> str:
    """UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@cache
def source_commit() -> str | None:
    """The git commit of this source tree, if it is one; ``-dirty`` where it has changes. Of the
    first call: later changes are not in what is running."""
    folder = Path(jaxtherapy.__file__).parent.parent
    if not (folder / ".git").exists():
        return None
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() or None


@cache
def _version(package: str) -> str | None:
    with contextlib.suppress(metadata.PackageNotFoundError):  # training can do without gymnax
        return metadata.version(package)
    return None


def parameter_counts(params: "PyTree") -> dict[str, int]:
    """Parameters of each network; the trunk counts for the actor where it is shared."""
    import jax

    return {
        name: sum(math.prod(leaf.shape[1:]) for leaf in jax.tree.leaves(params[name]))
        for name in ("actor", "critic")
    }


def about(command: list[str]) -> dict[str, Any]:
    """What began now, on what, from which source."""
    import jax  # late: `read` is of use without it

    device = jax.devices()[0]
    return {
        "status": "running",
        "started": now(),
        "command": shlex.join(command),
        "commit": source_commit(),
        "versions": {
            "jaxtherapy": jaxtherapy.__version__,
            "python": sys.version.split()[0],
            **{name: _version(name) for name in _PACKAGES},
        },
        "device": {
            "platform": device.platform,
            "kind": device.device_kind,
            "count": jax.device_count(),
            "host": platform.platform(),
        },
    }


def write(path: Path, info: dict[str, Any]) -> None:
    """Writes the file, whole or not at all."""
    write_atomically(path, (json.dumps(info, indent=2, ensure_ascii=False) + "\n").encode())


def read(path: Path) -> dict[str, Any]:
    """What the file says; nothing where it is missing or damaged."""
    try:
        info = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return info if isinstance(info, dict) else {}


def is_ours(path: Path) -> bool:
    """Whether a run of ours wrote the file."""
    versions = read(path).get("versions")
    return isinstance(versions, dict) and "jaxtherapy" in versions
