"""What ``python -m jaxtherapy.evaluate`` does: from flags to a request, and on to files."""

import argparse
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
from rich.console import Console

from jaxtherapy import config as configuration
from jaxtherapy.cli.asking import client_config, share, use_device, whole
from jaxtherapy.cli.evaluate import REFERENCE, SHARED
from jaxtherapy.cli.folders import (
    drawing_report,
    free_for_data,
    list_files,
    prepared,
    writing_to,
)
from jaxtherapy.cli.launch import if_interrupted
from jaxtherapy.cli.progress import Progress
from jaxtherapy.client.baselines import BASELINES, map_name, no_baseline
from jaxtherapy.client.patterns import PATTERNS as IN_ORDER
from jaxtherapy.config import ConfigError, TrainingConfig, expanded
from jaxtherapy.config.checks import check_name, output_folder
from jaxtherapy.config.settings import MECHANISMS
from jaxtherapy.config.yaml_files import plain
from jaxtherapy.envs import planner as planners
from jaxtherapy.errors import RunError
from jaxtherapy.evaluation import evaluation as evaluations
from jaxtherapy.evaluation.candidates import Panel, assemble, reason_of, silent_callbacks
from jaxtherapy.evaluation.cells import cell_params, combinations
from jaxtherapy.evaluation.evaluation import Request
from jaxtherapy.evaluation.map_search import MAPS, fit_map, with_map
from jaxtherapy.evaluation.planned import Planned, plan_therapies
from jaxtherapy.evaluation.policies import find_all
from jaxtherapy.evaluation.reading import read_evaluation
from jaxtherapy.evaluation.results import Evaluation
from jaxtherapy.evaluation.statistics import Intervals
from jaxtherapy.evaluation.study_data import ABOUT, chunks, write_study_data
from jaxtherapy.reporting import csv_files, report
from jaxtherapy.reporting.terminal import print_evaluation
from jaxtherapy.storage import run_info
from jaxtherapy.training.display import console

MOST_THERAPIES = 10**8
LARGEST_MATRIX = 100_000
"""Characters; 64 numbers need a thousand."""

AXES = ("patterns", "mechanism", "threshold", "entropy", "utility_matrix")
"""Client settings that make cells."""


# --- from flags to a request ----------------------------------------------------------------


def read_matrix(text: str) -> Any:
    """A matrix as ``utility_matrix`` takes it: a name, inline rows, or those of a file."""
    path = Path(expanded(text))
    if path.suffix in (".json", ".yaml", ".yml"):
        try:
            with open(path, encoding="utf-8") as file:
                text = file.read(LARGEST_MATRIX + 1)
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8 text"
            raise ConfigError(f"matrix file {path} can't be read: {reason}") from None
    if len(text) > LARGEST_MATRIX:
        what = f"matrix file {path}" if len(str(path)) < 300 else "a matrix"
        raise ConfigError(
            f"{what} has over {LARGEST_MATRIX:,} characters; give 8 rows of 8 numbers"
        )
    return text.strip()


def as_name(text: str) -> str:
    """A text as part of a folder's name."""
    return re.sub(r"[^\w.()-]+", "-", text)[:100]


def make_cells(given: argparse.Namespace, config: TrainingConfig) -> Any:
    """Every combination of pattern, mechanism, threshold, entropy and matrix, all of them valid:
    cells and their weights."""

    def several(name: str, values: list[Any] | None) -> list[Any]:
        if values is None:
            return [getattr(config, name)]
        configs = (configuration.load_for_evaluation(None, {name: each}) for each in values)
        return list(dict.fromkeys(getattr(each, name) for each in configs))

    patterns = tuple(IN_ORDER) if given.patterns == ["all"] else given.patterns or config.patterns
    mechanisms = list(MECHANISMS) if given.mechanisms == ["all"] else given.mechanisms
    return combinations(
        configuration.load_config(None, {"patterns": list(patterns)}).patterns,
        several("mechanism", mechanisms),
        several("threshold", given.thresholds),
        several("entropy", given.entropies),
        several("utility_matrix", given.matrices and list(map(read_matrix, given.matrices))),
    )


def chosen_baselines(names: list[str]) -> list[str]:
    """The baselines that are asked for; the reference is always among them."""
    for alone in ("all", "none"):
        if alone in names and len(names) > 1:
            raise ConfigError(f"baselines is {' '.join(names)!r}; {alone} stands alone")
    names = {"all": list(BASELINES), "none": []}.get(names[0], names)
    for name in names:
        if name not in BASELINES:
            hint = configuration.nearest(name, BASELINES)
            raise ConfigError(f"--baselines: {no_baseline(name, 'all', 'none')}{hint}")
    return list(dict.fromkeys([REFERENCE, *names]))


