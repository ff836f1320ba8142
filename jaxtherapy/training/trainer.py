"""A run's whole life: begin, chunks of compiled updates, evaluations, saves, end."""

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from jaxtherapy.config import TrainingConfig
from jaxtherapy.config.settings import PPO
from jaxtherapy.devices import hosts, layout
from jaxtherapy.devices.pinned import pinned
from jaxtherapy.devices.programs import compile_programs, stacked
from jaxtherapy.errors import RunError
from jaxtherapy.networks.actor_critic import param_shapes
from jaxtherapy.ppo.teacher import teacher_of
from jaxtherapy.ppo.types import make_settings
from jaxtherapy.storage import changes, disk_space, policies, resume, run_info
from jaxtherapy.storage.resume import Start
from jaxtherapy.storage.run_files import RunFiles
from jaxtherapy.storage.writer import Writer
from jaxtherapy.training import callbacks, early_stopping, prospects, summary, trouble
from jaxtherapy.training.callbacks import Callback, View
from jaxtherapy.training.display import console
from jaxtherapy.training.group import Group, averaged
from jaxtherapy.training.loggers import LOGGERS, Logger, Row, Run, names_of
from jaxtherapy.training.result import Tally, TrainingResult, nothing_left
from jaxtherapy.training.saving import Saver
from jaxtherapy.training.signals import StopRequest
from jaxtherapy.training.start import first_state, lock, planned, prepare_folders


