"""What a number was measured on: machine, versions, source."""

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from jaxtherapy.devices.layout import available_cores

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "jaxtherapy")
OLD_PACKAGES = ("torch", "tianshou", "gymnasium", "numpy")
ROOT = Path(__file__).parents[1]


def version(package: str) -> str | None:
    """Of an installed package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def output_of(*command: str) -> str:
    """The output of a short command; empty if it fails."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return result.stdout.strip()


def cpu_name() -> str:
    """As the processor calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [text.split(":", 1)[1].strip() for text in lines if text.startswith("model name")]
    return names[0] if names else platform.processor()


def memory_gib() -> float:
    """Of the machine."""
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)


def commit(tree: Path = ROOT) -> str | None:
    """Of this source tree, ``-dirty`` where it has changes; BENCH_COMMIT where there is no git.

    Results don't count: a part that is written would part the next one from it.
    """
    git = ("git", "-C", str(tree))
    described = output_of(*git, "describe", "--always", "--abbrev=12")
    source = (".", ":!benchmarks/results")
    changed = output_of(*git, "status", "--porcelain", "--untracked-files=no", "--", *source)
    return described + ("-dirty" if changed else "") or os.environ.get("BENCH_COMMIT")


def describe(packages: tuple[str, ...] = PACKAGES) -> dict[str, Any]:
    """Machine and versions, without starting JAX."""
    gpu = output_of(
        "nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"
    )
    return {
        "cpu": cpu_name(),
        "cores": available_cores(),
        "memory_gib": memory_gib(),
        "gpu": gpu.splitlines(),
        "system": platform.platform(),
        "python": sys.version.split()[0],
        "versions": {package: version(package) for package in packages},
        "commit": commit(),
    }
