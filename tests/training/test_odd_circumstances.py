"""Names that other programs choke on, and GPUs that are not there."""

import os
import subprocess
import sys

import jax
import matplotlib.axes
import pytest

from jaxtherapy.config import load_config
from tests.training import tiny

NAMES = ("$a_$", "a b", "ünï", "x.y", "{seed}", "50%")


@pytest.mark.parametrize("name", NAMES)
def test_odd_names_train_and_are_the_title_of_the_picture(undisturbed, folder, monkeypatch, name):
    titles = []
    set_title = matplotlib.axes.Axes.set_title

    def spied(axes, *arguments, **options):
        titles.append(set_title(axes, *arguments, **options))
        return titles[-1]

    monkeypatch.setattr(matplotlib.axes.Axes, "set_title", spied)
    flags = ["--experiment-name", name, "--total-timesteps", "80"]
    assert tiny.train(folder, *flags, pictures=True) == 0
    assert [title.get_text() for title in titles] == [name]
    assert not titles[0].get_parse_math()
    names = {path.name for path in (folder / "logs" / name).iterdir()}
    hidden = {f".{name}.lock", f".{name}.owner"}
    assert names == hidden | {f"{name}_progress.csv", f"{name}_progress.png"}
    saved = load_config(folder / "models" / name / "config.yaml")
    assert saved.experiment_name == name and saved.output_path.name == name


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
    "MPLBACKEND": "nonsense",
    "MPLCONFIGDIR": "/dev/null/nowhere",
}


def test_a_training_is_the_same_whatever_the_environment_says(undisturbed, folder):
    config = tiny.write_config(folder)
    command = [sys.executable, "-m", "jaxtherapy.train", "--config", config, "--device", "cpu"]
    ended = subprocess.run(
        command, env=os.environ | ENVIRONMENT, capture_output=True, text=True, timeout=400
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert tiny.results(folder) == tiny.results(undisturbed)
    assert (folder / "logs/tiny/tiny_progress.png").exists()
    assert "mkdir" not in ended.stdout and "no picture" not in ended.stdout


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="there is a GPU")
@pytest.mark.parametrize(
    ("flags", "platforms", "told"),
    [
        (["--device", "gpu"], "", "device gpu is not available; use --device auto, or install"),
        ([], "gpu", "JAX_PLATFORMS=gpu is not available; unset it, or use --device cpu"),
    ],
)
def test_a_gpu_that_is_not_there_is_one_line(folder, flags, platforms, told):
    """In a process of its own: this one has chosen its device already."""
    command = [sys.executable, "-m", "jaxtherapy.train", *flags]
    environment = os.environ | {"JAX_PLATFORMS": platforms}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 2 and not ended.stdout
    assert ended.stderr.count("\n") == 1 and told in ended.stderr
    assert not list(folder.iterdir())
