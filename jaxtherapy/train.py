"""``python -m jaxtherapy.train``: see :mod:`jaxtherapy.cli.train`."""

import sys

from jaxtherapy.cli.launch import launch, main_of

main = main_of("train")

if __name__ == "__main__":
    sys.exit(launch("train"))