class Trainer:
    """Trains a configuration.

    Args:
        config: of the run.
        callback: called after each evaluation; may stop the run or change settings.
        loggers: names of ``LOGGERS``, or objects, that are told of each evaluation beside the CSV
            log, which every run with a folder has, and those of the configuration; None: the
            terminal, and in a notebook a curve.
        save: whether the run has a folder; without one nothing touches the disk.
        notes: what the user is told at the start.
        command: that started it, for ``run.json``.
    """

    def __init__(
        self,
        config: TrainingConfig,
        *,
        callback: Callback | None = None,
        loggers: Sequence[str | Logger] | None = None,
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
        self._loggers = names_of(config, loggers, save)
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
        with pinned(), ExitStack() as held:
            early = self._refuse_early()
            device = self.config.device
            self.notes.append(layout.choose_device(device, self.config, cache=self.save_files))
            shown = {"terminal", "json"} & {*self._loggers}
            quiet = not hosts.is_first_host() or not shown
            self.console = console(quiet, "json" in shown)
            self.signals = held.enter_context(StopRequest())
            starts = self._open(held, early)
            if result := nothing_left(self.config, starts, self.tally):
                self.console.print(summary.nothing_left(self.config, self.tally))
                self._tell("end", result)
                return result
            for number, (files, start) in enumerate(starts.items(), 1):
                if len(starts) > 1:
                    first, last = files.seeds[0], files.seeds[-1]
                    self.console.print(f"group {number} of {len(starts)}: seeds {first} … {last}")
                with trouble.in_one_line(self.config, files, self._info), ExitStack() as opened:
                    self.begin(files, start, opened)
                    self._train()
                self.tally.count(self.now.seeds, self.now.progress, self.now.diverged)
                self.now.release()
                if not self.now.finished:
                    break
            result = self.end()
            self._tell("end", result)
            return result

    # --- beginning --------------------------------------------------------------------------

    def _refuse_early(self) -> list[Start]:
        """What can be refused before JAX has started."""
        if not self.save_files and self.config.resume:
            raise RunError("without a folder there is nothing to resume; give resume_from")
        return [self._find_start(each) for each in self.files.groups(self.config.seeds_at_once)]

    def _find_start(self, files: RunFiles) -> Start:
        if self.save_files:
            return resume.find_start(self.config, files)
        if self.config.resume_from is None:
            return Start()
        return resume.find_start(replace(self.config, overwrite=True), files)

    def _open(self, held: ExitStack, early: list[Start]) -> dict[RunFiles, Start]:
        """Locks folders, plans memory, says what is going to happen, makes the loggers; returns
        where each group of seeds starts."""
        ppo, settings = PPO.of(self.config), make_settings(self.config)
        shapes = param_shapes(ppo)  # refuses what no network can be made of
        for start in early:  # refuses weights of other networks
            if start.pth is not None:
                policies.from_named_arrays(start.pth.weights, shapes)
        teacher_of(ppo)
        # Nothing is created before this.
        if self.save_files and hosts.is_first_host():
            self.notes += lock(self.files, held)
        if self.config.resume == "auto":  # hosts decide alike
            there = bool(hosts.largest(self.files.exists())[0])
            self.config = replace(self.config, resume=there)
            if not there:
                self.notes.append(f"nothing to continue in {self.files.output}: starting anew")
        self.config, plan = planned(self.config, ppo, settings)
        self.notes.append(plan)
        if self.save_files:
            self.notes.append(disk_space.note(ppo, settings, self.config))
        groups = self.files.groups(self.config.seeds_at_once)
        # Again, now that other runs are kept out; for all groups before one of them is touched.
        starts = {files: self._find_start(files) for files in groups}
        mesh = layout.make_mesh(len(groups[0].seeds), ppo)
        self.console.print(summary.header(self.config, layout.describe(mesh)))
        notes = [layout.idle(mesh, len(groups[0].seeds)), *summary.about_clients(self.config)]
        notes += [early_stopping.note(self.config), *self.notes]
        notes += dict.fromkeys(start.note for start in starts.values())
        for note in filter(None, notes):
            self.console.print(note)
        self._writer = Writer(jax.process_count() == 1)
        held.callback(self._writer.close)
        about = Run(self.config, self.tally.files, self.console, self._writer.submit)
        self._told: list[Logger] = []
        for each in self._loggers:
            self._told.append(LOGGERS[each](about) if isinstance(each, str) else each)
            held.callback(getattr(self._told[-1], "close", lambda: None))
        return starts

    def begin(self, files: RunFiles, start: Start, opened: ExitStack) -> None:
        """Compiles the programs of a group of seeds, and makes or restores its state.

        What it opens is closed with ``opened``.
        """
        config, n_seeds, clock = self.config, len(files.seeds), time.monotonic()
        n_evaluations = (config.total_timesteps // config.eval_freq + 1) * n_seeds
        with self.console.status("compiling"):
            settings = stacked([make_settings(config)] * n_seeds)
            expected = self._expect(files)
            programs = compile_programs(
                PPO.of(config), settings, files.seeds, lambda: self.signals.requested, n_evaluations
            )
        seconds = time.monotonic() - clock
        self.console.print(f"compiled in {seconds:.1f} s")
        if expected and (warning := expected.warning()):
            self.console.print(warning)
        state, progress = first_state(start, programs)
        saver = None
        if self.save_files:
            keep = config.keep_checkpoints
            saver = Saver(PPO.of(config), files, programs.mesh, self._writer, keep)
            opened.push(saver.close)
        self.now = Group(config, files.seeds, programs, state, progress, saver)
        if progress.changes:
            self._set(callbacks.restored(config, progress))
        if saver is None:
            return
        prepare_folders(config, files, start, progress, saver)
        if start.source is not None:  # what was read may be gone when this run has to be resumed
            self.save()
            saver.wait()
        if not self.now.finished and hosts.is_first_host():
            counts = run_info.parameter_counts(state.params)
            self._info |= run_info.about(self._command) | {"parameters": counts}
            self._info |= {"seeds": list(files.all_seeds), "compile_seconds": round(seconds, 3)}
            run_info.write(files.run, self._info)

    def _tell(self, what: str, *told: Any) -> None:
        """Calls this method, which loggers need not have, of those that do."""
        for logger in self._told:
            if method := getattr(logger, what, None):
                method(*told)

    def _expect(self, files: RunFiles) -> prospects.Prospects | None:
        """Has it found out whether anybody could succeed; once, and where somebody reads it."""
        if not files.is_first_group or self.console.quiet or jax.process_count() > 1:
            return None
        return prospects.ask(self.config, self._helper)

    # --- training ---------------------------------------------------------------------------

    def _train(self) -> None:
        """Chunks, evaluations and saves until the end or a stop; then all is on the disk."""
        now, config = self.now, self.now.config
        if now.programs.mesh.size == 1:  # else two programs might wait for each other for ever
            self._ahead = self._ahead or self._helper.submit(summary.prepare, config)
        now.clock = time.monotonic()
        while not now.finished and not self.stopped_by:
            before = now.progress.step
            save_now = self.chunk()
            if now.passed(before, config.eval_freq) or now.finished:
                self.evaluate()
            if now.passed(before, config.save_freq) or now.finished or save_now:
                self.save()
            if save_now:
                self._tell_saved()
        if now.saver:
            now.saver.wait()
            if not now.finished and now.progress.step not in now.saved_steps():
                self.save()
            now.saver.finish()

    def chunk(self) -> bool:
        """Some updates. Returns whether somebody asked to save."""
        now, progress = self.now, self.now.progress
        n_updates = now.updates_of_next_chunk()
        log, diverged, updates = now.train(n_updates)
        # Hosts decide alike: how long it took, and whether one of them was asked to stop or save.
        elapsed, stop, save_now = hosts.largest(
            now.lap(), self.signals.requested, self.signals.take_save_request()
        )
        if stop:
            self.signalled, self.stopped_by = True, self.signals.signal_name or "another host"
        progress.duration += elapsed
        if now.config.n_seeds == 1 and diverged[0]:
            raise trouble.stop_diverged(now, self.save)
        rate = now.count(n_updates, elapsed)
        for line in filter(None, [now.estimate(), *trouble.note_diverged(now, diverged, updates)]):
            self.console.print(line)
        ended = np.sum(log.reward.count)
        reward = np.sum(log.reward.mean * log.reward.count) / ended if ended else float("nan")
        success = np.sum(log.success) / max(ended, 1)
        self._tell("advance", progress.step, rate, float(reward), float(success))
        return bool(save_now)

    def evaluate(self) -> None:
        """Evaluates; has the best weights written, and tells loggers and callback."""
        now, progress, rows = self.now, self.now.progress, self.now.evaluate()
        params = now.state.params
        rewards = [row["test_reward_mean"] for row in rows]
        improved = [i for i, reward in enumerate(rewards) if reward > progress.best_reward[i]]
        for i in improved:
            progress.best_reward[i] = rewards[i]
        if now.saver:
            now.saver.save_best(params, improved)
        else:
            self.tally.keep("best", now.seeds, improved, params)
        own = range(len(rows)) if now.saver is None else now.saver.own
        row = averaged(rows, {now.seeds[i]: rows[i] for i in own})
        row["learning_rate"] = now.config_now.learning_rate
        row.is_best = bool(improved)
        left = max(0, now.config.total_timesteps - progress.step)
        row.time_left = left / max(progress.steps_per_second, 1e-9)
        early_stopping.count(
            now.config, progress, row["test_reward_mean"], row["test_success_rate"]
        )
        self.tally.log(row.by_seed)
        for logger in self._told:
            logger.log(progress.step, row)
        if progress.ended_early:
            self.console.print(f"ends at step {progress.step:,}: {progress.ended_early}")
        if self.callback is not None:
            self._call(self.callback, row)

    def _call(self, callback: Callback, row: Row) -> None:
        """Does what the callback wants."""
        now, progress = self.now, self.now.progress
        view = View(now.config, now.seeds, progress.step, progress.callback_state)
        change = callbacks.call(callback, view, row, progress)
        if change.settings:
            before = changes.yardstick(now.config)
            self._set(callbacks.changed(now.config, change.settings, progress))
            if changes.yardstick(now.config) != before:  # rewards till now say nothing any more
                progress.forget_evaluations()
        if change.stop and not now.finished:
            self.stopped_by = change.stop if isinstance(change.stop, str) else "the callback"

    def _set(self, config: TrainingConfig) -> None:
        """Goes on with other settings; new programs only where a constant became a schedule."""
        now = self.now
        settings = stacked([make_settings(config)] * len(now.seeds))
        now.programs = compile_programs(PPO.of(config), settings, now.seeds)
        now.config = config

    def save(self) -> None:
        """Has a checkpoint written; at the end the final policies."""
        now, seeds = self.now, self.now.seeds
        if now.saver:
            now.saver.save(now.state, now.progress, now.config_now.learning_rate, now.finished)
        elif now.finished:
            self.tally.keep("final", seeds, range(len(seeds)), now.state.params)

    def _tell_saved(self) -> None:
        """That a signal had everything saved."""
        now = self.now
        if now.saver is None:
            return
        now.saver.wait()
        asked_by = self.signals.saved_for or "another host"
        self.console.print(f"saved at step {now.progress.step:,}, as {asked_by} asked")
        if hosts.is_first_host():
            self._info |= {"saved_at_step": now.progress.step, "saved": run_info.now()}
            run_info.write(now.saver.files.run, self._info)

    # --- the end ----------------------------------------------------------------------------

    def end(self) -> TrainingResult:
        """Pictures, tables, the end of ``run.json``; what came of it, also of a run that was
        finished before and had no time to tell.
        Raises RunError: seeds have diverged, or something can't be written."""
        now = self.now
        status = "finished" if now.finished else "interrupted" if self.signalled else "stopped"
        stopped_by = "" if now.finished else self.stopped_by
        configs = now.config, now.config_now
        ending = summary.Ending(*configs, self.tally, stopped_by, status, self.console)
        with trouble.at_the_end(self.tally.folder, now.finished):
            if self._ahead:
                wait([self._ahead])
            hosts.wait_for_all("written")
            comparison = ending.tell() if hosts.is_first_host() else None
            hosts.wait_for_all("finished")
        if self.tally.diverged:
            raise trouble.some_diverged(self.tally.diverged, now.config_now)
        return self.tally.result(now.config, status, comparison)
