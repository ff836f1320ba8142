"""What the environment says about JAX changes no result."""

import os
import subprocess
import sys

import jax

from jaxtherapy.devices.pinned import PINNED, pinned
from tests.training import tiny

ENVIRONMENT = {
    "JAX_ENABLE_X64": "1",
    "JAX_NUMPY_DTYPE_PROMOTION": "strict",
    "JAX_NUMPY_RANK_PROMOTION": "raise",
    "JAX_DEFAULT_MATMUL_PRECISION": "bfloat16",
    "JAX_DEFAULT_PRNG_IMPL": "rbg",
    "JAX_RANDOM_SEED_OFFSET": "3",
    "JAX_DEBUG_NANS": "1",
    "JAX_DISABLE_JIT": "1",
    "JAX_TRANSFER_GUARD": "disallow",
}


def test_a_training_is_the_same_whatever_the_environment_says(undisturbed, folder):
    config = tiny.write_config(folder)
    command = [sys.executable, "-m", "jaxtherapy.train", "--config", config, "--device", "cpu"]
    ended = subprocess.run(
        command, env=os.environ | ENVIRONMENT, capture_output=True, text=True, timeout=400
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert tiny.results(folder) == tiny.results(undisturbed)


def test_what_others_set_comes_back():
    jax.config.update("jax_numpy_rank_promotion", "raise")
    try:
        with pinned():
            assert jax.config.jax_numpy_rank_promotion == PINNED["jax_numpy_rank_promotion"]
        assert jax.config.jax_numpy_rank_promotion == "raise"
    finally:
        jax.config.update("jax_numpy_rank_promotion", "allow")
