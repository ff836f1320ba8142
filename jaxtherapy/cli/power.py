"""How many dyads would a trial need? ``python -m jaxtherapy.power complementary random``.

Simulates trials of two therapists and tests each as a trial of people would be: two proportions
where each arm has clients of its own, McNemar where both treat the same (t-tests for what is not
yes or no). Writes power.csv, power.png and power.svg.
"""

from __future__ import annotations

import argparse

from jaxtherapy.cli.asking import (
    as_whole,
    clients_of,
    panel_of,
    share,
    study_parser,
    whole,
    write,
)
from jaxtherapy.cli.folders import list_files
from jaxtherapy.cli.launch import command, importing
from jaxtherapy.config import ConfigError
from jaxtherapy.config.checks import output_folder

MOST = 20_000_000
"""Therapies per arm."""


def build_parser() -> argparse.ArgumentParser:
    """All flags."""
    told = "two: each a baseline, module:function, a .pth file or an experiment's folder"
    parser = study_parser("power", __doc__, told)
    add = parser.add_argument
    add("--dyads", nargs="+", metavar="N", help="per arm, the sizes of trials (default 10 … 240)")
    add("--trials", metavar="N", default="1000", help="of each size (default 1000)")
    add("--alpha", metavar="X", default="0.05", help="two-sided level of tests (default 0.05)")
    add("--target", metavar="X", default="0.8", help="the power that is wanted (default 0.8)")
    return parser


@command(build_parser, "interrupted; nothing was written")
def main(given: argparse.Namespace) -> None:
    """Simulates, tells and writes."""
    names = given.therapists
    if len(names) != 2:
        raise ConfigError(f"two therapists are compared, not {len(names)}; name two")
    folder, target = output_folder(given.output_dir), share(given, "target")
    sizes = given.dyads and sorted(as_whole("--dyads", n, 2, 100_000) for n in given.dyads)
    with importing():
        from jaxtherapy.studies import power
        from jaxtherapy.training.display import console

    trials = power.Trials(
        sizes=sizes or power.SIZES,
        n_trials=whole(given, "trials", 10, 1_000_000),
        alpha=share(given, "alpha"),
        outcome=given.outcome,
        seed=whole(given, "seed", 0, 2**31 - 1),
    )
    total = trials.n_trials * max(trials.sizes)
    if total > MOST:
        raise ConfigError(f"that makes {total:,} therapies per arm, at most {MOST:,}; ask for less")
    out = console()
    clients, panel = clients_of(given), panel_of(names)
    with out.status(f"simulating {2 * total:,} therapies"):
        ours, theirs = power.simulate_arms(panel, clients, trials)
        rows = power.power_curve(ours, theirs, trials)
    title = f"{names[0]} against {names[1]}: {given.outcome}"
    out.print(f"{title}; {ours.mean():.3f} and {theirs.mean():.3f}")
    for row in rows:
        exact = "" if row.exact is None else f"; exact {row.exact:.3f}"
        out.print(
            f"{row.design}, {row.n} dyads per arm: power {row.power:.3f} ± {row.se:.3f}{exact}",
        )
    for design in power.DESIGNS:
        n = power.needed(rows, design, target)
        told = f"more than {max(trials.sizes)}" if n is None else f"at most {n}"
        out.print(f"power {target:g}, {design}: {told} dyads per arm")
    list_files(write(folder, "power", rows, power.picture(rows, title, target)), out)
