"""How much of everything is measured: on two CPU cores, on a GPU, and in the suite's own test."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Sizes:
    """What the parts of the suite are asked to measure.

    Attributes:
        repeats: samples of every number; medians and ranges are reported.
        seconds: length of a sample, at least.
        clients: numbers of parallel clients, environment alone.
        seeds: numbers of seeds trained together, at the default hyperparameters.
        environments: numbers of environments, at the throughput setting.
        matrix, copy_bytes: sizes of the ceilings.
        starts: processes with a cold cache, and as many with a warm one.
        quality_seeds, quality_limit: seeds of the time to quality, and when to give one up.
        host_steps: length of the command's run that host time is taken from.
        whole_runs: seconds allowed for each whole run (GPU); 0 leaves them out.
        overrides: settings replaced in every configuration.
    """

    repeats: int = 3
    seconds: float = 1.0
    clients: tuple[int, ...] = (1, 16, 256, 4096, 65536)
    seeds: tuple[int, ...] = (1, 4, 16)
    environments: tuple[int, ...] = (64, 256, 1024)
    matrix: int = 2048
    copy_bytes: int = 2**28
    starts: int = 1
    quality_seeds: int = 5
    quality_limit: float = 60.0
    host_steps: int = 256_000
    whole_runs: float = 0.0
    overrides: dict[str, Any] = field(default_factory=dict)


CPU = Sizes()

GPU = Sizes(
    clients=tuple(2**n for n in range(10, 21, 2)),
    seeds=(1, 4, 16, 64, 256, 1024),
    environments=tuple(2**n for n in range(8, 17, 2)),
    matrix=8192,
    copy_bytes=2**31,
    host_steps=2_560_000,
    whole_runs=120.0,
)

TINY = Sizes(
    repeats=1,
    seconds=0.01,
    clients=(2,),
    seeds=(2,),
    environments=(2,),
    matrix=32,
    copy_bytes=2**16,
    quality_seeds=1,
    quality_limit=1e-3,
    host_steps=16,
    whole_runs=0.01,
    overrides={
        "total_timesteps": 16,
        "n_envs": 2,
        "n_steps": 4,
        "batch_size": 4,
        "n_epochs": 1,
        "hidden_size": 4,
        "max_sessions": 5,
        "eval_episodes": 2,
    },
)
