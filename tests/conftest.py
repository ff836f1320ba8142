"""What all tests share: recorded behaviour, and deterministic hypothesis runs."""

import gc
import json
import os
import shutil
import tempfile
from pathlib import Path

import hypothesis
import jaxtyping
import numpy as np
import pytest

from tests import shape_checks

# Before anything imports the rooms that are checked.
jaxtyping.install_import_hook(shape_checks.CHECKED, "tests.shape_checks.check")

TESTS = Path(__file__).parent
DATA = TESTS / "data"

MARKED_FOLDERS = {"browser", "hosts", "crash", "benchmarks", "r", "fuzz"}
"""Their tests have the folder's name as a marker."""

collect_ignore = ["gym", "torch"]  # in environments of their own: `make test-gym`, `test-torch`

# Derandomised: a test that passes today passes tomorrow. No deadline: the first example compiles.
hypothesis.settings.register_profile("jaxtherapy", derandomize=True, deadline=None)
hypothesis.settings.load_profile("jaxtherapy")


COMPILE_QUICKLY = " ".join(
    [
        "--xla_backend_optimization_level=0",  # LLVM's
        "--xla_cpu_use_fusion_emitters=false",  # MLIR's passes before it
        "--xla_cpu_parallel_codegen_split_count=1",
        "--xla_disable_hlo_passes=while-loop-invariant-code-motion",
    ]
)
"""Compiling is most of what tests cost, and unoptimised code serves them as well: half the time."""

CACHE, CACHED_FROM = "JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"

LONGEST = [
    "test_shown_commands",
    "test_docs",
    "training/test_groups",
    "storage/test_resume",
    "ppo/test_training",
    "training/test_train_command",
    "training/test_populations",
    "training/test_views",
    "training/test_edges",
    "devices/test_capacity",
    "evaluation/test_control",
    "cli/test_evaluate",
    "storage/test_started_elsewhere",
    "storage/test_keep_checkpoints",
    "test_choices",
    "client/test_simulation",
    "client/test_population",
    "envs/test_planner",
    "evaluation/test_statistics",
    "training/test_odd_circumstances",
    "storage/test_policies",
    "ppo/test_shaping",
    "client/test_double_precision",
    "training/test_hooks",
    "ppo/test_schedules",
    "training/test_schedules",
    "networks/encoders/test_history",
]
"""Files that come first, so that no worker begins a long one when the other is done."""


def pytest_configure(config):
    """Quick compilation, one cache of programs and one of bytecode for all processes of a run."""
    # Two programs at once can wait for each other for ever in XLA's thread pool on a CPU.
    os.environ["JAX_CPU_ENABLE_ASYNC_DISPATCH"] = "false"
    os.environ.setdefault("XLA_FLAGS", COMPILE_QUICKLY)
    if CACHE not in os.environ:
        os.environ[CACHE] = tempfile.mkdtemp(prefix="jaxtherapy-tests-")
        config.add_cleanup(lambda: shutil.rmtree(os.environ.pop(CACHE), ignore_errors=True))
    os.environ.setdefault(CACHED_FROM, "0")
    # For the processes that tests start, where the environment forbids it beside the source.
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
        os.environ.setdefault("PYTHONPYCACHEPREFIX", f"{os.environ[CACHE]}/bytecode")


def pytest_collection_finish():
    """What is imported by now stays: the collector need not look through it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items):
    """Marks tests by their folder, and puts the longest files first."""
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0]
        if folder in MARKED_FOLDERS:
            item.add_marker(folder)
    ranks = {TESTS / f"{name}.py": rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


@pytest.fixture(autouse=True)
def small_programs_are_cached_too():
    """What a test compiles, others find, whatever a command has set before."""
    import jax  # not before `pytest_configure`

    jax.config.update(CACHED_FROM.lower(), float(os.environ[CACHED_FROM]))


def load_arrays(name):
    with np.load(DATA / name, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


@pytest.fixture(scope="session")
def recorded_expectations():
    """500 recorded clients: what they feel, expect and do."""
    return load_arrays("expectations.npz")


@pytest.fixture(scope="session")
def recorded_episodes():
    """105 recorded therapies, session by session."""
    return load_arrays("episodes.npz")


@pytest.fixture(scope="session")
def recorded_patterns():
    """Recorded joint frequencies of initial memories: {pattern: 8×8}, and the sample size."""
    recorded = json.loads((DATA / "patterns.json").read_text())
    return recorded["joint_frequency_client_by_therapist"], recorded["samples_per_pattern"]


@pytest.fixture(scope="session")
def recorded_outcomes():
    """Recorded success, dropout, reward and length of fixed therapists, 600 episodes a row."""
    return json.loads((DATA / "outcomes.json").read_text())


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
