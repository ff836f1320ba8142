"""A run's whole life: begin, chunks of compiled updates, evaluations, saves, end."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtherapy.config import TrainingConfig
from jaxtherapy.config.settings import PPO
from jaxtherapy.devices import hosts, layout
from jaxtherapy.devices.programs import Programs, compile_programs, stacked
from jaxtherapy.errors import RunError, is_out_of_memory
from jaxtherapy.ppo.types import TrainState, make_settings
from jaxtherapy.storage import disk_space, resume, run_info
from jaxtherapy.storage.checkpoints import Progress
from jaxtherapy.storage.resume import Start
from jaxtherapy.storage.run_files import RunFiles
from jaxtherapy.storage.writer import Writer
from jaxtherapy.training import callbacks, opening, summary, trouble
from jaxtherapy.training.callbacks import Callback, View
from jaxtherapy.training.callbacks import Change as Change
from jaxtherapy.training.display import console
from jaxtherapy.training.loggers import LOGGERS, Logger, Row, Run
from jaxtherapy.training.result import Tally, TrainingResult, log_arrays
from jaxtherapy.training.rows import averaged, rows_of_seeds
from jaxtherapy.training.saving import Saver
from jaxtherapy.training.signals import StopRequest
from jaxtherapy.training.start import first_state, prepare_folders
from jaxtherapy.training.trouble import cannot_write, what_diverged

CHUNK_SECONDS = 0.5
"""How long a chunk of updates may keep the host waiting for progress and signals."""


@dataclass
class Group:
    """The seeds that are trained together.

    Attributes:
        config: in force: callbacks may have changed it.
        saver: writes their files; None without a folder.
        diverged: seeds that stand still at their last good state, and at which step.
    """

    config: TrainingConfig
    files: RunFiles
    programs: Programs
    state: TrainState
    progress: Progress
    saver: Saver | None
    diverged: dict[int, int] = field(default_factory=dict)
    seconds_per_update: float = 0.0
    seconds_since_row: float = 0.0
    steps_since_row: int = 0
    clock: float = field(default_factory=time.monotonic)

    @property
    def finished(self) -> bool:
        """Whether all steps are done."""
        return self.progress.step >= self.config.total_timesteps

    def lap(self) -> float:
        """Seconds since the last lap."""
        now = time.monotonic()
        elapsed, self.clock = now - self.clock, now
        return elapsed

    def updates_until_due(self) -> int:
        """Updates until the next evaluation, save or end."""
        config, step = self.config, self.progress.step
        targets = [(step // every + 1) * every for every in (config.eval_freq, config.save_freq)]
        nearest = min(*targets, config.total_timesteps)
        return -(-(nearest - step) // config.steps_per_update)


class Trainer:
    """Trains a configuration.

    Args:
        config: of the run.
        callback: called after each evaluation; may stop the run or change settings.
        loggers: names of ``LOGGERS``, or objects, that are told of each evaluation beside the CSV
            log, which every run with a folder has.
        save: whether the run has a folder; without one nothing touches the disk.
        notes: what the user is told at the start.
        command: that started it, for ``run.json``.
    """

    def __init__(
        self,
        config: TrainingConfig,
        *,
        callback: Callback | None = None,
        loggers: Sequence[str | Logger] = ("terminal",),
        save: bool = True,
        notes: Sequence[str] = (),
        command: Sequence[str] = ("jaxtherapy.Trainer",),
    ) -> None:
        self.config = resume.as_trained(config) if save else config
        self.files = RunFiles.of(config)
        self.callback, self.save_files, self.notes = callback, save, list(notes)
        self.now: Group
        self.tally = Tally(self.files.all_seeds, self.files if save else None)
        self.stopped_by, self.signalled = "", False
        self._loggers = list(dict.fromkeys(["csv", *loggers] if save else loggers))
        self._command = list(command)
        self._info: dict[str, Any] = {}
        self._helper = ThreadPoolExecutor(1, "ahead")
        self._ahead: Future[None] | None = None

    def run(self) -> TrainingResult:
        """Trains until all steps are done, or somebody asks to stop; either way all is saved.

        Raises:
            ConfigError, RunError: one line that says what is wrong and what to do.
            StoppedWhileCompiling: before there was anything to save.
        """
        self._refuse_early()
        layout.choose_device(self.config.device, self.config, cache=self.save_files)
        self.console = console(not hosts.is_first_host() or "terminal" not in self._loggers)
        with ExitStack() as held:
            self.signals = held.enter_context(StopRequest())
            starts = self._open(held)
            for number, (files, start) in enumerate(starts.items(), 1):
                if len(starts) > 1:
                    first, last = files.seeds[0], files.seeds[-1]
                    self.console.print(f"group {number} of {len(starts)}: seeds {first} … {last}")
                with trouble.in_one_line(self.config, files, self._info), ExitStack() as opened:
                    self.begin(files, start, opened)
                    fresh = not self.now.finished
                    self._train()
                self._count()
                if not self.now.finished:
                    break
            return self.end(fresh)

    # --- beginning --------------------------------------------------------------------------

    def _refuse_early(self) -> None:
        """What can be refused before JAX has started."""
        if not self.save_files and self.config.resume:
            raise RunError("without a folder there is nothing to resume; give resume_from")
        for files in self.files.groups(self.config.seeds_at_once):
            self._find_start(files)

    def _find_start(self, files: RunFiles) -> Start:
        if self.save_files:
            return resume.find_start(self.config, files)
        if self.config.resume_from is None:
            return Start()
        return resume.find_start(replace(self.config, overwrite=True), files)

    def _open(self, held: ExitStack) -> dict[RunFiles, Start]:
        """Locks folders, plans memory, says what is going to happen, makes the loggers.

        Returns:
            Where each group of seeds starts.
        """
        if self.save_files and hosts.is_first_host():
            self.notes += opening.lock(self.files, held)
        ppo, settings = PPO.of(self.config), make_settings(self.config)
        self.config, plan = opening.planned(self.config, ppo, settings)
        self.notes.append(plan)
        if self.save_files:
            self.notes.append(disk_space.note(ppo, settings, self.config))
        groups = self.files.groups(self.config.seeds_at_once)
        # Again, now that other runs are kept out; for all groups before one of them is touched.
        starts = {files: self._find_start(files) for files in groups}
        mesh = layout.make_mesh(len(groups[0].seeds), ppo)
        self.console.print(summary.header(self.config, layout.describe(mesh)))
        self.notes[:0] = summary.about_clients(self.config)
        idle = layout.idle(mesh, len(groups[0].seeds))
        for note in filter(
            None, [idle, *self.notes, *dict.fromkeys(s.note for s in starts.values())]
        ):
            self.console.print(note)
        self._writer = Writer(jax.process_count() == 1)
        held.callback(self._writer.close)
        about = Run(self.config, self.tally.files, self.console, self._defer)
        self._told: list[Logger] = []
        for each in self._loggers:
            self._told.append(LOGGERS[each](about) if isinstance(each, str) else each)
            held.callback(self._told[-1].close)
        return starts

    def _defer(self, job: Callable[[], None]) -> None:
        """Has a logger's job done in the background."""
        if self.now.saver:
            self.now.saver.submit(job)
        else:
            self._writer.submit(job)

    def begin(self, files: RunFiles, start: Start, opened: ExitStack) -> None:
        """Compiles the programs of a group of seeds, and makes or restores its state.

        What it opens is closed with ``opened``.
        """
        config, n_seeds, clock = self.config, len(files.seeds), time.monotonic()
        n_evaluations = (config.total_timesteps // config.eval_freq + 1) * n_seeds
        with self.console.status("compiling"):
            settings = stacked([make_settings(config)] * n_seeds)
            asked = partial(getattr, self.signals, "requested")
            programs = compile_programs(PPO.of(config), settings, files.seeds, asked, n_evaluations)
        seconds = time.monotonic() - clock
        self.console.print(f"compiled in {seconds:.1f} s")
        state, progress = first_state(start, programs)
        saver = None
        if self.save_files:
            saver = Saver(PPO.of(config), files, programs.mesh, self._writer)
            opened.push(saver.close)
        self.now = Group(config, files, programs, state, progress, saver)
        if progress.changes:
            self._set(callbacks.restored(config, progress))
        if saver is None:
            return
        prepare_folders(config, files, start, progress, saver)
        if start.source is not None:  # what was read may be gone when this run has to be resumed
            self.save()
            saver.wait()
            saver.checkpoints.wait()
        if not self.now.finished and hosts.is_first_host():
            self._info.update(run_info.describe(state.params, self._command))
            self._info |= {"seeds": list(files.all_seeds), "compile_seconds": round(seconds, 3)}
            run_info.write(files.run, self._info)

    # --- training ---------------------------------------------------------------------------

    def _train(self) -> None:
        """Chunks, evaluations and saves until the end or a stop."""
        now, config = self.now, self.now.config
        if now.programs.mesh.size == 1:  # else two programs might wait for each other for ever
            self._ahead = self._ahead or self._helper.submit(summary.prepare, config)
        now.clock = time.monotonic()
        while not now.finished and not self.stopped_by:
            before = now.progress.step
            save_now = self.chunk()
            if _due(before, now.progress.step, config.eval_freq) or now.finished:
                self.evaluate()
            if _due(before, now.progress.step, config.save_freq) or now.finished or save_now:
                self.save()
            if save_now:
                self._tell_saved()
        if now.saver is None:
            return
        now.saver.wait()
        if not now.finished and now.progress.step not in now.saver.checkpoints.steps():
            self.save()
            now.saver.wait()
        if "checkpoints" in vars(now.saver):
            now.saver.checkpoints.wait()

    def chunk(self) -> bool:
        """Some updates. Returns whether somebody asked to save."""
        now, progress, config = self.now, self.now.progress, self.now.config
        n_updates = now.updates_until_due()
        if now.seconds_per_update:
            n_updates = min(n_updates, max(1, int(CHUNK_SECONDS / now.seconds_per_update)))
        else:
            n_updates = 1  # to learn how long one takes
        now.state = now.programs.train(now.state, np.int32(n_updates))
        log, diverged, updates = hosts.fetch(
            (now.state.log, now.state.diverged, now.state.n_updates)
        )
        # Hosts decide alike: how long it took, and whether one of them was asked to stop or save.
        elapsed, stop, save_now = hosts.largest(
            now.lap(), self.signals.requested, self.signals.take_save_request()
        )
        if stop:
            self.signalled, self.stopped_by = True, self.signals.signal_name or "another host"
        progress.duration += elapsed
        if config.n_seeds == 1 and diverged[0]:
            self._stop_diverged()
        now.seconds_per_update = elapsed / n_updates
        now.seconds_since_row += elapsed
        steps = n_updates * config.steps_per_update
        now.steps_since_row += steps
        progress.step += steps
        progress.n_updates += n_updates
        self._note_diverged(diverged, updates)
        ended = np.sum(log.reward.count)
        live = np.sum(log.reward.mean * log.reward.count) / ended if ended else float("nan")
        success = np.sum(log.success) / max(ended, 1)
        rate = steps * len(now.files.seeds) / elapsed
        for logger in self._told:
            if advance := getattr(logger, "advance", None):
                advance(progress.step, rate, float(live), float(success))
        return bool(save_now)

    def evaluate(self) -> None:
        """Evaluates; has the best weights written, and tells loggers and callback."""
        now, progress, state = self.now, self.now.progress, self.now.state
        evaluated = now.programs.evaluate(state)
        result, log, return_stats = hosts.fetch((evaluated, state.log, state.return_stats))
        (elapsed,) = hosts.largest(now.lap())
        progress.duration += elapsed
        rate = now.steps_since_row / max(now.seconds_since_row, 1e-9)
        rows = rows_of_seeds(progress, rate, result, log, return_stats)
        rewards = [row["test_reward_mean"] for row in rows]
        improved = [i for i, reward in enumerate(rewards) if reward > progress.best_reward[i]]
        for i in improved:
            progress.best_reward[i] = rewards[i]
        if now.saver:
            now.saver.save_best(state.params, improved)
        else:
            self.tally.keep("best", now.files.seeds, improved, state.params)
        progress.csv_rows += 1
        now.seconds_since_row, now.steps_since_row = 0.0, 0
        now.state = now.programs.reset_log(state)
        own = range(len(rows)) if now.saver is None else now.saver.own
        row = averaged(rows, {now.files.seeds[i]: rows[i] for i in own})
        row.is_best = bool(improved)
        left = max(0, now.config.total_timesteps - progress.step)
        row.time_left = left / max(progress.steps_per_second, 1e-9)
        self.tally.log(row.by_seed)
        for logger in self._told:
            logger.log(progress.step, row)
        if self.callback is not None:
            self._call(self.callback, row)

    def _call(self, callback: Callback, row: Row) -> None:
        """Does what the callback wants."""
        now, progress = self.now, self.now.progress
        view = View(now.config, now.files.seeds, progress.step, progress.callback_state)
        change = callbacks.call(callback, view, row, progress)
        if change.settings:
            before = resume.yardstick(now.config)
            self._set(callbacks.changed(now.config, change.settings, progress))
            if resume.yardstick(now.config) != before:  # rewards till now say nothing any more
                progress.best_reward = [float("-inf")] * len(now.files.seeds)
        if change.stop and not now.finished:
            self.stopped_by = change.stop if isinstance(change.stop, str) else "the callback"

    def _set(self, config: TrainingConfig) -> None:
        """Goes on with other settings; new programs only where a constant became a schedule."""
        now = self.now
        settings = stacked([make_settings(config)] * len(now.files.seeds))
        now.programs = compile_programs(PPO.of(config), settings, now.files.seeds)
        now.config = config

    def save(self) -> None:
        """Has a checkpoint written; at the end the final policies."""
        now = self.now
        if now.saver is None:
            if now.finished:
                seeds = now.files.seeds
                self.tally.keep("final", seeds, range(len(seeds)), now.state.params)
            return
        rate = callbacks.at_update(now.config, now.progress.n_updates).learning_rate
        now.saver.save(now.state, now.progress, rate, now.finished)

    def _tell_saved(self) -> None:
        """That a signal had everything saved."""
        now = self.now
        if now.saver is None:
            return
        now.saver.wait()
        now.saver.checkpoints.wait()
        self.console.print(f"saved at step {now.progress.step:,}, as SIGUSR1 asked")
        if hosts.is_first_host():
            self._info |= {"saved_at_step": now.progress.step, "saved": run_info.now()}
            run_info.write(now.files.run, self._info)

    # --- trouble ----------------------------------------------------------------------------

    def _note_diverged(self, diverged: np.ndarray, updates: np.ndarray) -> None:
        """Of several seeds, says which stand still from now on; the others go on."""
        now, progress = self.now, self.now.progress
        for i in np.flatnonzero(diverged):
            seed = now.files.seeds[i]
            if seed not in now.diverged:
                missing = (progress.n_updates - int(updates[i])) * now.config.steps_per_update
                now.diverged[seed] = progress.step - missing
                self.console.print(
                    f"seed {seed} diverged in the update after step {now.diverged[seed]:,}; it "
                    "keeps its last good state, the others go on"
                )

    def _stop_diverged(self) -> None:
        """Saves the last good state and says what probably happened."""
        now, progress = self.now, self.now.progress
        where = ""
        done = int(np.max(hosts.fetch(now.state.n_updates)))
        if now.saver:
            now.saver.wait()
        progress.step += (done - progress.n_updates) * now.config.steps_per_update
        progress.n_updates = done
        now.state = now.state.replace(diverged=jnp.zeros_like(now.state.diverged))
        if now.saver:
            if progress.step not in now.saver.checkpoints.steps():
                self.save()
                now.saver.wait()
                now.saver.checkpoints.wait()
            where = f". The last good state is in {now.files.output}"
        raise RunError(
            f"training diverged in the update after step {progress.step:,}: "
            f"{what_diverged(callbacks.at_update(now.config, done))}{where}",
            exit_code=1,
        )

    # --- the end ----------------------------------------------------------------------------

    def _count(self) -> None:
        """Adds the group to the tally, and makes room for the next."""
        now, progress = self.now, self.now.progress
        self.tally.best_reward |= dict(zip(now.files.seeds, progress.best_reward, strict=True))
        self.tally.diverged |= now.diverged
        self.tally.seconds += progress.duration
        self.tally.steps += progress.timed_steps * len(now.files.seeds)
        self.tally.step = progress.step
        now.programs = now.state = None  # type: ignore[assignment]

    def end(self, fresh: bool) -> TrainingResult:
        """Pictures, tables, the end of ``run.json``; what came of it.

        Raises:
            RunError: seeds have diverged, or something can't be written.
        """
        now, files = self.now, self.tally.files
        config = callbacks.at_update(now.config, now.progress.n_updates)
        status = "finished" if now.finished else "interrupted" if self.signalled else "stopped"
        if not fresh and files and run_info.status(files.run) == "finished":
            self.console.print(
                f"nothing left to do at step {now.progress.step:,}; "
                "train on with a higher --total-timesteps"
            )
            comparison = run_info.read(files.run).get("comparison")
        else:
            stopped_by = "" if now.finished else self.stopped_by
            ending = summary.Ending(config, self.tally, stopped_by, status, self.console)
            if self._ahead:
                wait([self._ahead])
            hosts.wait_for_all("written")
            comparison = self._tell(ending) if hosts.is_first_host() else None
            hosts.wait_for_all("finished")
        if self.tally.diverged:
            seeds = ", ".join(map(str, self.tally.diverged))
            raise RunError(
                f"{len(self.tally.diverged)} of {config.n_seeds} seeds diverged and stand at their "
                f"last good state, in every file too: {seeds}; {what_diverged(config)}",
                exit_code=1,
            )
        folder, log = files.output if files else None, log_arrays(self.tally.rows(), config.n_seeds)
        return TrainingResult(now.config, status, folder, log, comparison, self.tally)

    def _tell(self, ending: summary.Ending) -> dict[str, Any] | None:
        try:
            return ending.tell()
        except OSError as error:
            raise cannot_write(error, self.files.output) from None
        except jax.errors.JaxRuntimeError as error:
            if not is_out_of_memory(error):
                raise
            saved = f" and saved in {self.files.output}" if self.tally.files else ""
            raise RunError(
                f"out of memory while comparing therapists; the training is complete{saved}: "
                "evaluate it where more memory is free",
                exit_code=1,
            ) from None


def _due(before: int, after: int, every: int) -> bool:
    """Whether a multiple of ``every`` lies in (before, after]."""
    return after // every > before // every
