"""Builds sdist and wheel, and uses the wheel outside of the checkout: ``make test-wheel``.

Each Python of PYTHONS that is on this machine gets an environment of its own with the newest
dependencies, and the oldest Python another with the lowest that pyproject.toml allows.
"""

import argparse
import glob
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[2]
SMOKE = Path(__file__).with_name("smoke.py")
PYTHONS = ("3.11", "3.12", "3.13")


def find_python(version: str) -> str | None:
    """One that starts; a command of that name may be a shim of pyenv that does not."""
    known = glob.glob(os.path.expanduser(f"~/.pyenv/versions/{version}.*/bin/python"))
    for each in (shutil.which(f"python{version}"), *known, sys.executable):
        told = "import sys; print('{}.{}'.format(*sys.version_info))"
        if each is None:
            continue
        done = subprocess.run([each, "-c", told], capture_output=True, text=True, check=False)
        if done.stdout.strip() == version:
            return each
    return None


def uv(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "uv", "--quiet", *arguments], check=True)


def try_in(python: str, wheel: Path, folder: Path, *options: str) -> None:
    """Installs the wheel in a new environment and uses it in an empty folder."""
    start = time.perf_counter()
    home, place = folder / "environment", folder / "place"
    place.mkdir(parents=True)
    uv("venv", "--python", python, str(home))
    # Windows has its programs elsewhere.
    inside = home / ("Scripts" if os.name == "nt" else "bin") / "python"
    uv("pip", "install", "--python", str(inside), *options, f"{wheel}[gymnasium]")
    variables = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    variables |= {
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(folder.parent / "cache"),  # of all Pythons
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "XLA_FLAGS": "--xla_backend_optimization_level=0",
    }
    command = [str(inside), str(SMOKE), str(ROOT)]
    subprocess.run(command, cwd=place, env=variables, check=True)
    print(f"{folder.name}: works, {time.perf_counter() - start:.0f} s", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pythons", nargs="*", default=PYTHONS, help="versions, such as 3.12")
    parser.add_argument("--lowest", action="store_true", help="only the lowest dependencies")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="jaxtherapy-wheel-") as name:
        folder = Path(name)
        uv("build", "--out-dir", str(folder / "dist"), str(ROOT))  # the wheel from the sdist
        (wheel,) = (folder / "dist").glob("*.whl")
        found = {version: find_python(version) for version in given.pythons}
        there = {version: python for version, python in found.items() if python}
        if not there:
            print(f"error: none of Python {', '.join(found)} is here", file=sys.stderr)
            return 1
        version = min(there)
        lowest = folder / f"Python {version}, lowest dependencies"
        bounds = "--requirement", str(ROOT / "pyproject.toml"), "--extra", "gymnasium"
        jobs = [(there[version], wheel, lowest, "--resolution", "lowest-direct", *bounds)]
        if not given.lowest:
            jobs += [(python, wheel, folder / f"Python {v}") for v, python in there.items()]
        with ThreadPoolExecutor(2) as pool:  # one for each of CI's cores
            list(pool.map(lambda job: try_in(*job), jobs))
    for version in found.keys() - there.keys():
        print(f"NOT TESTED: Python {version} is not on this machine", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
