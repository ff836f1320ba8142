"""Whether anybody could succeed with the clients of a run, asked before it begins."""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Int

from jaxtherapy.client.baselines import BASELINES
from jaxtherapy.client.params import ClientParams, client_params
from jaxtherapy.config import TrainingConfig, as_given
from jaxtherapy.config.distributions import Distribution, largest
from jaxtherapy.config.settings import PPO
from jaxtherapy.devices.programs import compile_quickly, shapes_of
from jaxtherapy.evaluation.comparison import compare

ASKED = ("complementary", "myopic", "best_cell")
"""One who knows nothing of the client, and two who know all of it."""

N_CLIENTS = 128
"""So many that a simulation takes about 0.05 s on a core, and the at most six 0.3 s."""
LONGEST = 300
"""Sessions of a therapy; longer ones could take longer than that."""
SHORTEST = 100_000
"""Steps of a training; a shorter one is over before a warning would be of use."""
HARDLY_EVER, EASILY = 0.125, 0.5
"""Success rates of the best of those asked."""
EASIER: dict[str, tuple[Any, ...]] = {"threshold": (0.7, 0.6, 0.5), "bond_offset": (0.5, 0.3)}
"""Values to try instead, nearest first."""

_PROSPECTS_STREAM = 0x50524F

Program = Callable[[ClientParams, Any], Float[Array, " therapists"]]


@dataclass
class Prospects:
    """A simulation of therapists that need no training, with the clients that training begins with:
    the configuration has its schedules' first values, the program is on its way."""

    config: TrainingConfig
    program: Future[Program]

    def warning(self) -> str:
        """What to change, where hardly anybody succeeds; empty where somebody does."""
        success = self._best(self.config)
        if success > HARDLY_EVER:
            return ""
        better: dict[str, str] = {}
        for name, easier in _easier(self.config):
            if name not in better and (easily := self._best(easier)) >= EASILY:
                flag = f"--{name.replace('_', '-')} {getattr(easier, name)}"
                better[name] = f"{flag} ({easily:.0%} there)"
        offset, everyone = as_given(self.config.bond_offset), ", ".join(ASKED)
        return (
            "with these clients success is nearly impossible: at threshold "
            f"{as_given(self.config.threshold)} and bond_offset {offset} the best of {everyone} "
            f"reaches {success:.0%}; try {' or '.join(better.values()) or 'a lower --threshold'}"
        )

    def _best(self, config: TrainingConfig) -> float:
        rates = self.program.result()(client_params(config), np.int32(config.seed))
        return float(np.max(rates))


def ask(config: TrainingConfig, helper: Executor) -> Prospects | None:
    """Has the program compiled; None for what is continued, and where it would take too long."""
    continued = config.resume or config.resume_from
    if continued or config.total_timesteps < SHORTEST or largest(config.max_sessions) > LONGEST:
        return None
    first = config.at(0)
    return Prospects(first, helper.submit(_program, shapes_of(client_params(first))))


def _easier(config: TrainingConfig) -> Iterator[tuple[str, TrainingConfig]]:
    for name, values in EASIER.items():
        if isinstance(getattr(config, name), Distribution):  # would need another program
            continue
        for value in values:
            if value < getattr(config, name):
                yield name, replace(config, **{name: value})


@cache
def _program(clients: ClientParams) -> Program:
    """Success rates of those asked, with clients of these shapes."""
    ppo, asked = PPO(eval_episodes=N_CLIENTS), [BASELINES[name] for name in ASKED]

    def rates(clients: ClientParams, seed: Int[Array, ""]) -> Float[Array, " therapists"]:
        key = jax.random.fold_in(jax.random.key(seed), _PROSPECTS_STREAM)
        return compare(ppo, clients, key, asked).result.success_rate

    seed = jax.ShapeDtypeStruct((), np.int32)
    return jax.jit(rates).lower(clients, seed).compile(compile_quickly())
