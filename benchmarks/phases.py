"""Where the time goes: each phase of PPO compiled alone, beside the whole, and what the host adds.

Phases compiled alone do not share work and write results the whole would keep to itself, so their
sum need not be the whole.
"""

import tempfile
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax

from benchmarks import command, flops, programs
from benchmarks.ceilings import copy_rate, product_rate
from benchmarks.programs import DEFAULT, STRATEGY, THROUGHPUT, compile_phase
from benchmarks.rows import Row, line, row
from benchmarks.sizes import Sizes
from benchmarks.timing import seconds_per_call
from jaxtherapy.config.settings import PPO
from jaxtherapy.devices.programs import stacked
from jaxtherapy.ppo import ppo as algorithm
from jaxtherapy.ppo.evaluation import evaluate
from jaxtherapy.ppo.types import Settings


class Ceilings(NamedTuple):
    """Medians of this machine, now."""

    flops: float
    bytes: float


class Phase(NamedTuple):
    """Samples of seconds, and the work they did."""

    times: list[float]
    work: flops.Work | None


def phase_times(ppo: PPO, settings: Settings, sizes: Sizes) -> dict[str, Phase]:
    """Every phase of one seed, after one update (so that it meets what training meets)."""
    state, settings = programs.initial_state(ppo, settings, 1), stacked([settings])
    step = compile_phase(algorithm.train_step, ppo, settings, state)
    state = step(settings, state)
    collect = compile_phase(algorithm.collect, ppo, settings, state)
    collected = collect(settings, state)
    advantages = compile_phase(algorithm.advantages, ppo, settings, *collected)
    state_after, targets, _ = advantages(settings, *collected)
    update = compile_phase(algorithm.update, ppo, settings, state_after, targets)
    evaluation = compile_phase(evaluate, ppo, settings, state)
    work = flops.work(ppo, state.dyads, collected[1], targets.obs)
    time = partial(seconds_per_call, seconds=sizes.seconds, repeats=sizes.repeats)
    return {
        "rollout": Phase(time(collect, settings, state), work["rollout"]),
        "advantages": Phase(time(advantages, settings, *collected), work["advantages"]),
        "update": Phase(time(update, settings, state_after, targets), work["update"]),
        "whole update": Phase(time(step, settings, state), None),
        "evaluation": Phase(time(evaluation, settings, state), None),
    }


def host_run(file: str, sizes: Sizes) -> command.Run:
    """The command over ``host_steps``, its programs already compiled."""
    settings = {"total_timesteps": sizes.host_steps}
    with tempfile.TemporaryDirectory(prefix="jaxtherapy-cache-") as cache:
        command.train(file, sizes.overrides | {"total_timesteps": 1}, Path(cache))
        return command.train(file, sizes.overrides | settings, Path(cache))


def ceilings_now(ppo: PPO, sizes: Sizes) -> Ceilings:
    """At the precision of this configuration."""
    on_gpu = jax.default_backend() == "gpu"
    precision = {"auto": "tf32" if on_gpu else "float32"}.get(ppo.precision, ppo.precision)
    return Ceilings(max(product_rate(precision, sizes)), max(copy_rate(sizes)))


def phase_rows(case: str, name: str, phase: Phase, ceilings: Ceilings) -> list[Row]:
    """Time, achieved FLOP/s and bytes/s, and their shares of the ceilings."""
    rows = [row(case, name, [time * 1e3 for time in phase.times], "ms")]
    if phase.work is not None:
        rates = [phase.work.flops / time for time in phase.times]
        moved = [phase.work.bytes / time for time in phase.times]
        rows += [
            row(case, f"{name}: arithmetic", [x / 1e9 for x in rates], "GFLOP/s"),
            row(case, f"{name}: of the ceiling", [100 * x / ceilings.flops for x in rates], "%"),
            row(case, f"{name}: memory", [x / 1e9 for x in moved], "GB/s"),
            row(case, f"{name}: of copying", [100 * x / ceilings.bytes for x in moved], "%"),
        ]
    return rows


def host_row(case: str, run: command.Run, phases: dict[str, Phase], ppo: PPO) -> Row:
    """What the command took beyond its programs, per update."""
    updates = run.info["steps"] / ppo.steps_per_update
    whole, evaluation = (min(phases[name].times) for name in ("whole update", "evaluation"))
    host = run.info["train_seconds"] - updates * whole - len(run.log) * evaluation
    note = (
        f"{host / run.info['train_seconds']:.0%} of a run of {run.info['steps']:,} steps: "
        "its duration less its updates and evaluations as measured here"
    )
    return row(case, "host", host / updates * 1e3, "ms", note)


def measure_file(file: str, sizes: Sizes, ceilings: Ceilings | None) -> tuple[list[Row], Ceilings]:
    """One configuration. The command runs first: two processes may not fit on a GPU."""
    config = programs.load(file, sizes.overrides)
    run = host_run(file, sizes) if ceilings is None else None
    ppo, settings = programs.PPO.of(config), programs.make_settings(config)
    ceilings = ceilings or ceilings_now(ppo, sizes)
    phases = phase_times(ppo, settings, sizes)
    case = f"{file}, one update"
    rows = [each for name in phases for each in phase_rows(case, name, phases[name], ceilings)]
    if run is not None:
        rows.append(host_row(case, run, phases, ppo))
    for each in rows:
        print(line(each), flush=True)
    return rows, ceilings


def measure(sizes: Sizes) -> list[Row]:
    """The throughput setting with its host, the defaults, and on a GPU the longest study."""
    rows, ceilings = measure_file(THROUGHPUT, sizes, None)
    rows += measure_file(DEFAULT, sizes, ceilings)[0]
    if jax.default_backend() == "gpu":
        rows += measure_file(STRATEGY, sizes, ceilings)[0]
    return rows
