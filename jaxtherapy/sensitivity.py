"""``python -m jaxtherapy.sensitivity``: see :mod:`jaxtherapy.cli.sensitivity`."""

import sys

from jaxtherapy.cli.launch import launch, main_of

main = main_of("sensitivity")

if __name__ == "__main__":
    sys.exit(launch("sensitivity"))
