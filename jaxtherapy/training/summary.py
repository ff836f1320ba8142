"""The end of a run: what was learned, honestly, and where it lies."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float, PRNGKeyArray, PyTree
from rich.console import Console

from jaxtherapy.client import therapists
from jaxtherapy.client.therapists import Answer, Therapist
from jaxtherapy.config import TrainingConfig
from jaxtherapy.config.settings import PPO
from jaxtherapy.devices.programs import compile_quickly
from jaxtherapy.evaluation.comparison import Comparison, compare
from jaxtherapy.networks.actor_critic import param_shapes
from jaxtherapy.ppo.evaluation import policy_therapist
from jaxtherapy.ppo.types import EvalResult, Settings, make_settings
from jaxtherapy.reporting.learning_curves import draw_seed_curves
from jaxtherapy.storage import policies as weights
from jaxtherapy.storage.progress_log import ProgressLog
from jaxtherapy.storage.run_files import RunFiles
from jaxtherapy.training.display import comparison_table, format_duration

SUMMARY_EPISODES = 1_000

_SUMMARY_STREAM = 0x53554D
"""Sets the summary's clients apart from those of training and evaluation: the best policy was
chosen on the latter."""

HARDLY_EVER = 0.05

COMPARED = ("trained, final", "trained, best", "always complementary", "random")
"""The therapists of the last table, in order."""


def across_seeds(files: RunFiles, seeds: Sequence[int], console: Console) -> int:
    """The summary of all seeds as file, picture and table.

    Returns:
        The median seed, by final evaluation reward.
    """
    from jaxtherapy.training import seed_summary  # loads SciPy: only where it is needed

    rows = {seed: ProgressLog(files.csv(seed)).numbers() for seed in seeds}
    # A group that was stopped is behind; one that has only begun says nothing yet.
    rows = {seed: each for seed, each in rows.items() if each} or rows
    n_rows = min(len(each) for each in rows.values())
    rows = {seed: each[:n_rows] for seed, each in rows.items()}
    seed_summary.write_summary(rows, files.summary)
    draw_seed_curves(rows, files.name, files.picture)
    console.print()
    console.print(seed_summary.seeds_table(rows))
    if not n_rows:
        return seeds[0]
    return seed_summary.ranking(rows).median


class Spent(NamedTuple):
    """On training: seconds, and in them steps of all seeds together."""

    seconds: float
    steps: int

    @property
    def steps_per_second(self) -> float:
        """Of all seeds together."""
        return self.steps / max(self.seconds, 1e-9)


def summary_key(seed: int) -> PRNGKeyArray:
    """Of clients that neither training nor evaluation has met."""
    return jax.random.fold_in(jax.random.key(seed), _SUMMARY_STREAM)


def print_summary(
    config: TrainingConfig, files: RunFiles, seed: int, step: int, spent: Spent, console: Console
) -> EvalResult:
    """Compares a seed's therapist with two that need no training, and lists the files.

    Args:
        config, files: of the run.
        seed: whose therapist it is.
        step: that each seed is at.
        spent: on all seeds.
        console: to print on.
    """
    n_episodes = max(SUMMARY_EPISODES, config.eval_episodes)
    ppo = replace(PPO.of(config), eval_episodes=n_episodes)
    template = param_shapes(ppo)
    trained = tuple(
        weights.from_named_arrays(weights.read(path).weights, template)
        for path in (files.final(seed), files.best(seed))
    )
    result, rewards = jax.device_get(
        _line_up_program()(ppo, make_settings(config), summary_key(seed), trained)
    )
    several = len(files.all_seeds) > 1
    of_seed = f" (median seed {seed})" if several else ""
    names = [f"{name}{of_seed}" if name.startswith("trained") else name for name in COMPARED]
    console.print()
    console.print(comparison_table(names, result, n_episodes))
    console.print(verdict(result, rewards, config.threshold))
    each = " of each seed" if several else ""
    weights_folder = files.output / "seed_*" if several else files.output
    log = files.log / f"{files.name}_seed*_progress.csv" if several else files.csv(seed)
    console.print(
        f"\n{step:,} steps{each} in {format_duration(spent.seconds)} "
        f"({spent.steps_per_second:,.0f} steps/s)\n"
        f"  weights      {weights_folder}/policy_best.pth, policy_final.pth\n"
        f"  checkpoints  {files.output}/ (continue with --resume-from {files.output})\n"
        f"  log          {log}\n"
        + (f"  summary      {files.summary}\n" if several else "")
        + f"  picture      {files.picture}"
    )
    return result


@cache
def _line_up_program() -> Callable[..., Comparison]:
    return jax.jit(_line_up, static_argnums=0, compiler_options=compile_quickly())


def _line_up(
    ppo: PPO, settings: Settings, key: PRNGKeyArray, trained: tuple[PyTree, ...]
) -> Comparison:
    lineup: list[Therapist | Answer] = [
        *(policy_therapist(ppo, params) for params in trained),
        therapists.complementary,
        therapists.random,
    ]
    return compare(ppo, settings.clients, key, lineup)


def verdict(result: EvalResult, rewards: Float[np.ndarray, "4 clients"], threshold: float) -> str:
    """One or two plain sentences about the final therapist.

    It earns more or less than one who complements where the 95 % interval of the difference,
    client by client, says so.
    """
    success = np.asarray(result.success_rate)
    trained, complementary = success[0], success[2]
    if trained < HARDLY_EVER:
        also = (
            " (nor do the untrained ones: these clients are hard)"
            if complementary < HARDLY_EVER
            else ""
        )
        return (
            f"The trained therapist hardly ever succeeds{also}. At threshold {threshold:g} success "
            "is so rare that there is little to learn from. Try "
            + ("a lower --threshold (0.6 learns in minutes), " if threshold > 0.6 else "")
            + "many clients at once (--n-envs 256 --n-steps 25 --batch-size 640 --n-epochs 2), "
            "--gamma 0.995, and more --total-timesteps."
        )
    gaps = rewards[0].astype(float) - rewards[2]
    gap, half = gaps.mean(), 1.96 * gaps.std(ddof=1) / np.sqrt(len(gaps))
    by = f"by {abs(gap):.1f} ± {half:.1f} a therapy, 95 % interval"
    if gap > half:
        return f"The trained therapist earns more than one who always complements ({by})."
    if gap < -half:
        return (
            f"The trained therapist earns less than one who always complements ({by}); longer "
            "training or a higher entropy bonus may help."
        )
    return (
        "The trained therapist and one who always complements earn the same, as far as these "
        f"clients can tell ({gap:+.1f} ± {half:.1f} a therapy, 95 % interval)."
    )
