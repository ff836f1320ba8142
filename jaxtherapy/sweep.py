"""``python -m jaxtherapy.sweep``: see :mod:`jaxtherapy.cli.sweep`."""

import sys

from jaxtherapy.cli.launch import launch, main_of

main = main_of("sweep")

if __name__ == "__main__":
    sys.exit(launch("sweep"))
