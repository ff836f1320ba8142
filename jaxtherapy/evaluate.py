"""``python -m jaxtherapy.evaluate``: see :mod:`jaxtherapy.cli.evaluate`."""

import sys

from jaxtherapy.cli.launch import launch, main_of

main = main_of("evaluate")

if __name__ == "__main__":
    sys.exit(launch("evaluate"))
