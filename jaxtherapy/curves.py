"""``python -m jaxtherapy.curves``: see :mod:`jaxtherapy.cli.curves`."""

import sys

from jaxtherapy.cli.launch import launch, main_of

main = main_of("curves")

if __name__ == "__main__":
    sys.exit(launch("curves"))
