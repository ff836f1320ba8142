"""Evaluate therapists: ``python -m jaxtherapy.evaluate models/quickstart``.

Trained policies (.pth files, from here or from PyTorch, or experiments' folders with all their
seeds), baselines and your own functions treat the same clients. Writes evaluation.json, CSV files
and a report with figures.
"""

import argparse
import platform
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import jax
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

import jaxtherapy
from jaxtherapy import config as configuration
from jaxtherapy.cli.launch import ends_in_one_line
from jaxtherapy.client.mechanisms import MECHANISMS
from jaxtherapy.client.patterns import PATTERNS
from jaxtherapy.client.therapists import BASELINES
from jaxtherapy.client.utilities import NAMED_MATRICES
from jaxtherapy.config import SETTINGS, ConfigError, TrainingConfig
from jaxtherapy.devices.layout import choose_device
from jaxtherapy.errors import RunError
from jaxtherapy.evaluation.evaluation import Request, evaluate
from jaxtherapy.evaluation.grid import InvalidActError
from jaxtherapy.evaluation.reading import read_evaluation
from jaxtherapy.evaluation.results import CellInfo, Evaluation
from jaxtherapy.evaluation.therapists import Lineup, assemble, find_all
from jaxtherapy.reporting import csv_files
from jaxtherapy.reporting.report import check_folder_is_ours, remove_report, write_report
from jaxtherapy.reporting.terminal import print_evaluation
from jaxtherapy.storage import run_info
from jaxtherapy.training.display import console

REFERENCE = "complementary"
DEFAULT_BASELINES = ("complementary", "random", "myopic")
MOST_THERAPIES = 10**8

CLIENT_SETTINGS = (
    *("max_sessions", "bond_alpha", "bond_offset", "history_weight", "bond_power", "smoothing"),
    *("recency_ratio", "enable_parataxic", "baseline_accuracy", "anticomplement"),
)
"""Settings of a training that hold for all cells of an evaluation."""


@ends_in_one_line("interrupted; nothing was written")
def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns its exit code: 0, or 2 for what can't be run, 1 for what broke off."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    given = build_parser().parse_args(arguments)
    return run(given, ["python", "-m", "jaxtherapy.evaluate", *arguments])


# --- command line ---------------------------------------------------------------------------


def build_parser() -> argparse.ArgumentParser:
    """All flags. Values of client settings are checked as in a training's configuration."""
    parser = configuration.OneLineParser(
        prog="python -m jaxtherapy.evaluate",
        description=__doc__,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=34, width=100),
    )
    _add_therapist_flags(parser.add_argument_group("Therapists"))
    _add_cell_flags(parser.add_argument_group("Clients: every combination is a cell"))
    shared = parser.add_argument_group("Clients: the same in all cells")
    for name in CLIENT_SETTINGS:
        default = "(default: of the experiment, else of a training)"
        configuration.add_setting(shared, name, f"{SETTINGS[name].help} {default}")
    _add_run_flags(parser.add_argument_group("Evaluation"))
    return parser


def _add_therapist_flags(group: Any) -> None:
    group.add_argument(
        "policies", nargs="*", metavar="POLICY", help=".pth file, or an experiment's folder"
    )
    group.add_argument(
        "--weights",
        choices=("best", "final"),
        default="best",
        help="which weights of an experiment's folder (default best)",
    )
    group.add_argument(
        "--baselines",
        nargs="+",
        default=list(DEFAULT_BASELINES),
        metavar="NAME",
        help=f"of {', '.join(BASELINES)}; or all, or none; {REFERENCE} is always there "
        f"(default {' '.join(DEFAULT_BASELINES)})",
    )
    group.add_argument(
        "--therapist",
        action="append",
        default=[],
        metavar="MODULE:FUNCTION",
        help="a pure JAX function (key, observation) -> act, or (key, dyad, params) -> act, which "
        "sees all; may be repeated",
    )
    group.add_argument(
        "--deterministic",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="policies take their most likely act (default: as the experiment evaluates)",
    )


def _add_cell_flags(group: Any) -> None:
    source = "default: of the experiment, else of a training"
    group.add_argument(
        "--patterns", nargs="+", metavar="NAME", help=f"of {', '.join(PATTERNS)}; or all ({source})"
    )
    group.add_argument(
        "--mechanisms",
        "--mechanism",
        nargs="+",
        metavar="NAME",
        help=f"of {', '.join(MECHANISMS)}; or all ({source})",
    )
    group.add_argument(
        "--thresholds", "--threshold", nargs="+", metavar="X", help=f"in (0, 1] ({source})"
    )
    group.add_argument(
        "--entropies", "--entropy", nargs="+", metavar="X", help=f"above 0 ({source})"
    )
    group.add_argument(
        "--matrices",
        "--utility-matrix",
        nargs="+",
        metavar="MATRIX",
        help=f"random, of {', '.join(NAMED_MATRICES)}, 8 rows of 8 numbers, or a .json/.yaml file "
        f"with them ({source})",
    )


