"""Names that other programs choke on, and GPUs that are not there."""

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
    assert tiny.train(folder, "--experiment-name", name, "--total-timesteps", "80") == 0
    assert [title.get_text() for title in titles] == [name]
    assert not titles[0].get_parse_math()
    names = {path.name for path in (folder / "logs" / name).iterdir()}
    assert names == {f".{name}.lock", f"{name}_progress.csv", f"{name}_progress.png"}
    saved = load_config(folder / "models" / name / "config.yaml")
    assert saved.experiment_name == name and saved.output_path.name == name


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_one_line(folder):
    """In a process of its own: this one has chosen its device already."""
    command = [sys.executable, "-m", "jaxtherapy.train", "--device", "gpu"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 2 and not ended.stdout
    assert ended.stderr.count("\n") == 1 and "device gpu is not available" in ended.stderr
    assert not list(folder.iterdir())
