"""``python -m jaxtherapy.curves``: see :mod:`jaxtherapy.cli.curves`."""

import sys
from collections.abc import Sequence

from jaxtherapy.cli.launch import launch


def main(argv: Sequence[str] | None = None) -> int:
    """The command, in this process. Returns its exit code."""
    from jaxtherapy.cli.curves import main

    return main(argv)


if __name__ == "__main__":
    sys.exit(launch("curves"))