def _add_run_flags(group: Any) -> None:
    group.add_argument(
        "--config", metavar="FILE", help="YAML file of client settings, instead of the experiment's"
    )
    group.add_argument("--episodes", default="10000", metavar="N", help="per cell (default 10000)")
    group.add_argument(
        "--course-episodes",
        default="2000",
        metavar="N",
        help="per therapist, over all cells, for the course of therapy; 0: none (default 2000)",
    )
    group.add_argument(
        "--bootstrap-samples", default="2000", metavar="N", help="of each interval (default 2000)"
    )
    group.add_argument(
        "--confidence", default="0.95", metavar="X", help="of intervals and tests (default 0.95)"
    )
    group.add_argument("--seed", default="0", metavar="N", help="decides the clients (default 0)")
    group.add_argument("--name", metavar="TEXT", help="default: that of the first policy")
    group.add_argument(
        "--output-dir", metavar="DIR", default="reports/{name}", help="default reports/{name}"
    )
    group.add_argument(
        "--report",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="draw report.html and figures too (default: yes)",
    )
    group.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto")


# --- from flags to a request ----------------------------------------------------------------


def _whole(flag: str, text: str, low: int, high: int) -> int:
    try:
        value = int(text.replace("_", ""))
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise ConfigError(f"--{flag} is {text!r}, must be a whole number from {low} to {high}")
    return value


