"""``python -m results``: see :mod:`results.command`."""

import sys

from jaxtherapy.cli.launch import launch

if __name__ == "__main__":
    sys.exit(launch("command", room="results"))