def make_panel(given: argparse.Namespace) -> Panel:
    """The therapists."""
    baselines = chosen_baselines(given.baselines)
    policies = find_all([Path(expanded(path)) for path in given.policies], given.weights, BASELINES)
    return assemble(policies, baselines, list(dict.fromkeys(given.therapist)), given.deterministic)


def make_request(given: argparse.Namespace, panel: Panel) -> Request:
    """Everything but the therapists.

    Raises:
        ConfigError: a value that can't be used.
    """
    experiments = [each.experiment for each in panel.therapists if each.experiment]
    config = client_config(given, SHARED, next(iter(experiments), None))
    name = given.name
    if name is None:
        name = as_name(panel.therapists[0].group).rstrip(".") or "evaluation"
    check_name("--name", name)
    cells, weights = make_cells(given, config)
    alpha = 5.0 if config.bond_alpha is None else plain(config.bond_alpha)
    request = Request(
        name=name,
        cells=cells,
        clients=tuple(cell_params(config, cell) for cell in cells),
        weights=weights,
        shared={name: plain(getattr(config, name)) for name in SHARED} | {"bond_alpha": alpha},
        reference=REFERENCE,
        episodes=whole(given, "episodes", 2, 10_000_000),
        course_episodes=whole(given, "course-episodes", 0, 1_000_000),
        intervals=intervals(given),
    )
    total = request.n_therapies * len(panel.therapists)
    if total > MOST_THERAPIES:
        raise ConfigError(f"that makes {total:,} therapies, at most {MOST_THERAPIES:,}")
    return request


def intervals(given: argparse.Namespace) -> Intervals:
    """How intervals are made, from the flags that ``coded`` has too."""
    samples = whole(given, "bootstrap-samples", 100, 100_000)
    return Intervals(share(given, "confidence", 0.5), samples, whole(given, "seed", 0, 2**31 - 1))


def fit_budget(given: argparse.Namespace, request: Request) -> tuple[int, int] | None:
    """Therapies and seed of the search for a fixed map, if it is asked for."""
    if given.fit_map is None:
        return None
    least = MAPS * len(request.cells)
    budget = whole(given, "fit-map", least, max(least, MOST_THERAPIES))
    return budget, whole(given, "fit-seed", 0, 2**31 - 1)


def make_planner(
    given: argparse.Namespace, request: Request
) -> tuple[planners.Planner, int] | None:
    """The planner and its clients in each cell, if it is asked for."""
    if given.planner is None:
        return None
    planner = planners.Planner(
        interval=whole(given, "planner-interval", 1, 10_000),
        simulations=whole(given, "planner-simulations", 1, 10_000),
        seed=request.intervals.seed,
    )
    return planner, min(request.episodes, whole(given, "planner", 2, 1_000_000))


def notes(given: argparse.Namespace, panel: Panel, request: Request) -> list[str]:
    """What a reader should know about where the clients come from."""
    therapists = panel.therapists
    experiments = list(dict.fromkeys(each.experiment for each in therapists if each.experiment))
    loose = [each.label for each in therapists if each.kind == "policy" and not each.experiment]
    told = []
    if len(set(request.weights)) > 1:
        told = ["a repeated pattern weighs as often in averages and in the course of therapy"]
    if given.config or not (experiments or loose):
        return told
    if not experiments:
        thresholds = " ".join(sorted({f"{each.threshold}" for each in request.cells}))
        return [
            *told,
            f"{', '.join(loose)}: no config.yaml beside the file, so clients that no flag or "
            f"--config describes are a training's default ones; threshold {thresholds}",
        ]
    first, *others = experiments
    ours = configuration.load_config(Path(first) / "config.yaml")
    own = " (its evaluation clients)" if ours.evaluation else ""
    told.append(f"client settings that no flag gives are those of {first}/config.yaml{own}")
    for other in others:
        theirs = configuration.load_config(Path(other) / "config.yaml")
        unlike = [n for n in (*SHARED, *AXES) if getattr(theirs, n) != getattr(ours, n)]
        if unlike:
            told.append(f"{other} was trained with other {', '.join(unlike)}")
    return told


# --- running --------------------------------------------------------------------------------


