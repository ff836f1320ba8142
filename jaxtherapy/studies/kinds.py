"""Which way a sweep's runs are measured, and where."""

from dataclasses import replace
from pathlib import Path

from jaxtherapy.devices.layout import choose_device
from jaxtherapy.studies.runner import Kind
from jaxtherapy.studies.settings import Sweep
from jaxtherapy.studies.trained import Trainings
from jaxtherapy.studies.untrained import Untrained


def kind_of(sweep: Sweep, device: str, policies: Path) -> tuple[Kind, str]:
    """How this sweep is measured, and what the user should know of the device.

    Args:
        sweep: to be run.
        device: ``auto``, ``cpu`` or ``gpu``.
        policies: folder for weights.

    Raises:
        ConfigError: what only a training of its own can do.
        RunError: a policy that can't be read, a function that is no therapist, or no such device.
    """
    if not sweep.train:
        note = choose_device(device)
        return Untrained(sweep), note
    # A core of a CPU trains runs of its own.
    runs = replace(sweep.runs[0].config, seed=0, n_seeds=min(len(sweep.runs), 1_000))
    note = choose_device(device, runs)
    return Trainings(sweep, policies), note
