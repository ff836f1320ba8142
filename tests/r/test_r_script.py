"""R reads what we write: the script in docs/ with a small study."""

import re
import subprocess
from pathlib import Path

from jaxtherapy.cli.evaluate import main

SCRIPT = Path(__file__).parents[2] / "docs/logistic_regression.R"


def test_the_script_fits_a_logistic_regression(tmp_path):
    clients = ["--patterns", "mixed_random", "--thresholds", "0.6", "--max-sessions", "12"]
    sizes = ["--episodes", "150", "--course-episodes", "0", "--bootstrap-samples", "100"]
    folders = ["--output-dir", str(tmp_path / "report"), "--data", str(tmp_path / "data")]
    assert main(["--baselines", "random", *clients, *sizes, *folders, "--no-report"]) == 0
    told = subprocess.run(
        ["Rscript", str(SCRIPT), str(tmp_path / "data")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert told.returncode == 0, told.stderr
    assert "n = 300" in told.stdout
    row = re.search(r"^therapistrandom +([\d.]+) +([\d.]+) +([\d.]+)$", told.stdout, re.MULTILINE)
    ratio, low, high = map(float, row.groups())
    assert low < ratio < high
