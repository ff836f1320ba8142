"""The SLURM script, the container file and the citation say what holds."""

import os
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

import jaxtherapy
from jaxtherapy.config import build_parser, load_config, parse_flags

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text()
SRUN = """#!/bin/sh
echo "$SRUN_CPUS_PER_TASK" "$@"
"""


def submitted(folder, *arguments):
    """The script as SLURM would run it, with a stand-in for ``srun`` that prints its arguments."""
    (folder / "srun").write_text(SRUN)
    (folder / "srun").chmod(0o755)
    env = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "SLURM_CPUS_PER_TASK": "6"}
    script = ["bash", str(ROOT / "deploy/train.slurm"), *arguments]
    return subprocess.run(script, env=env, capture_output=True, text=True)


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_the_slurm_script_trains(tmp_path):
    done = submitted(tmp_path, "configs/first_steps.yaml", "--n-seeds", "64")
    assert done.returncode == 0, done.stderr
    cpus, python, _, module, *flags = shlex.split(done.stdout)
    assert (cpus, python, module) == ("6", ".venv/bin/python", "jaxtherapy.train")
    given = parse_flags(build_parser("train", ""), flags)
    config = load_config(ROOT / given.pop("config"), given)
    assert config.n_seeds == 64 and config.resume == "auto"
    told = submitted(tmp_path)
    assert told.returncode and "say which configuration" in told.stderr


def test_slurm_reads_its_lines_before_any_command():
    script = (ROOT / "deploy/train.slurm").read_text().splitlines()
    first = next(i for i, line in enumerate(script) if not line.startswith("#"))
    asked = [i for i, line in enumerate(script) if line.startswith("#SBATCH")]
    assert asked and max(asked) < first


def test_the_container_installs_and_runs_what_there_is():
    default, other = re.findall(r"EXTRAS=(\w+)", DOCKERFILE)
    assert {default, other} <= {*PROJECT["optional-dependencies"]}
    assert {*re.findall(r"jaxtherapy-\w+", DOCKERFILE)} <= {*PROJECT["scripts"]}
    kept = re.findall(r"^!(.*)$", (ROOT / "deploy/Dockerfile.dockerignore").read_text(), re.M)
    assert all((ROOT / each).exists() for each in kept)
    assert {"jaxtherapy", "pyproject.toml", PROJECT["readme"]} <= {*kept}


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == jaxtherapy.__version__
    assert f"## {jaxtherapy.__version__}" in (ROOT / "CHANGELOG.md").read_text()
