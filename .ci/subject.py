"""Refuses a commit message whose subject has more than 72 characters (a commit-msg hook)."""

import sys
from pathlib import Path

MOST = 72


def main(file: str) -> int:
    """The exit code for a file with a commit message."""
    lines = Path(file).read_text(encoding="utf-8").splitlines()
    subject = next((line for line in lines if line.strip() and not line.startswith("#")), "")
    if len(subject) <= MOST or subject.startswith(("Merge ", "Revert ", "fixup! ", "squash! ")):
        return 0
    print(
        f"error: the subject has {len(subject)} characters, at most {MOST} are allowed: {subject}"
    )
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
