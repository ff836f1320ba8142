"""Sweep over clients, rewards or trainings: ``python -m jaxtherapy.sweep --config FILE``.

A file says what varies and who treats whom. Results are one table, a row per point, seed and
therapist (runs.csv, runs.parquet), and a report with maps of where each therapist does better.
"""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jaxtherapy.cli.folders import drawing_report, writing_to
from jaxtherapy.cli.launch import command, importing
from jaxtherapy.config import OneLineParser, dump_config, expanded
from jaxtherapy.config.checks import output_folder

if TYPE_CHECKING:  # with JAX, which --help does without
    from rich.console import Console

    from jaxtherapy.cli.progress import Progress
    from jaxtherapy.studies.folder import SweepFolder
    from jaxtherapy.studies.runner import Kind
    from jaxtherapy.studies.settings import Sweep
    from jaxtherapy.studies.table import Row, Table


def build_parser() -> argparse.ArgumentParser:
    """All flags."""
    parser = OneLineParser(prog="python -m jaxtherapy.sweep", description=__doc__)
    add = parser.add_argument
    add("--config", metavar="FILE", required=True, help="what varies, and who treats whom")
    told = "print programs, runs, memory and time from a short trial, and write nothing"
    add("--dry-run", action="store_true", help=told)
    both = parser.add_mutually_exclusive_group()
    told = "go on with this sweep; what is done is kept"
    both.add_argument("--resume", action="store_true", help=told)
    told = "replace a sweep of the same name, and no file but its own"
    both.add_argument("--overwrite", action="store_true", help=told)
    add("--output-dir", metavar="DIR", default="sweeps/{name}", help="default sweeps/{name}")
    add("--device", choices=("auto", "cpu", "gpu"), default="auto")
    return parser


@command(build_parser, "interrupted; nothing was written")
def main(given: argparse.Namespace) -> None:
    """Sweeps, and says how far it is."""
    with importing():
        from jaxtherapy.studies.settings import load_sweep

    path = expanded(given.config)
    sweep = load_sweep(path)
    folder_path = output_folder(given.output_dir.replace("{name}", sweep.name))
    with importing():
        from jaxtherapy.devices.pinned import pin
        from jaxtherapy.studies.folder import SweepFolder
        from jaxtherapy.studies.runner import kind_of
        from jaxtherapy.training.display import console

    out, folder = console(), SweepFolder(folder_path)
    if not (given.dry_run or given.resume or given.overwrite):
        folder.check_free()
    if given.resume:
        folder.check_same(sweep)
    pin()
    kind, note = kind_of(sweep, given.device, folder.policies)
    _tell(sweep, kind, out, note)
    if given.dry_run:
        _forecast(sweep, kind, out)
    else:
        _sweep(sweep, kind, folder, out, given)


def _tell(sweep: Sweep, kind: Kind, out: Console, note: str) -> None:
    import jax

    from jaxtherapy.studies.runner import by_program

    device, n_programs = jax.devices()[0], len(by_program(sweep.runs, kind))
    out.print(
        f"{sweep.name} on {device.device_kind} ({device.platform}): "
        f"{_several(len(sweep.run_points), 'point')} × {_several(sweep.seeds, 'seed')} × "
        f"{_several(len(kind.therapists), 'therapist')} × {sweep.clients:,} clients, in "
        f"{_several(n_programs, 'program')}: {', '.join(kind.therapists)}"
    )
    if note:
        out.print(note)


def _several(n: int, what: str) -> str:
    return f"{n:,} {what}{'s' * (n != 1)}"


def _forecast(sweep: Sweep, kind: Kind, out: Console) -> None:
    """What ``--dry-run`` prints."""
    from jaxtherapy.studies.runner import by_program
    from jaxtherapy.training.display import format_duration

    total = 0.0
    for number, group in enumerate(by_program(sweep.runs, kind), 1):
        with out.status(f"a trial with program {number}"):
            found = kind.forecast(group)
        seconds = len(group) * found.seconds_per_run
        total += found.compile_seconds + seconds
        out.print(
            f"program {number}: {len(group):,} runs, {found.compile_seconds:.0f} s of compiling, "
            f"then about {format_duration(seconds)} ({3600 / found.seconds_per_run:,.0f} runs/h); "
            f"memory {'unknown' if found.n_bytes is None else f'{found.n_bytes / 1e9:.2f} GB'}"
        )
    out.print(f"{len(sweep.runs):,} runs, about {format_duration(total)} in all")


