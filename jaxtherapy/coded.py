"""``python -m jaxtherapy.coded``: see :mod:`jaxtherapy.cli.coded`."""

import sys
from collections.abc import Sequence

from jaxtherapy.cli.launch import launch


def main(argv: Sequence[str] | None = None) -> int:
    """The command, in this process. Returns its exit code."""
    from jaxtherapy.cli.coded import main

    return main(argv)


if __name__ == "__main__":
    sys.exit(launch("coded"))