def _fraction(flag: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.5 <= value < 1:
        raise ConfigError(f"--{flag} is {text!r}, must be a number from 0.5 to below 1")
    return value


def base_config(given: argparse.Namespace, experiments: Sequence[str]) -> TrainingConfig:
    """Client settings in force: flag, then ``--config`` or the first experiment, then default."""
    overrides = {name: getattr(given, name) for name in CLIENT_SETTINGS}
    overrides = {name: value for name, value in overrides.items() if value is not None}
    path = given.config or next((str(Path(e) / "config.yaml") for e in experiments), None)
    return configuration.load_config(path, overrides)


def _names(given: list[str] | None, own: Sequence[str], every: Sequence[str]) -> list[str]:
    if given is None:
        given = list(own)
    return list(every) if given == ["all"] else list(dict.fromkeys(given))


def read_matrix(text: str) -> Any:
    """A matrix as ``utility_matrix`` takes it: a name, inline rows, or those of a file."""
    path = Path(text)
    if path.suffix not in (".json", ".yaml", ".yml"):
        return text
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ConfigError(f"matrix file {path} can't be read: {reason}") from None


def make_cells(given: argparse.Namespace, config: TrainingConfig) -> tuple[CellInfo, ...]:
    """Every combination of pattern, mechanism, threshold, entropy and matrix, all of them valid."""

    def checked(name: str, value: Any) -> Any:
        return getattr(configuration.load_config(None, {name: value}), name)

    def several(name: str, values: list[Any] | None) -> list[Any]:
        if values is None:
            return [getattr(config, name)]
        return list(dict.fromkeys(checked(name, value) for value in values))

    patterns = _names(given.patterns, config.patterns, PATTERNS)
    checked("patterns", patterns)
    mechanisms = _names(given.mechanisms, [config.mechanism], tuple(MECHANISMS))
    mechanisms = several("mechanism", mechanisms)
    thresholds = several("threshold", given.thresholds)
    entropies = several("entropy", given.entropies)
    texts = given.matrices and [read_matrix(text) for text in given.matrices]
    matrices = several("utility_matrix", texts)
    axes = {"mechanism": mechanisms, "threshold": thresholds, "entropy": entropies}
    varying = [name for name, values in axes.items() if len(values) > 1]
    cells = []
    for mechanism in mechanisms:
        for threshold in thresholds:
            for entropy in entropies:
                for number, matrix in enumerate(matrices, 1):
                    named = isinstance(matrix, str)
                    name = matrix if named else f"given {number}"
                    values = None if named else [list(row) for row in matrix]
                    about = {"mechanism": mechanism, "threshold": threshold, "entropy": entropy}
                    cells += [
                        CellInfo(
                            id=f"{pattern}/{mechanism}/{threshold:g}/{entropy:g}/{name}",
                            label=_label(pattern, about, varying, name, len(matrices) > 1),
                            pattern=pattern,
                            **about,
                            matrix=name,
                            matrix_values=values,
                        )
                        for pattern in patterns
                    ]
    return tuple(cells)


def _label(
    pattern: str, about: dict[str, Any], varying: list[str], matrix: str, matrices_vary: bool
) -> str:
    parts = [pattern, *(f"{about[name]}" for name in varying if name == "mechanism")]
    parts += [f"{name} {about[name]:g}" for name in varying if name != "mechanism"]
    return ", ".join([*parts, *([matrix] if matrices_vary else [])])


def make_lineup(given: argparse.Namespace) -> Lineup:
    """The therapists; the reference is always among them."""
    names = _names(given.baselines, (), tuple(BASELINES))
    names = [] if names == ["none"] else names
    for alone in ("all", "none"):
        if alone in names:
            raise ConfigError(f"baselines is {' '.join(names)!r}; {alone} stands alone")
    for name in names:
        if name not in BASELINES:
            hint = configuration.nearest(name, BASELINES)
            allowed = ", ".join([*BASELINES, "all", "none"])
            raise ConfigError(f"baselines is {name!r}, must be of {allowed}{hint}")
    baselines = [REFERENCE, *(name for name in names if name != REFERENCE)]
    policies = find_all([Path(path) for path in given.policies], given.weights)
    custom = list(dict.fromkeys(given.therapist))
    return assemble(policies, baselines, custom, given.deterministic)


def make_request(given: argparse.Namespace, lineup: Lineup) -> Request:
    """Everything but the therapists.

    Raises:
        ConfigError: a value that can't be used.
    """
    experiments = [each.experiment for each in lineup.therapists if each.experiment]
    config = base_config(given, experiments)
    name = given.name or re.sub(r"[^\w.()-]+", "-", lineup.therapists[0].group)
    if not name.strip() or "/" in name or name in (".", ".."):
        raise ConfigError(f"--name is {name!r}, must be usable as a folder's name")
    request = Request(
        name=name,
        config=config,
        cells=make_cells(given, config),
        reference=REFERENCE,
        episodes=_whole("episodes", given.episodes, 2, 10_000_000),
        course_episodes=_whole("course-episodes", given.course_episodes, 0, 1_000_000),
        bootstrap_samples=_whole("bootstrap-samples", given.bootstrap_samples, 100, 100_000),
        confidence=_fraction("confidence", given.confidence),
        seed=_whole("seed", given.seed, 0, 2**31 - 1),
    )
    total = len(request.cells) * request.episodes * len(lineup.therapists)
    if total > MOST_THERAPIES:
        raise ConfigError(f"that makes {total:,} therapies, at most {MOST_THERAPIES:,}")
    return request


def notes(given: argparse.Namespace, lineup: Lineup, request: Request) -> list[str]:
    """What a reader should know about where the clients come from."""
    experiments = dict.fromkeys(each.experiment for each in lineup.therapists if each.experiment)
    loose = [
        each.label for each in lineup.therapists if each.kind == "policy" and not each.experiment
    ]
    if given.config:
        return []
    if not experiments:
        if not loose:
            return []
        thresholds = " ".join(f"{each:g}" for each in sorted({c.threshold for c in request.cells}))
        return [
            f"{', '.join(loose)}: no config.yaml beside the file, so clients that no flag or "
            f"--config describes are a training's default ones; threshold {thresholds}"
        ]
    first = next(iter(experiments))
    told = [f"client settings that no flag gives are those of {first}/config.yaml"]
    for other in list(experiments)[1:]:
        theirs = configuration.load_config(Path(other) / "config.yaml")
        own = ("patterns", "mechanism", "threshold", "entropy", "utility_matrix")
        names = (*CLIENT_SETTINGS, *own)
        ours = configuration.load_config(Path(first) / "config.yaml")
        unlike = [name for name in names if getattr(theirs, name) != getattr(ours, name)]
        if unlike:
            told.append(f"{other} was trained with other {', '.join(unlike)}")
    return told


# --- running --------------------------------------------------------------------------------


def run(given: argparse.Namespace, command: list[str]) -> int:
    """Evaluates, prints and writes."""
    out = console()
    choose_device(given.device)
    lineup = make_lineup(given)
    request = make_request(given, lineup)
    folder = Path(given.output_dir.replace("{name}", request.name))
    check_folder_is_ours(folder)
    total = len(request.cells) * request.episodes * len(lineup.therapists)
    with _prepared(folder):
        device = jax.devices()[0]
        out.print(
            f"{request.name} on {device.device_kind} ({device.platform}): "
            f"{len(lineup.therapists)} therapists × {_cells(len(request.cells))} × "
            f"{request.episodes:,} clients = {total:,} therapies"
        )
        for note in [*notes(given, lineup, request), *_replaced(folder)]:
            out.print(note)
        evaluation = _evaluate(request, lineup, command, out)
        try:
            paths = csv_files.write(evaluation, folder)
            remove_report(folder)  # its numbers are others'
        except OSError as error:
            raise RunError(f"can't write to {folder}: {error.strerror}", exit_code=1) from None
    print_evaluation(evaluation, out)
    seconds = evaluation.run["therapy_seconds"]
    out.print(
        f"{total:,} therapies in {seconds:.1f} s ({evaluation.run['compile_seconds']:.1f} s of "
        f"compiling meanwhile), analysed in {evaluation.run['analysis_seconds']:.1f} s\n"
        + "\n".join(f"  {path}" for path in paths)
    )
    if given.report:
        try:
            with out.status("drawing the report"):
                report = write_report(folder, tell=out.print)[0]
        except KeyboardInterrupt:
            draw = f"python -m jaxtherapy.report {shlex.quote(str(folder))}"
            raise KeyboardInterrupt(f"interrupted; draw the report with {draw}") from None
        out.print(f"  {report}\n  {report.parent / 'figures'}")
    return 0


def _cells(n: int) -> str:
    return "1 cell" if n == 1 else f"{n} cells"


def _replaced(folder: Path) -> list[str]:
    """That there is an evaluation already, and of when."""
    try:
        created = read_evaluation(folder / "evaluation.json").run["created"]
    except (RunError, KeyError):
        return []
    return [f"replaces the evaluation of {created} in {folder}"]


def _evaluate(request: Request, lineup: Lineup, command: list[str], out: Console) -> Evaluation:
    """Evaluates, and tells how far it is: a bar on a terminal, lines elsewhere."""
    total = len(request.cells) * request.episodes * len(lineup.therapists)
    lines = ProgressLines(total, request.episodes, out.print)
    columns = TextColumn("{task.description}"), BarColumn(bar_width=24), TimeRemainingColumn()
    bar = Progress(*columns, console=out, disable=not out.is_terminal, transient=True)
    try:
        with bar:
            task = bar.add_task("compiling", total=total)

            def advance(therapies: int) -> None:
                bar.update(task, advance=therapies, description="therapies")
                if not out.is_terminal:
                    lines.advance(therapies)

            def stage(what: str) -> None:
                if what != "therapies":
                    bar.update(task, description=what)

            return evaluate(request, lineup, _about(command), advance, stage)
    except InvalidActError as error:
        name = lineup.therapists[error.player].id
        raise RunError(f"therapist {name} does acts outside 0..7") from None
    except jax.errors.JaxRuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise RunError(f"the device reported: {reason}", exit_code=1) from None


class ProgressLines:
    """A line whenever another tenth is done, or ten seconds have passed: for logs and pipes.

    Args:
        total: therapies.
        episodes: therapies of one therapist in one cell.
        tell: where lines go.
    """

    TENTHS = 10
    SECONDS = 10.0

    def __init__(self, total: int, episodes: int, tell: Callable[[str], None]) -> None:
        self._total, self._episodes, self._tell = total, episodes, tell
        self._done = self._done_at_first = self._told = 0
        self._first = self._last = 0.0

    def advance(self, therapies: int) -> None:
        """Counts, and tells if it is time to."""
        now = time.monotonic()
        self._done += therapies
        if not self._first:  # what came before was compiling, which is no measure of what is left
            self._first = self._last = now
            self._done_at_first = self._done
        tenth = self._done * self.TENTHS // self._total
        if tenth > self._told or now - self._last >= self.SECONDS:
            self._told, self._last = tenth, now
            self._tell(self._line(now - self._first))

    def _line(self, seconds: float) -> str:
        cells, done = self._total // self._episodes, self._done // self._episodes
        line = f"{self._done / self._total:4.0%}  {done:,} of {cells:,} cells (once per therapist)"
        since = self._done - self._done_at_first
        if since:
            left = round(seconds * (self._total - self._done) / since)
            line += f"  {left // 60}:{left % 60:02} left"
        return line


@contextmanager
def _prepared(folder: Path) -> Iterator[None]:
    """Makes the folder; when the work breaks off, it goes if it is ours and still empty.

    Raises:
        RunError: nothing can be written there, found out before the work and not after it.
    """
    made: list[Path] = []
    try:
        try:
            made += [each for each in (folder, *folder.parents) if not each.exists()]
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / ".writable"
            probe.touch()
            probe.unlink()
        except OSError as error:
            reason = f"{error.strerror}; check --output-dir"
            raise RunError(f"can't write to {folder}: {reason}") from None
        yield
    except BaseException:
        for each in made:
            with suppress(OSError):  # it was not made, or is not empty
                each.rmdir()
        raise


def _about(command: list[str]) -> dict[str, Any]:
    device = jax.devices()[0]
    return {
        "command": shlex.join(command),
        "created": run_info.now(),
        "commit": run_info.source_commit(),
        "versions": {"jaxtherapy": jaxtherapy.__version__, "jax": jax.__version__},
        "device": {
            "platform": device.platform,
            "kind": device.device_kind,
            "host": platform.platform(),
        },
    }
