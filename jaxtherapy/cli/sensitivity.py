"""Which numbers of clients matter? ``python -m jaxtherapy.sensitivity --config FILE``.

Every number that clients draw from a distribution varies over it. Tells Sobol's and Morris's
indices of an outcome, or of the difference of two therapists' outcomes, with an inert number as a
control. Writes sensitivity.csv, sensitivity.png and sensitivity.svg.
"""

from __future__ import annotations

import argparse

from jaxtherapy.cli.asking import clients_of, panel_of, study_parser, whole, write
from jaxtherapy.cli.folders import list_files
from jaxtherapy.cli.launch import command, importing
from jaxtherapy.config import ConfigError
from jaxtherapy.config.checks import output_folder
from jaxtherapy.studies.questions import METHODS


def build_parser() -> argparse.ArgumentParser:
    """All flags."""
    told = "one, or two whose difference is asked about: a baseline, module:function, a .pth file, "
    parser = study_parser("sensitivity", __doc__, f"{told}a folder (default complementary)")
    add = parser.add_argument
    add("--methods", nargs="+", choices=METHODS, default=METHODS, help="(default both)")
    told = "of Sobol's design, a power of 2; times the numbers plus 3 (default 256)"
    add("--points", metavar="N", default="256", help=told)
    told = "of Morris's design; times the numbers plus 2 (default 64)"
    add("--trajectories", metavar="N", default="64", help=told)
    add("--dyads", metavar="N", default="100", help="averaged at every point (default 100)")
    return parser


@command(build_parser, "interrupted; nothing was written")
def main(given: argparse.Namespace) -> None:
    """Simulates, tells and writes."""
    names = given.therapists or ["complementary"]
    if len(names) > 2:
        raise ConfigError(f"one or two therapists are asked about, not {len(names)}")
    folder, points = output_folder(given.output_dir), whole(given, "points", 4, 2**20)
    if points & (points - 1):
        raise ConfigError(f"--points is {points}, must be a power of 2")
    with importing():
        from jaxtherapy.studies import sensitivity
        from jaxtherapy.training.display import console

    asked = sensitivity.Asked(
        outcome=given.outcome,
        points=points,
        trajectories=whole(given, "trajectories", 4, 100_000),
        dyads=whole(given, "dyads", 2, 100_000),
        seed=whole(given, "seed", 0, 2**31 - 1),
    )
    out = console()
    clients, panel = clients_of(given), panel_of(names)
    varying = sensitivity.varied(clients)
    with out.status(f"simulating therapies while {', '.join(varying)} vary"):
        rows, luck = sensitivity.indices(panel, clients, asked, given.methods)
    title = f"{given.outcome}: {' minus '.join(names)}"
    out.print(title)
    for row in rows:
        ends = "" if row.low is None else f" [{row.low:.3f}, {row.high:.3f}]"
        out.print(f"{row.index:8} {row.number}: {row.estimate:.3f}{ends}")
    if "sobol" in given.methods:
        out.print(
            f"luck is {luck:.1%} of the variance between Sobol's points and taken out of the "
            "indices; more --dyads make it less",
        )
    list_files(write(folder, "sensitivity", rows, sensitivity.picture(rows, title)), out)
