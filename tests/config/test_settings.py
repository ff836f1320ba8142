"""Every setting, declared once."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import jaxtherapy

NUMBER = """
    tolerance: Real = _clients(3.0, "how much a client bears", "[0, 10]", unit="sighs")
"""
USE = """
import jax
import numpy as np
from jaxtherapy import BASELINES, simulate
from jaxtherapy import config as configuration
from jaxtherapy.cli.train import read_configuration
from jaxtherapy.client.params import client_params

assert load_config().tolerance == 3.0
config, _ = read_configuration(["--tolerance", "{linear: [1, 7]}"])
assert client_params(config.at_end()).tolerance == np.float32(7)
save_config(config, "c.yaml")
assert load_config("c.yaml") == config and "tolerance:" in open("c.yaml").read()
text = " ".join(configuration.build_parser("train", "").format_help().split())
assert "--tolerance X how much a client bears (float or schedule or distribution, sighs; d" in text
config, _ = read_configuration(["--tolerance", "{uniform: [2, 4]}"])
dyads = simulate(jax.random.key(0), client_params(config), BASELINES["random"], n_dyads=9)
assert np.all((dyads.drawn["tolerance"] >= 2) & (dyads.drawn["tolerance"] <= 4))
try:
    load_config(None, {"tolerance": 11})
except configuration.ConfigError as error:
    print(error)
"""


def test_a_number_of_clients_is_one_edit(tmp_path):
    """One line in a copy of the package is a key, a flag with help and bounds, and a leaf."""
    package = tmp_path / "jaxtherapy"
    shutil.copytree(Path(jaxtherapy.__file__).parent, package)
    settings = package / "config/settings.py"
    before = settings.read_text()
    first = "    threshold: Real ="
    assert before.count(first) == 1
    settings.write_text(before.replace(first, NUMBER + first))
    script = "from jaxtherapy.config import load_config, save_config\n" + USE
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stderr == ""
    assert done.stdout == "tolerance is 11, must be a number of at least 0 and at most 10\n"


def test_settings_are_known_without_anything_heavy():
    script = (
        "import sys, jaxtherapy.config\n"
        "print({name.split('.')[0] for name in sys.modules} - set(sys.stdlib_module_names))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    loaded = {name for name in eval(done.stdout) if not name.startswith("_")}
    assert loaded - {"cython_runtime"} == {"jaxtherapy", "yaml"}
