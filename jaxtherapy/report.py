"""``python -m jaxtherapy.report``: see :mod:`jaxtherapy.cli.report`."""

import sys

from jaxtherapy.cli.launch import launch, main_of

main = main_of("report")

if __name__ == "__main__":
    sys.exit(launch("report"))
