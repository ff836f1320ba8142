"""``python -m jaxtherapy.coded``: see :mod:`jaxtherapy.cli.coded`."""

import sys

from jaxtherapy.cli.launch import launch, main_of

main = main_of("coded")

if __name__ == "__main__":
    sys.exit(launch("coded"))
