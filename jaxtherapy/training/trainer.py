"""The host loop: chunks of compiled updates between evaluations and saves."""

import time
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from jaxtherapy.config import TrainingConfig
from jaxtherapy.devices import hosts
from jaxtherapy.devices import layout as devices
from jaxtherapy.devices.programs import Programs, snapshot
from jaxtherapy.errors import RunError
from jaxtherapy.ppo.log import return_scale
from jaxtherapy.ppo.types import EvalResult, TrainLog, TrainState
from jaxtherapy.storage import policies as weights
from jaxtherapy.storage.checkpoints import Checkpoints, Progress, flat
from jaxtherapy.storage.progress_log import ProgressLog, Row
from jaxtherapy.storage.run_files import RunFiles, side_by_side
from jaxtherapy.storage.writer import Writer
from jaxtherapy.training.display import TrainingDisplay
from jaxtherapy.training.signals import StopRequest

CHUNK_SECONDS = 0.5
"""How long a chunk of updates may keep the host waiting: the beat of progress and of signals."""


@dataclass
class Training:
    """A run in progress.

    Attributes:
        own: which of the seeds this host writes, as positions; all of them where it is alone.
        logs: theirs.
        stopped: a host was asked to stop.
        diverged: seeds that stand still at their last good state, and at which step.
    """

    config: TrainingConfig
    files: RunFiles
    programs: Programs
    checkpoints: Checkpoints
    state: TrainState
    progress: Progress
    own: tuple[int, ...]
    logs: list[ProgressLog]
    writer: Writer = field(default_factory=lambda: Writer(jax.process_count() == 1))
    stopped: bool = False
    diverged: dict[int, int] = field(default_factory=dict)
    seconds_per_update: float = 0.0
    seconds_since_row: float = 0.0
    steps_since_row: int = 0
    clock: float = field(default_factory=time.monotonic)

    @property
    def finished(self) -> bool:
        """Whether all steps are done."""
        return self.progress.step >= self.config.total_timesteps

    @property
    def time_left(self) -> float:
        """Seconds, at the rate so far."""
        left = max(0, self.config.total_timesteps - self.progress.step)
        return left / max(self.progress.steps_per_second, 1e-9)

    def lap(self) -> float:
        """Seconds since the last lap."""
        now = time.monotonic()
        elapsed, self.clock = now - self.clock, now
        return elapsed


def run(training: Training, display: TrainingDisplay, stop: StopRequest) -> None:
    """Trains until all steps are done or a stop is requested; either way everything is saved.

    Raises:
        RunError: training diverged (the last good state is saved), or files can't be written.
    """
    training.clock = time.monotonic()
    while not training.finished and not training.stopped:
        before = training.progress.step
        _train_chunk(training, display, stop)
        if _due(before, training.progress.step, training.config.eval_freq) or training.finished:
            _evaluate(training, display)
        if _due(before, training.progress.step, training.config.save_freq) or training.finished:
            save(training)
    training.writer.wait()
    if not training.finished and training.progress.step not in training.checkpoints.steps():
        save(training)
        training.writer.wait()


def _due(before: int, after: int, every: int) -> bool:
    """Whether a multiple of ``every`` lies in (before, after]."""
    return after // every > before // every


