"""Tests and pictures of therapies that you coded: ``python -m jaxtherapy.coded octants.csv``.

The file has the columns therapy, session, client and therapist (octants D WD W WS S CS C CD, their
names, or 0 to 7), and optionally success (1 or 0). Writes the course of therapy with its tests and
the response maps, as for simulated therapies.
"""

import argparse
from pathlib import Path

from jaxtherapy import config as configuration
from jaxtherapy.cli.asking import use_device
from jaxtherapy.cli.folders import list_files, prepared, writing_to
from jaxtherapy.cli.launch import command, importing
from jaxtherapy.config.checks import check_name, output_folder


def build_parser() -> argparse.ArgumentParser:
    """All flags."""
    parser = configuration.OneLineParser(prog="python -m jaxtherapy.coded", description=__doc__)
    add = parser.add_argument
    add("file", metavar="FILE", help="CSV file, a row per exchange")
    add("--name", metavar="TEXT", help="default: that of the file")
    add("--output-dir", metavar="DIR", default="reports/{name}", help="default reports/{name}")
    add("--confidence", default="0.95", metavar="X", help="of intervals and tests (default 0.95)")
    add("--bootstrap-samples", default="2000", metavar="N", help="of each interval (default 2000)")
    add("--seed", default="0", metavar="N", help="decides the bootstrap (default 0)")
    told = "draw report.html and figures too (default: yes)"
    add("--report", action=argparse.BooleanOptionalAction, default=True, help=told)
    return parser


@command(build_parser, "interrupted; nothing was written")
def main(given: argparse.Namespace) -> None:
    """Reads, tests, prints and writes."""
    with importing():
        from jaxtherapy.cli.evaluation import about, as_name, draw, intervals
        from jaxtherapy.evaluation.coded import evaluate_coded, read_coded
        from jaxtherapy.reporting import csv_files
        from jaxtherapy.reporting.report import check_folder_is_ours, remove_report
        from jaxtherapy.reporting.terminal import print_course
        from jaxtherapy.training.display import console

    out, file = console(), Path(configuration.expanded(given.file))
    use_device("cpu")
    name = as_name(file.stem) if given.name is None else given.name
    check_name("--name", name)
    folder = output_folder(given.output_dir.replace("{name}", name))
    how, therapies = intervals(given), read_coded(file)
    check_folder_is_ours(folder)
    with prepared(folder, "--output-dir"):
        n_sessions = int(therapies.held.sum())
        out.print(f"{file}: {len(therapies.held):,} therapies, {n_sessions:,} sessions")
        evaluation = evaluate_coded(name, therapies, how, about(given.command))
        with writing_to(folder):
            paths = csv_files.write(evaluation, folder)
            remove_report(folder)
    print_course(evaluation, out)
    list_files(paths, out)
    if given.report:
        draw(folder, out)
