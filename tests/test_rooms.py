"""The core knows nothing of files, clocks and settings."""

import subprocess
import sys

CORE = (
    *("client", "envs.therapy", "agents.ppo", "networks", "first_layer", "compiling"),
    *("analysis.grid", "analysis.episodes", "analysis.statistics", "analysis.shape"),
    *("analysis.course", "analysis.across_seeds", "analysis.twin", "analysis.comparison"),
)
SHELL = ("jaxtherapy.training", "jaxtherapy.config", "jaxtherapy.cli.launch", "jaxtherapy.train")

IMPORT = """
import importlib, sys
for name in {core!r}:
    importlib.import_module("jaxtherapy." + name)
print([name for name in sys.modules if name.startswith({shell!r})])
"""


def test_the_core_imports_nothing_of_the_shell():
    code = IMPORT.format(core=CORE, shell=SHELL)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout == "[]\n"