def _updates_until_due(training: Training) -> int:
    """Updates until the next evaluation, save or end."""
    config, step = training.config, training.progress.step
    targets = [(step // every + 1) * every for every in (config.eval_freq, config.save_freq)] + [
        config.total_timesteps
    ]
    return min(-(-(target - step) // config.steps_per_update) for target in targets)


def _train_chunk(training: Training, display: TrainingDisplay, stop: StopRequest) -> None:
    n_updates = _updates_until_due(training)
    if training.seconds_per_update:
        n_updates = min(n_updates, max(1, int(CHUNK_SECONDS / training.seconds_per_update)))
    else:
        n_updates = 1  # to learn how long one takes
    training.state = training.programs.train(training.state, np.int32(n_updates))
    log, diverged, updates = hosts.fetch(
        (training.state.log, training.state.diverged, training.state.n_updates)
    )
    # Hosts decide alike: how long it took, and whether one of them was asked to stop.
    elapsed, stopped = hosts.largest(training.lap(), stop.requested)
    training.stopped = bool(stopped)
    training.progress.duration += elapsed
    if training.config.n_seeds == 1 and diverged[0]:
        _stop_diverged(training)
    training.seconds_per_update = elapsed / n_updates
    training.seconds_since_row += elapsed
    steps = n_updates * training.config.steps_per_update
    training.steps_since_row += steps
    training.progress.step += steps
    training.progress.epoch += n_updates
    _note_diverged(training, diverged, updates, display)
    ended = np.sum(log.reward.count)
    live = np.sum(log.reward.mean * log.reward.count) / ended if ended else float("nan")
    display.advance(
        training.progress.step,
        steps * len(training.files.seeds) / elapsed,
        float(live),
        float(np.sum(log.success) / max(ended, 1)),
    )


# --- evaluation -----------------------------------------------------------------------------


def _evaluate(training: Training, display: TrainingDisplay) -> None:
    """Evaluates; has a row written to each log, and the weights of seeds at their best."""
    state = training.state
    evaluated = training.programs.evaluate(state)
    result, log, return_stats = hosts.fetch((evaluated, state.log, state.return_stats))
    (elapsed,) = hosts.largest(training.lap())
    progress = training.progress
    progress.duration += elapsed
    rate = training.steps_since_row / max(training.seconds_since_row, 1e-9)
    reward_std, scale = jax.device_get((log.reward.std, return_scale(return_stats)))
    of_seeds = result, log, reward_std, scale
    n_seeds = len(training.files.seeds)
    rows = [_row(progress, rate, *_of_seed(of_seeds, i)) for i in range(n_seeds)]
    rewards = [row["test_reward_mean"] for row in rows]
    improved = [i for i, reward in enumerate(rewards) if reward > progress.best_reward[i]]
    for i in improved:
        progress.best_reward[i] = rewards[i]
    own_improved = [i for i in improved if i in training.own]
    params = snapshot(state.params) if own_improved else None

    def write_best(i: int, own_params: PyTree) -> None:
        named = weights.to_named_arrays(_of_seed(own_params, training.own.index(i)))
        weights.write(training.files.best(training.files.seeds[i]), weights.state_dict(named))

    def write() -> None:
        try:
            if own_improved:
                own_params = devices.fetch_own(params, training.programs.mesh)
                jobs = (partial(write_best, i, own_params) for i in own_improved)
                side_by_side(jobs, _bytes_per_seed(own_params))
            for i, log_file in zip(training.own, training.logs, strict=True):
                log_file.append(rows[i])
        except OSError as error:
            raise cannot_write(error, training.files.output) from None

    training.writer.submit(write)
    progress.csv_rows += 1
    training.seconds_since_row, training.steps_since_row = 0.0, 0
    training.state = training.programs.reset_log(training.state)
    mean = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    mean["steps_per_second"] *= len(rows)
    display.evaluated(progress.step, mean, bool(improved), training.time_left)


def _row(
    progress: Progress,
    rate: float,
    result: EvalResult,
    log: TrainLog,
    reward_std: np.ndarray,
    scale: np.ndarray,
) -> Row:
    """Of one seed, whose numbers the arrays hold."""
    nan = float("nan")
    ended = float(log.reward.count)
    n_updates = int(log.n_updates)  # none where the seed has diverged
    losses = {
        name: float(x) / n_updates if n_updates else nan for name, x in log.losses._asdict().items()
    }

    return {
        "epoch": progress.epoch,
        "step": progress.step,
        "train_reward_mean": float(log.reward.mean) if ended else nan,
        "train_reward_std": float(reward_std) if ended else nan,
        "train_length_mean": float(log.length.mean) if ended else nan,
        "test_reward_mean": float(result.reward_mean),
        "test_reward_std": float(result.reward_std),
        "test_length_mean": float(result.length_mean),
        "duration": round(progress.duration, 3),
        "train_success_rate": float(log.success) / ended if ended else nan,
        "train_dropout_rate": float(log.dropped_out) / ended if ended else nan,
        "test_success_rate": float(result.success_rate),
        "test_dropout_rate": float(result.dropout_rate),
        "test_sessions_to_success": float(result.sessions_to_success)
        if result.success_rate > 0
        else nan,
        **losses,
        "return_scale": float(scale),
        "steps_per_second": rate,
    }


# --- saving ---------------------------------------------------------------------------------


def save(training: Training) -> None:
    """Has a ``checkpoint_{step}.pth`` for each seed and their Orbax twin written; at the end the
    final policies.

    Raises:
        RunError: the disk is full or the folder gone; earlier checkpoints are intact.
    """
    files, finished = training.files, training.finished
    progress = replace(training.progress, best_reward=list(training.progress.best_reward))
    state = snapshot(training.state)
    # Not in the writer: on a CPU, a program of its own could wait for training's for ever.
    leaves = flat(state)

    def write_seed(own: TrainState, i: int) -> None:
        seed = files.seeds[i]
        contents = weights.of_state(
            own,
            training.own.index(i),
            training.config.learning_rate,
            progress.epoch,
            progress.step,
        )
        weights.write(files.checkpoint(seed, progress.step), contents)
        if finished:
            weights.write(files.final(seed), contents["model"])

    def write() -> None:
        if not files.config.exists():  # Orbax would make the folder anew, and half of it
            raise cannot_write(FileNotFoundError(2, "the folder is gone"), files.output)
        # One transfer of what is written, whatever the number of seeds.
        params, opt_state = devices.fetch_own(
            (state.params, state.opt_state), training.programs.mesh
        )
        own = state.replace(params=params, opt_state=opt_state)
        try:
            jobs = (partial(write_seed, own, i) for i in training.own)
            side_by_side(jobs, _bytes_per_seed((params, opt_state)))
            training.checkpoints.save_flat(leaves, progress)
        except OSError as error:
            raise cannot_write(error, files.output) from None

    training.writer.submit(write)


def _bytes_per_seed(tree: PyTree) -> int:
    leaves = jax.tree.leaves(tree)
    return sum(x.nbytes for x in leaves) // len(leaves[0])


def _of_seed(tree: PyTree, i: int) -> PyTree:
    return jax.tree.map(lambda x: x[i], tree)


def cannot_write(error: OSError, folder: Path) -> RunError:
    """One line for a full disk, a read-only or vanished folder."""
    path = error.filename or folder
    return RunError(
        f"can't write {path}: {error.strerror or error}; what was saved before is intact: make "
        "room or put the folder back, then continue with --resume",
        exit_code=1,
    )


def _note_diverged(
    training: Training, diverged: np.ndarray, updates: np.ndarray, display: TrainingDisplay
) -> None:
    """Of several seeds, says which stand still from now on; the others go on."""
    progress = training.progress
    for i in np.flatnonzero(diverged):
        seed = training.files.seeds[i]
        if seed not in training.diverged:
            missing = (progress.epoch - int(updates[i])) * training.config.steps_per_update
            training.diverged[seed] = progress.step - missing
            display.note(
                f"seed {seed} diverged in the update after step {training.diverged[seed]:,}; it "
                "keeps its last good state, the others go on"
            )


def _stop_diverged(training: Training) -> None:
    """Saves the last good state and says what probably happened."""
    training.writer.wait()
    done = int(np.max(hosts.fetch(training.state.n_updates)))
    training.progress.step += (done - training.progress.epoch) * training.config.steps_per_update
    training.progress.epoch = done
    training.state = training.state.replace(diverged=jnp.zeros_like(training.state.diverged))
    if training.progress.step not in training.checkpoints.steps():
        save(training)
        training.writer.wait()
        training.checkpoints.wait()
    raise RunError(
        f"training diverged in the update after step {training.progress.step:,}: "
        f"{what_diverged(training.config)}. The last good state is in {training.files.output}",
        exit_code=1,
    )


def what_diverged(config: TrainingConfig) -> str:
    """What happened and why, probably."""
    return f"a loss, gradient or weight is not finite; {likely_cause(config)}"


def likely_cause(config: TrainingConfig) -> str:
    """The setting furthest from where PPO is stable."""
    if config.learning_rate > 3e-3:
        return f"likely cause: learning_rate {config.learning_rate:g} is high, try 3e-4"
    if config.max_grad_norm is None or config.max_grad_norm > 10:
        return f"likely cause: max_grad_norm is {config.max_grad_norm}, try 0.5"
    if config.clip_range > 1 or config.vf_coef > 10 or config.ent_coef > 1:
        return "likely cause: clip_range, vf_coef or ent_coef is far above the defaults"
    if config.precision == "bfloat16":
        return "likely cause: precision bfloat16, try float32"
    return f"try a learning_rate below {config.learning_rate:g}"
