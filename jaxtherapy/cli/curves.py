"""Draw the learning curves of several trainings together, finished or under way.

Folders of experiments, and CSV logs: ``python -m jaxtherapy.curves models/a models/b``.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from jaxtherapy.cli.folders import writing_to
from jaxtherapy.cli.launch import command, importing
from jaxtherapy.config import OneLineParser, expanded
from jaxtherapy.errors import RunError

if TYPE_CHECKING:
    from jaxtherapy.storage.logs import Log

KINDS = (".png", ".svg")


def build_parser() -> argparse.ArgumentParser:
    """All flags."""
    parser = OneLineParser(prog="python -m jaxtherapy.curves", description=__doc__)
    parser.add_argument(
        "trainings", metavar="TRAINING", nargs="+", help="an experiment's folder, or a CSV log"
    )
    parser.add_argument(
        "--output", metavar="FILE", default="curves.png", help="a .png or .svg (%(default)s)"
    )
    return parser


@command(build_parser, "interrupted; nothing was drawn")
def main(given: argparse.Namespace) -> None:
    """Draws and says where."""
    output = Path(expanded(given.output))
    if output.suffix.lower() not in KINDS:
        raise RunError(f"--output is {output}; its name must end in {' or '.join(KINDS)}")
    with importing():
        from jaxtherapy.reporting.learning_curves import draw_together
        from jaxtherapy.training.display import console

    out = console()
    paths = dict.fromkeys(Path(expanded(each)) for each in given.trainings)
    logs = {str(path): _logs_of(path) for path in paths}
    with writing_to(output):
        draw_together(logs, output)
    for name, each in logs.items():
        seeds = f"{len(each)} seeds, " if len(each) > 1 else ""
        out.print(f"{name}: {seeds}{each[0]['step'][-1]:,.0f} steps")
    out.print(output)


def _logs_of(path: Path) -> "list[Log]":
    """Of every seed."""
    from jaxtherapy.storage.experiment import read_record
    from jaxtherapy.storage.logs import find_log, read_log

    found, missing = [path], "it is no log of a training, or has no rows"
    if path.is_dir():
        config = read_record(path)
        if config is None:
            raise RunError(f"{path} is no experiment's folder: there is no config.yaml in it")
        seeds = range(config.seed, config.seed + config.n_seeds)
        found = [log for log in (find_log(path, seed) for seed in seeds) if log]
        missing = "there are no evaluations yet, or its log is elsewhere"
    elif not path.exists():
        missing = "it does not exist"
    logs = [log for log in map(read_log, found) if log]
    if not logs:
        raise RunError(f"{path} has no learning curve: {missing}")
    return logs
