"""``python -m jaxtherapy.play``: see :mod:`jaxtherapy.cli.play`."""

import sys

from jaxtherapy.cli.launch import launch, main_of

main = main_of("play")

if __name__ == "__main__":
    sys.exit(launch("play"))
