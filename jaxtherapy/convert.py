"""``python -m jaxtherapy.convert``: see :mod:`jaxtherapy.cli.convert`."""

import sys

from jaxtherapy.cli.launch import launch, main_of

main = main_of("convert")

if __name__ == "__main__":
    sys.exit(launch("convert"))
