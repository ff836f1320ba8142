"""How much room the checkpoints of a run will take: an estimate before it begins."""

import shutil
from pathlib import Path

from jaxtherapy.config import TrainingConfig
from jaxtherapy.config.settings import PPO
from jaxtherapy.devices.capacity import bytes_of, readable
from jaxtherapy.devices.programs import state_shapes
from jaxtherapy.ppo.types import Settings

SHARE = 0.1
"""Of the free room: what takes less is not worth a line."""


def bytes_of_a_save(ppo: PPO, settings: Settings) -> int:
    """Of one seed: weights and Adam's state as ``.pth``, and the whole state for Orbax."""
    state = state_shapes(ppo, settings)
    learned = bytes_of((state.params, state.opt_state))
    return 2 * learned + bytes_of(state.dyads)


def note(ppo: PPO, settings: Settings, config: TrainingConfig) -> str:
    """What the user should know about it; nothing where there is room enough."""
    each = config.n_seeds * bytes_of_a_save(ppo, settings)
    n_saves = -(-config.total_timesteps // config.save_freq)
    free = free_bytes(config.output_path)
    if n_saves * each < SHARE * free:
        return ""
    fits = "" if n_saves * each < free else ", too few"
    return (
        f"disk: {n_saves} checkpoint{'s' * (n_saves > 1)} of about {readable(each)}, "
        f"{readable(n_saves * each)} in all; {readable(free)} are free{fits}; "
        f"a --save-freq above {config.save_freq} makes fewer"
    )


def free_bytes(path: Path) -> int:
    """On the disk where ``path`` is or will be."""
    existing = next(p for p in (path.absolute(), *path.absolute().parents) if p.exists())
    return shutil.disk_usage(existing).free
