"""The commit-msg hook: a subject of at most 72 characters."""

import subprocess
import sys
from pathlib import Path

import pytest

HOOK = Path(__file__).parents[2] / ".ci" / "subject.py"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("x" * 72, 0),
        ("é" * 72, 0),
        ("x" * 73, 1),
        ("# a comment of git's, " + "x" * 73 + "\nshort\n\n" + "x" * 200, 0),
        ("\n\n" + "x" * 73, 1),
        ("Merge branch '" + "x" * 73, 0),
        ("", 0),
    ],
)
def test_a_subject(tmp_path, message, code):
    (tmp_path / "message").write_text(message, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, HOOK, tmp_path / "message"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == code
    assert done.stdout.count("\n") == code
