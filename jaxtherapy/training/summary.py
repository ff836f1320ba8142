"""The beginning and the end of a run in words: what was learned, honestly, and where it lies."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import jax
import numpy as np
from jaxtyping import ArrayLike, Float, Int, PRNGKeyArray, PyTree
from rich.console import Console
from rich.table import Table

from jaxtherapy.client import therapists
from jaxtherapy.client.therapists import Answer, Therapist
from jaxtherapy.config import TrainingConfig, as_given
from jaxtherapy.config.distributions import largest
from jaxtherapy.config.settings import PPO
from jaxtherapy.devices.programs import compile_quickly, shapes_of
from jaxtherapy.evaluation.comparison import Comparison, compare
from jaxtherapy.networks.actor_critic import param_shapes
from jaxtherapy.ppo.evaluation import policy_therapist
from jaxtherapy.ppo.types import EvalResult, Settings, make_settings
from jaxtherapy.reporting.drawing import import_matplotlib
from jaxtherapy.reporting.learning_curves import draw_training
from jaxtherapy.storage import checkpoints, run_info
from jaxtherapy.storage.files import write_atomically
from jaxtherapy.storage.progress_log import ProgressLog, Row
from jaxtherapy.storage.run_files import RunFiles
from jaxtherapy.training import early_stopping
from jaxtherapy.training.display import format_duration
from jaxtherapy.training.model_card import model_card
from jaxtherapy.training.result import Tally

SUMMARY_EPISODES = 1_000

_SUMMARY_STREAM = 0x53554D
"""Sets the summary's clients apart from those of training and evaluation: the best policy was
chosen on the latter."""

HARDLY_EVER = 0.05

COMPARED = ("trained, final", "trained, best", "always complementary", "random")
"""The therapists of the last table, in order."""


def header(config: TrainingConfig, where: str) -> str:
    """The first line of a run."""
    steps, each = f"{config.total_timesteps:,} steps", config.steps_per_update
    if (in_all := config.n_updates * each) > config.total_timesteps:
        steps = f"{in_all:,} steps ({config.total_timesteps:,} in whole updates of {each:,})"
    seeds = f"seed {config.seed}" if config.n_seeds == 1 else f"{config.n_seeds} seeds"
    return f"{config.experiment_name} on {where}, {steps}, {seeds}"


def about_clients(config: TrainingConfig) -> list[str]:
    """What is special about the clients: what they draw, and others in evaluations."""
    told = [f"{name} {getattr(config, name):g}" for name in config.drawn]
    notes = [f"each client draws its own {', '.join(told)}"] if told else []
    if config.evaluation:
        others = (f"{name} {as_given(each)}" for name, each in config.evaluation.items())
        notes.append(f"evaluations, policy_best and the last table: clients of {', '.join(others)}")
    return notes


def nothing_left(config: TrainingConfig, tally: Tally) -> str:
    """Of a run that has finished already: that it has, and how to train on."""
    done = f"nothing left to do at step {tally.step:,}"
    if not tally.ended_early:
        return f"{done}; train on with a higher --total-timesteps"
    return f"{done}: it {tally.ended_early}; train on with {early_stopping.how_to_go_on(config)}"


@dataclass
class Ending:
    """The end of a run: the configuration in force then as it was given and without schedules, what
    all groups have come to, and by what it was stopped; empty where it is finished."""

    given: TrainingConfig
    config: TrainingConfig
    tally: Tally
    stopped_by: str
    status: str
    console: Console

    def tell(self) -> dict[str, Any] | None:
        """Tables and pictures, and the end of ``run.json``. Returns the comparison, if any.
        Raises OSError: the folder is gone, read-only or full."""
        files = self.tally.files
        info = run_info.read(files.run) | self._info() if files else {}
        if files:  # complete but for the comparison, which a resumption makes up
            info.pop("reason", None)
            run_info.write(files.run, info)
        seed = self._across_seeds() if self.config.n_seeds > 1 else self.config.seed
        if self.stopped_by:
            self._say_how_to_go_on()
            return None
        if files and self.config.n_seeds == 1:
            self._draw(lambda: {0: ProgressLog(files.csv(seed)).numbers()}, files)
        result, card = self._compare(seed, info)
        numbers = {name: np.asarray(x).tolist() for name, x in result._asdict().items()}
        comparison: dict[str, Any] = {"therapists": COMPARED} | numbers
        if files:
            run_info.write(files.run, info | {"comparison": comparison})
            write_atomically(files.card, card.encode())
        return comparison

    def _info(self) -> dict[str, Any]:
        tally = self.tally
        best = [tally.best_reward.get(seed, np.nan) for seed in tally.all_seeds]
        about = {
            "status": self.status,
            "ended": run_info.now(),
            "steps": tally.step,
            "train_seconds": round(tally.seconds, 3),
            "steps_per_second": round(tally.steps_per_second, 1),
            "best_evaluation_reward": [each if np.isfinite(each) else None for each in best],
            "diverged": {str(seed): step for seed, step in tally.diverged.items()},
        }
        why = {"stopped_by": self.stopped_by, "ended_early": tally.ended_early}
        return about | {name: text for name, text in why.items() if text}

    def _say_how_to_go_on(self) -> None:
        text = f"stopped by {self.stopped_by} at step {self.tally.step:,}"
        if files := self.tally.files:
            text += f"; everything is saved: continue with {resumption(files)}"
        self.console.print(text)

    def _draw(self, rows: Callable[[], Mapping[int, Sequence[Row]]], files: RunFiles) -> None:
        """A picture that fails costs a line, never the run."""
        try:
            draw_training(rows(), files.name, files.picture, self.config.n_seeds > 1)
        except Exception as error:  # fonts, styles, disks
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            self.console.print(f"no picture: {reason}")

    def _across_seeds(self) -> int:
        """The summary of all seeds as file, picture and table. Returns the median seed."""
        from jaxtherapy.training import seed_summary  # loads SciPy: only where it is needed

        files, rows = self.tally.files, self.tally.rows()
        if not rows:
            rows = {seed: [] for seed in self.tally.best_reward}
        n_rows = min(map(len, rows.values()))  # a group that was stopped is behind
        rows = {seed: each[:n_rows] for seed, each in rows.items()}
        if files:
            seed_summary.write_summary(rows, files.summary)
            self._draw(lambda: rows, files)
        self.console.print()
        self.console.print(seed_summary.seeds_table(rows))
        return seed_summary.ranking(rows).median if n_rows else min(rows)

    def _compare(self, seed: int, info: dict[str, Any]) -> tuple[EvalResult, str]:
        """Compares a seed's therapist with two that need no training, and lists the files; returns
        the comparison, and the model card."""
        config, tally, several = self.config, self.tally, self.config.n_seeds > 1
        ppo, settings = _with_enough_episodes(PPO.of(config)), make_settings(config)
        trained = tuple(tally.weights(ppo, which, seed) for which in ("final", "best"))
        program = comparison_program(ppo, shapes_of(settings))
        result, rewards = jax.device_get(program(settings, np.int32(seed), trained))
        of_seed = f" (median seed {seed})" if several else ""
        names = [f"{name}{of_seed}" if name.startswith("trained") else name for name in COMPARED]
        self.console.print()
        self.console.print(comparison_table(names, result, ppo.eval_episodes))
        told = verdict(result, rewards, config)
        self.console.print(told)
        each = " of each seed" if several else ""
        self.console.print(
            f"\n{tally.step:,} steps{each} in {format_duration(tally.seconds)} "
            f"({tally.steps_per_second:,.0f} steps/s)"
        )
        if tally.files:
            self.console.print(_list_of(tally.files, several))
        return result, model_card(self.given, info, names, result, told)


def resumption(files: RunFiles) -> str:
    """The flag that continues a run, to be pasted."""
    return f"--resume-from {shlex.quote(str(files.output))}"


def _list_of(files: RunFiles, several: bool) -> str:
    folder, log = files.output, files.csv(files.seeds[0])
    if several:
        folder, log = folder / "seed_*", log.with_name(f"{files.name}_seed*_progress.csv")
    return (
        f"  weights      {folder}/policy_best.pth, policy_final.pth\n"
        f"  checkpoints  {files.output}/ (continue with {resumption(files)})\n"
        f"  log          {log}\n"
        + (f"  summary      {files.summary}\n" if several else "")
        + (f"  picture      {files.picture}" if files.picture.exists() else "")
    )


def comparison_table(names: list[str], outcomes: EvalResult, n_episodes: int) -> Table:
    """Therapists side by side."""
    table = Table(title=f"On the same {n_episodes:,} clients, new to all", title_justify="left")
    table.add_column("therapist")
    for column in ("success", "dropout", "sessions", "sessions to success", "reward"):
        table.add_column(column, justify="right")
    for i, name in enumerate(names):
        to_success = outcomes.sessions_to_success[i]
        table.add_row(
            name,
            f"{outcomes.success_rate[i]:.1%}",
            f"{outcomes.dropout_rate[i]:.1%}",
            f"{outcomes.length_mean[i]:.1f}",
            f"{to_success:.1f}" if outcomes.success_rate[i] > 0 else "–",
            f"{outcomes.reward_mean[i]:.1f}",
        )
    return table


def summary_key(seed: Int[ArrayLike, ""]) -> PRNGKeyArray:
    """Of clients that neither training nor evaluation has met."""
    return jax.random.fold_in(jax.random.key(seed), _SUMMARY_STREAM)


def prepare(config: TrainingConfig) -> None:
    """Imports and compiles what the end will need, while the device trains."""
    import_matplotlib()
    import matplotlib.figure  # noqa: F401

    checkpoints.orbax()

    constant = config.at(0)
    ppo = _with_enough_episodes(PPO.of(constant))
    comparison_program(ppo, shapes_of(make_settings(constant)))


def _with_enough_episodes(ppo: PPO) -> PPO:
    return ppo.replace(eval_episodes=max(SUMMARY_EPISODES, ppo.eval_episodes))


@cache
def comparison_program(ppo: PPO, settings: Settings) -> Callable[..., Comparison]:
    """Of settings of these shapes, a seed and two policies."""
    seed, policies = jax.ShapeDtypeStruct((), np.int32), (param_shapes(ppo),) * 2
    compared = jax.jit(partial(compare_trained, ppo))
    return compared.lower(settings, seed, policies).compile(compile_quickly())


def compare_trained(
    ppo: PPO, settings: Settings, seed: Int[ArrayLike, ""], trained: tuple[PyTree, ...]
) -> Comparison:
    """Two policies and two therapists that need no training on clients new to all."""
    four: list[Therapist | Answer] = [
        *(policy_therapist(ppo, params) for params in trained),
        therapists.complementary,
        therapists.random,
    ]
    return compare(ppo, settings.evaluated, summary_key(seed), four)


def _what_to_try(config: TrainingConfig) -> str:
    """Where success is too rare to learn from: what was not done."""
    advice = {
        "a lower --threshold (0.6 learns in minutes)": largest(config.threshold) > 0.6,
        "many clients at once (--n-envs 256 --n-steps 25 --batch-size 640 --n-epochs 2)": (
            config.n_envs < 256
        ),
        "--gamma 0.995": config.gamma < 0.995,
        "more --total-timesteps": True,
    }
    *others, last = [what for what, is_left in advice.items() if is_left]
    return ", ".join(others) + (", and " if others else "") + last


def verdict(
    result: EvalResult, rewards: Float[np.ndarray, "4 clients"], config: TrainingConfig
) -> str:
    """One or two plain sentences about the final therapist.

    It earns more or less than one who complements where the 95 % interval of the difference,
    client by client, says so.
    """
    success = np.asarray(result.success_rate)
    trained, complementary = success[0], success[2]
    if trained < HARDLY_EVER:
        hard = complementary < HARDLY_EVER
        also = " (nor do the untrained ones: these clients are hard)" if hard else ""
        return (
            f"The trained therapist hardly ever succeeds{also}. At threshold "
            f"{as_given(config.for_evaluation().threshold)} success is so rare that there is "
            f"little to learn from. Try {_what_to_try(config)}."
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
