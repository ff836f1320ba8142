"""Evaluate therapists: ``python -m jaxtherapy.evaluate models/quickstart``.

Trained policies (.pth files, from here or from PyTorch, or experiments' folders with all their
seeds), baselines and your own functions treat the same clients. Writes evaluation.json, CSV files
and a report with figures.
"""

import argparse
from functools import partial
from typing import Any

from jaxtherapy import config as configuration
from jaxtherapy.cli.launch import command, importing
from jaxtherapy.client.baselines import BASELINES, FIXED_MAP, map_name
from jaxtherapy.client.octants import COMPLEMENT
from jaxtherapy.config import SETTINGS
from jaxtherapy.config.settings import MATRICES, MECHANISMS, PATTERNS

REFERENCE = "complementary"
DEFAULT_BASELINES = ("complementary", "random", "myopic", "best_cell")
SOURCE = "(default: of the experiment, else of a training)"

SHARED = (
    *("max_sessions", "bond_alpha", "bond_offset", "history_weight", "bond_power", "smoothing"),
    *("recency_ratio", "enable_parataxic", "baseline_accuracy", "anticomplement"),
    "stop_at_success",
)
"""Client settings that are the same in all cells."""

Switch = argparse.BooleanOptionalAction


def build_parser() -> argparse.ArgumentParser:
    """All flags. Values of client settings are checked as in a training's configuration."""
    parser = configuration.OneLineParser(prog="python -m jaxtherapy.evaluate", description=__doc__)
    _add_therapist_flags(parser.add_argument_group("Therapists").add_argument)
    _add_cell_flags(parser.add_argument_group("Clients: every combination is a cell").add_argument)
    shared = parser.add_argument_group("Clients: the same in all cells")
    for name in SHARED:
        configuration.add_setting(shared, name, f"{SETTINGS[name].help} {SOURCE}")
    _add_run_flags(parser.add_argument_group("Evaluation").add_argument)
    return parser


def _add_therapist_flags(add: Any) -> None:
    add("policies", nargs="*", metavar="POLICY", help=".pth file, or an experiment's folder")
    told = "which weights of an experiment's folder (default best)"
    add("--weights", choices=("best", "final"), default="best", help=told)
    told = (
        f"of {', '.join(BASELINES)}; or {FIXED_MAP} and eight answers, to D, WD, W, WS, S, CS, C "
        f"and CD, as in {map_name(COMPLEMENT.tolist())}; or all, or none; {REFERENCE} is always "
        f"there (default {' '.join(DEFAULT_BASELINES)})"
    )
    add("--baselines", nargs="+", default=[*DEFAULT_BASELINES], metavar="NAME", help=told)
    told = (
        "a pure JAX function (key, observation) -> act, or (key, dyad, params) -> act, which sees "
        "all, or a Therapist with a memory; may be repeated"
    )
    add("--therapist", action="append", default=[], metavar="MODULE:NAME", help=told)
    told = (
        "search the best fixed map too, one answer at a time, with other clients than those of "
        "the evaluation and at most N therapies (default %(const)s)"
    )
    add("--fit-map", nargs="?", metavar="N", const="340000", help=told)
    add("--fit-seed", metavar="N", default="0", help="decides the search's clients (default 0)")
    told = (
        "try the planner too, which knows the client and simulates how to go on, with the first "
        "N clients of each cell (default %(const)s); takes half a million simulated sessions per "
        "therapy"
    )
    add("--planner", nargs="?", metavar="N", const="400", help=told)
    told = "sessions between the planner's choices of a map (default 11)"
    add("--planner-interval", metavar="N", default="11", help=told)
    told = "therapies that the planner simulates for each map (default 16)"
    add("--planner-simulations", metavar="N", default="16", help=told)
    told = "policies take their most likely act (default: as the experiment evaluates)"
    add("--deterministic", action=Switch, default=None, help=told)


def _add_cell_flags(add: Any) -> None:
    several = partial(add, nargs="+")
    told = f"of {', '.join(PATTERNS)}; or all; repeat one to weigh it more {SOURCE}"
    several("--patterns", metavar="NAME", help=told)
    told = f"of {', '.join(MECHANISMS)}; or all {SOURCE}"
    several("--mechanisms", "--mechanism", metavar="NAME", help=told)
    several("--thresholds", "--threshold", metavar="X", help=f"in (0, 1] {SOURCE}")
    several("--entropies", "--entropy", metavar="X", help=f"above 0 {SOURCE}")
    told = f"random, of {', '.join(MATRICES)}, 8 rows of 8 numbers, or a .json/.yaml file with them"
    several("--matrices", "--utility-matrix", metavar="MATRIX", help=f"{told} {SOURCE}")


def _add_run_flags(add: Any) -> None:
    told = "YAML file of client settings, instead of the experiment's"
    add("--config", metavar="FILE", help=told)
    number = partial(add, metavar="N")
    number("--episodes", default="10000", help="per cell (default 10000)")
    told = "per therapist, over all cells, for the course of therapy; 0: none (default 2000)"
    number("--course-episodes", default="2000", help=told)
    number("--bootstrap-samples", default="2000", help="of each interval (default 2000)")
    told = "of intervals and tests (default 0.95)"
    add("--confidence", default="0.95", metavar="X", help=told)
    number("--seed", default="0", help="decides the clients (default 0)")
    add("--name", metavar="TEXT", help="default: that of the first policy")
    add("--output-dir", metavar="DIR", default="reports/{name}", help="default reports/{name}")
    told = "also write all sessions and therapies to this folder, as CSV, Parquet and SPSS files"
    add("--data", metavar="FOLDER", help=f"{told} with a codebook (default: none)")
    told = "draw report.html and figures too (default: yes)"
    add("--report", action=Switch, default=True, help=told)
    add("--device", choices=("auto", "cpu", "gpu"), default="auto")


@command(build_parser, "interrupted; nothing was written")
def main(given: argparse.Namespace) -> None:
    """Evaluates, prints and writes."""
    with importing():
        from jaxtherapy.cli.evaluation import run
    run(given)
