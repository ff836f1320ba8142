"""Before a run: locks, and how many seeds fit into memory."""

from contextlib import ExitStack
from dataclasses import replace

from jaxtherapy.config import TrainingConfig
from jaxtherapy.config.settings import PPO
from jaxtherapy.devices import capacity, hosts, layout
from jaxtherapy.errors import RunError
from jaxtherapy.ppo.types import Settings
from jaxtherapy.storage.locks import ExperimentLock
from jaxtherapy.storage.run_files import RunFiles


def lock(files: RunFiles, held: ExitStack) -> list[str]:
    """Keeps other runs out until the end of this one. Returns what the user should know."""
    try:
        locks = ExperimentLock(files.output), ExperimentLock(files.log, f".{files.name}.lock")
        notes = [held.enter_context(each).note for each in locks]
        files.sweep()
    except OSError as error:
        raise RunError(
            f"can't write to {error.filename or files.output}: {error.strerror}; choose other "
            "folders with --output-dir and --log-dir"
        ) from None
    return list(filter(None, notes))[:1]


def planned(config: TrainingConfig, ppo: PPO, settings: Settings) -> tuple[TrainingConfig, str]:
    """With as many seeds at once as fit into memory, and what follows from that.

    A run that is continued keeps its groups, and one seed needs no plan.
    Raises RunError: not even one seed fits."""
    if config.n_seeds == 1 or config.resume or config.resume_from:
        return config, ""
    plan = capacity.plan(
        ppo,
        settings,
        config.n_seeds,
        config.seeds_at_once,
        -int(hosts.largest(-capacity.available_bytes())[0]),
        len(layout.usable_devices(config.n_seeds)),
    )
    if plan.n_groups > 1:
        config = replace(config, seeds_at_once=plan.seeds_at_once)
    return config, str(plan)
