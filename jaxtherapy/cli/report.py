"""Turn an evaluation into a report: ``python -m jaxtherapy.report reports/quickstart``.

Writes report.html, one file that opens offline, and figures/*.png and *.svg for a paper. Of a
sweep, whether it is finished or goes on: ``python -m jaxtherapy.report sweeps/advantage``.
"""

import argparse
from pathlib import Path

from jaxtherapy.cli.launch import command, importing
from jaxtherapy.config import ConfigError, OneLineParser, expanded
from jaxtherapy.config.checks import output_folder


def build_parser() -> argparse.ArgumentParser:
    """All flags."""
    parser = OneLineParser(prog="python -m jaxtherapy.report", description=__doc__)
    parser.add_argument(
        "evaluation",
        metavar="EVALUATION",
        help="folder of an evaluation or a sweep, or an evaluation.json",
    )
    parser.add_argument("--output-dir", metavar="DIR", help="default: beside evaluation.json")
    return parser


@command(build_parser, "interrupted; the report may be incomplete")
def main(given: argparse.Namespace) -> None:
    """Writes and says where."""
    with importing():
        from jaxtherapy.reporting.report import write_report
        from jaxtherapy.studies.folder import SweepFolder
        from jaxtherapy.studies.report import write_report_again
        from jaxtherapy.training.display import console

    out = console()
    folder = None if given.output_dir is None else output_folder(given.output_dir)
    sweep = SweepFolder(Path(expanded(given.evaluation)))
    if sweep.is_sweep:
        if folder is not None:
            raise ConfigError("--output-dir is of evaluations; a sweep's report is in its folder")
        with out.status("drawing"):
            out.print(f"{write_report_again(sweep, out.print)}")
        return
    with out.status("drawing"):
        written = write_report(Path(expanded(given.evaluation)), folder, tell=out.print)
    report = written[0]
    out.print(f"{report} ({report.stat().st_size / 1e6:.1f} MB)")
    out.print(f"{report.parent / 'figures'}: {len(written) // 2} figures, as .png and .svg")
