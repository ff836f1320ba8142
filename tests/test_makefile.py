"""``make help`` tells everything that ``make`` can do, and the README what people need first."""

import re
import shutil
import subprocess
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
    told = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert re.search(rf"^make {target}(?![\w-])", told.stdout, re.MULTILINE)


@pytest.mark.parametrize("target", ["train", "report", "test", "test-browser", "test-hard", "lint"])
def test_the_readme_mentions(target):
    assert re.search(rf"make {target}(?![\w-])", (ROOT / "README.md").read_text())
