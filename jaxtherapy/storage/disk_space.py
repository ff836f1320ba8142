"""How much room the checkpoints of a run will take: an estimate before it begins."""

import shutil
from pathlib import Path

from jaxtherapy.config import TrainingConfig
from jaxtherapy.config.settings import PPO
from jaxtherapy.devices.capacity import bytes_of, readable
from jaxtherapy.devices.programs import state_shapes
from jaxtherapy.ppo.types import Settings
from jaxtherapy.storage.run_files import RunFiles, in_groups

SHARE = 0.1
"""Of the free room: what takes less is not worth a line."""

MANY_FILES = 10_000
"""What a quota of files may mind."""

ORBAX_FILES = 17
"""In a checkpoint of Orbax."""


def bytes_of_a_save(ppo: PPO, settings: Settings) -> int:
    """Of one seed: weights and Adam's state as ``.pth``, and the whole state for Orbax."""
    state = state_shapes(ppo, settings)
    learned = bytes_of((state.params, state.opt_state))
    return 2 * learned + bytes_of(state.dyads)


def note(ppo: PPO, settings: Settings, config: TrainingConfig) -> str:
    """What the user should know about it; nothing where there is room enough."""
    each = config.n_seeds * bytes_of_a_save(ppo, settings)
    n_saves = -(-config.total_timesteps // config.save_freq)
    if config.keep_checkpoints:
        n_saves = min(n_saves, config.keep_checkpoints + 1)  # one more while it is written
    n_groups = len(in_groups(RunFiles.of(config).seeds, config.seeds_at_once))
    n_files = n_saves * (config.n_seeds + n_groups * ORBAX_FILES)
    free = free_bytes(config.output_path)
    if n_saves * each < SHARE * free and n_files < MANY_FILES:
        return ""
    fits = "" if n_saves * each < free else ", too few"
    return (
        f"disk: {n_saves} checkpoint{'s' * (n_saves > 1)} of about {readable(each)}, "
        f"{readable(n_saves * each)} in about {n_files:,} files in all; {readable(free)} are "
        f"free{fits}; --keep-checkpoints N keeps the last N alone, a --save-freq above "
        f"{config.save_freq} makes fewer"
    )


def free_bytes(path: Path) -> int:
    """On the disk where ``path`` is or will be."""
    existing = next(p for p in (path.absolute(), *path.absolute().parents) if p.exists())
    return shutil.disk_usage(existing).free