def run(given: argparse.Namespace) -> None:
    """Evaluates, prints and writes."""
    out, unkept = console(), use_device(given.device)
    data = None if given.data is None else free_for_data("--data", given.data)
    panel = make_panel(given)
    request = make_request(given, panel)
    fit = fit_budget(given, request)
    planner = make_planner(given, request)
    folder = output_folder(given.output_dir.replace("{name}", request.name))
    total = request.n_therapies * len(panel.therapists)
    cells = "1 cell" if len(request.cells) == 1 else f"{len(request.cells)} cells"
    report.check_folder_is_ours(folder)
    with prepared(folder, "--output-dir"), prepared(data, "--data"):
        device = jax.devices()[0]
        out.print(
            f"{request.name} on {device.device_kind} ({device.platform}): "
            f"{len(panel.therapists)} therapists × {cells} × "
            f"{request.episodes:,} clients = {total:,} therapies"
        )
        for note in filter(None, [*notes(given, panel, request), *_replaced(folder), unkept]):
            out.print(note)
        with _device_errors():
            if fit:
                request, panel = _with_fitted_map(request, panel, fit, out)
            planned = planner and _plan(request, *planner, out)
            evaluation = _evaluate(request, panel, given.command, planned, out)
        with writing_to(folder):
            paths = csv_files.write(evaluation, folder)
            report.remove_report(folder)  # its numbers are others'
        print_evaluation(evaluation, out)
        therapies, compiling, analysis = (
            f"{evaluation.run[f'{name}_seconds']:.1f} s"
            for name in ("therapy", "compile", "analysis")
        )
        out.print(
            f"{total:,} therapies in {therapies} ({compiling} of compiling meanwhile), "
            f"analysed in {analysis}"
        )
        list_files(paths, out)
        if data is not None:
            _write_data(data, request, panel, evaluation, out)
    if given.report:
        draw(folder, out)


def _write_data(
    folder: Path, request: Request, panel: Panel, evaluation: Evaluation, out: Console
) -> None:
    """Plays all therapies again and writes them down, chunk by chunk."""
    names = [each.id for each in panel.therapists], [each.id for each in request.cells]
    total = request.n_therapies * len(panel.therapists)
    made = f"{evaluation.run['created']}, commit {evaluation.run['commit'] or 'unknown'}"
    versions = " ".join(f"{name} {number}" for name, number in evaluation.run["versions"].items())
    about = f"Written by `{evaluation.run['command']}` with {versions}, {made}.", ABOUT
    told = "interrupted; the evaluation is written, its data are not"
    progress = Progress(total, request.episodes, out)
    with if_interrupted(told), progress, writing_to(folder):
        played = chunks(request.design, panel, progress.advance)
        paths = write_study_data(folder, played, *names, about)
    list_files(paths, out)


def draw(folder: Path, out: Console) -> None:
    """Draws the report of what was written to a folder."""
    with drawing_report(folder, out):
        page = report.write_report(folder, tell=out.print)[0]
    out.print(f"  {page}\n  {page.parent / 'figures'}")


def _replaced(folder: Path) -> list[str]:
    """That there is an evaluation already, and of when."""
    with suppress(RunError, KeyError):
        created = read_evaluation(folder / "evaluation.json").run["created"]
        return [f"replaces the evaluation of {created} in {folder}"]
    return []


def _with_fitted_map(
    request: Request, panel: Panel, fit: tuple[int, int], out: Console
) -> tuple[Request, Panel]:
    """Searches the best fixed map; it is one of the therapists then."""
    budget, seed = fit
    each = budget // MAPS
    out.print(f"searching a fixed map with {each:,} other clients, at most {budget:,} therapies")
    with Progress(budget, each, out, "maps, at most") as progress:
        found = fit_map(request.clients, budget, seed, request.weights, progress.advance)
    out.print(
        f"found {map_name(found.answers)}: {found.success:.1%} of these clients succeed, "
        f"{found.complementary:.1%} with complementarity ({found.therapies:,} therapies)"
    )
    return replace(request, fitted_map=found), with_map(panel, found)


def _plan(request: Request, planner: planners.Planner, n_clients: int, out: Console) -> Planned:
    """Plays the planner, and tells beforehand how long it will take."""
    total = n_clients * len(request.cells)

    def tell(seconds: float) -> None:
        out.print(f"the planner's {total:,} therapies will take about {seconds:.0f} s")

    with Progress(total, 1, out, "therapies of the planner") as progress:
        return plan_therapies(request, planner, n_clients, tell, progress.advance)


def _evaluate(
    request: Request, panel: Panel, command: list[str], planned: Planned | None, out: Console
) -> Evaluation:
    """Evaluates, and tells how far it is."""
    total = request.n_therapies * len(panel.therapists)
    with silent_callbacks(), Progress(total, request.episodes, out) as progress:
        tell = progress.advance, progress.stage
        return evaluations.evaluate_panel(request, panel, about(command), *tell, planned)


@contextmanager
def _device_errors() -> Iterator[None]:
    """What the device reports is a line."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        raise RunError(f"the device reported: {reason_of(error)}", exit_code=1) from None


def about(command: list[str]) -> dict[str, Any]:
    """What ran, on what, from which source."""
    ran = run_info.about(command)
    return {
        "command": ran["command"],
        "created": ran["started"],
        "commit": ran["commit"],
        "versions": {name: ran["versions"][name] for name in ("jaxtherapy", "jax")},
        "device": {name: ran["device"][name] for name in ("platform", "kind", "host")},
    }