def _sweep(
    sweep: Sweep, kind: Kind, folder: SweepFolder, out: Console, given: argparse.Namespace
) -> None:
    from jaxtherapy.cli.progress import Progress
    from jaxtherapy.evaluation.candidates import silent_callbacks
    from jaxtherapy.storage import run_info
    from jaxtherapy.storage.locks import ExperimentLock
    from jaxtherapy.studies.runner import columns_of, run_sweep
    from jaxtherapy.studies.table import Table

    again = [each for each in given.command if each not in ("--overwrite", "--resume")]
    go_on, started = shlex.join([*again, "--resume"]), time.perf_counter()
    table = Table(folder.path, columns_of(sweep, kind), len(kind.therapists))
    with writing_to(folder.path, "check --output-dir"), ExperimentLock(folder.path) as lock:
        if lock.note:
            out.print(lock.note)
        if given.overwrite:
            folder.clear()
        about = run_info.about(given.command)
        if given.resume:
            about = {**about, "started": run_info.read(folder.info).get("started")}
            table.load()
            out.print(f"{len(table.done):,} of {len(sweep.runs):,} runs are there already")
        else:
            folder.check_free()  # another may have come first
            folder.begin(sweep, about)
            table.create()
        n_left = len(sweep.runs) - len(table.done)
        status = "interrupted"
        try:
            with silent_callbacks(), Progress(max(1, n_left), 1, out, "runs") as progress:
                shown = _Shown(sweep, kind, progress)
                run_sweep(sweep, kind, table, shown.measured, shown.under_way)
            status = "finished"
            if sweep.save_policies == "best":
                folder.keep_best(table.rows)
        except KeyboardInterrupt as error:
            done = f"{len(table.done):,} of {len(sweep.runs):,} runs"
            error.args = (f"interrupted; {done} are in {table.csv}; go on with: {go_on}",)
            raise
        finally:
            about |= {"status": status, "ended": run_info.now()}
            run_info.write(folder.info, about)
            _write_parquet(table, about, out)
        seconds = time.perf_counter() - started
        out.print(f"{n_left:,} runs in {seconds:.0f} s: {table.csv}")
        _tell_end(sweep, table, about, folder, out)


def _tell_end(
    sweep: Sweep, table: Table, about: dict[str, Any], folder: SweepFolder, out: Console
) -> None:
    """Draws the report, and writes the best settings as a configuration."""
    from jaxtherapy.storage.files import write_atomically
    from jaxtherapy.studies.report import write_report
    from jaxtherapy.studies.winner import winner

    with drawing_report(folder.path, out):
        report = write_report(sweep, table.rows, about, folder, out.print)
    out.print(f"{report}")
    if found := winner(sweep, table.rows):
        config, gain = found
        write_atomically(folder.winner, dump_config(config).encode())
        out.print(
            f"{100 * gain:+.1f} pp with the best settings, some of it luck; train with them and "
            f"see: python -m jaxtherapy.train --config {shlex.quote(str(folder.winner))}"
        )


class _Shown:
    """Progress of a sweep: runs, rate, and the point with the largest difference so far, or where
    there is none, the most successes; of trainings, that of the trained therapist."""

    def __init__(self, sweep: Sweep, kind: Kind, progress: Progress) -> None:
        from jaxtherapy.studies.settings import TRAINED

        self._names = [axis.name for axis in sweep.axes]
        self._counts = (TRAINED,) if sweep.train else kind.therapists
        self._several, self._n_therapists = len(kind.therapists) > 1, len(kind.therapists)
        self._progress, self._begun = progress, time.monotonic()
        self._measured, self._shown, self._highest, self._best = 0, 0.0, -2.0, ""

    def measured(self, rows: Sequence[Row]) -> None:
        """Takes in all rows of some runs."""
        column = "difference" if self._several else "success"
        for row in rows:
            value = row.get(column)
            counts = row["therapist"] in self._counts
            if counts and value is not None and value > self._highest:
                where = ", ".join(f"{name} {row[name]}" for name in self._names)
                shown = f"{100 * value:+.1f} pp" if self._several else f"{value:.1%}"
                self._highest = value
                self._best = f"  best so far: {row['therapist']} {shown} at {where}"
        self._measured += len(rows) // self._n_therapists
        self.under_way(0)

    def under_way(self, runs: float) -> None:
        """So many runs are done beside those that are measured."""
        done = self._measured + runs
        rate = done / max(time.monotonic() - self._begun, 1e-9)
        told = f"{3600 * rate:,.0f} runs/h{self._best}"
        self._progress.advance(max(0.0, done - self._shown), told)
        self._shown = max(self._shown, done)


def _write_parquet(table: Table, about: dict[str, Any], out: Console) -> None:
    try:
        table.write_parquet(about)
    except ImportError:
        out.print("no runs.parquet without pyarrow; install it: pip install 'jaxtherapy[studies]'")
