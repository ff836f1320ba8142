"""``make help`` tells everything that ``make`` can do, and the README what people need first."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAKEFILE = (ROOT / "Makefile").read_text().replace("\\\n", " ")  # continued lines are one
PHONY = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[1].split()


def test_every_target_is_declared():
    """Else a file of that name would keep ``make`` from running it."""
    assert sorted(PHONY) == sorted(re.findall(r"^([a-z][a-z-]*):(?!=)", MAKEFILE, re.MULTILINE))


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
@pytest.mark.parametrize("target", PHONY)
def test_every_target_is_in_the_help(target):
    told = subprocess.run(
        ["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert re.search(rf"^make {target}(?![\w-])", told.stdout, re.MULTILINE)


@pytest.mark.parametrize("target", ["train", "report", "test", "test-browser", "test-hard", "lint"])
def test_the_readme_mentions(target):
    assert re.search(rf"make {target}(?![\w-])", (ROOT / "README.md").read_text())


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
@pytest.mark.parametrize(("version", "taken"), [((3, 11), True), ((3, 12), True), ((3, 13), False)])
def test_the_pytorch_environment_is_of_a_python_that_its_numpy_knows(tmp_path, version, taken):
    """A Python that says of itself that it is of some version; no other is there to be found."""
    for name in ("python3", "python3.12", "python3.11"):
        stand_in = tmp_path / name
        stand_in.write_text(
            f"#!{sys.executable}\nimport sys\nsys.version_info = {(*version, 0)}\n"
            "exec(sys.argv[2])\n"
        )
        stand_in.chmod(0o755)
    for name in ("make", "sh", "bash", "grep"):
        if found := shutil.which(name):
            (tmp_path / name).symlink_to(found)
    chosen = subprocess.run(
        ["make", "--eval", "say:;@echo [$(TORCH_PYTHON)]", "say"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={"PATH": str(tmp_path)},
        timeout=60,
        check=True,
    ).stdout
    assert chosen == ("[python3]\n" if taken else "[]\n")
