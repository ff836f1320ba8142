"""The recordings and the oracle once more in float64, at 1e-9.

In a process of its own: precision is a global choice of JAX, and constants that it met in float32
(NumPy arrays closed over by compiled functions) stay rounded when it is switched midway.
"""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def test_recordings_and_oracle_in_float64():
    files = [HERE / "test_recordings.py", HERE / "test_oracle.py"]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *map(str, files)],
        cwd=ROOT,
        env=os.environ | {"JAX_ENABLE_X64": "1"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "skipped" not in result.stdout
