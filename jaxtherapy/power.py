"""``python -m jaxtherapy.power``: see :mod:`jaxtherapy.cli.power`."""

import sys

from jaxtherapy.cli.launch import launch, main_of

main = main_of("power")

if __name__ == "__main__":
    sys.exit(launch("power"))
