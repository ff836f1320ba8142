"""The new side of the comparison: one rate, after compilation, as JSON. Counterpart of old_stack.

``new_side.py environment``, ``new_side.py defaults``, ``new_side.py throughput``,
``new_side.py wide``, ``new_side.py bfloat16``
"""

import argparse
import json
from statistics import median
from typing import Any

from benchmarks import environment, programs, training
from benchmarks.programs import compile_training
from benchmarks.sizes import TINY
from jaxtherapy.config import TrainingConfig
from jaxtherapy.devices import layout as devices

CLIENTS = 16384
"""Of the environment alone: as many as keep two cores busy and fit their caches."""

SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "defaults": (programs.DEFAULT, {}),
    "bfloat16": (programs.DEFAULT, {"precision": "bfloat16"}),
    "throughput": (programs.THROUGHPUT, {}),
    # The throughput setting with the network of the defaults.
    "wide": (
        programs.THROUGHPUT,
        {"hidden_size": 256, "n_steps": 100, "batch_size": 2560, "n_epochs": 4},
    ),
}


def rate(what: str, seconds: float, tiny: bool) -> float:
    """Steps per second."""
    if what == "environment":
        n_clients = 2 if tiny else CLIENTS
        return median(environment.rates(TrainingConfig(), n_clients, seconds, 1))
    file, settings = SETTINGS[what]
    config = programs.load(file, settings | (TINY.overrides if tiny else {}))
    devices.deal_to_cores(config)  # as the command does
    return median(training.rates(compile_training(config), seconds, 1))


def main() -> None:
    """Measures one thing."""
    parser = argparse.ArgumentParser("python -m benchmarks.new_side", description=__doc__)
    parser.add_argument("what", choices=("environment", *SETTINGS))
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--tiny", action="store_true")
    arguments = parser.parse_args()
    print(json.dumps({"value": rate(arguments.what, arguments.seconds, arguments.tiny)}))


if __name__ == "__main__":
    main()
