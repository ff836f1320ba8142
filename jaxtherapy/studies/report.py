"""A sweep as one page that opens offline, and as figures for a paper."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxtherapy.errors import RunError
from jaxtherapy.evaluation.results import Estimate, MetricInfo
from jaxtherapy.reporting import page
from jaxtherapy.reporting.formats import interval, number, printable
from jaxtherapy.reporting.report import write_figures
from jaxtherapy.reporting.tables import Table
from jaxtherapy.storage import run_info
from jaxtherapy.storage.files import write_atomically
from jaxtherapy.studies.folder import SweepFolder
from jaxtherapy.studies.pictures import pictures
from jaxtherapy.studies.settings import REFERENCE, Sweep, load_sweep
from jaxtherapy.studies.table import Row, parse_rows, read_text

MOST_RANKED, MOST_LISTED = 20, 400
_SUCCESS = MetricInfo("success", "success", "share of therapies", "higher", "")


def write_report(
    sweep: Sweep,
    rows: Sequence[Row],
    about: Mapping[str, Any],
    folder: SweepFolder,
    tell: Callable[[str], None] = lambda line: None,
) -> Path:
    """Writes ``report.html`` and ``figures/*.png`` and ``*.svg``.

    Raises:
        RunError: the folder can't be written to.
    """
    rows = sorted(printable(list(rows)), key=lambda row: (row["seed"], row["point"]))
    drawn = pictures(sweep, rows)
    try:
        write_figures(drawn, folder.path, tell)
        html = page.render(
            "sweep.html",
            drawn,
            title=f"Sweep {printable(sweep.name)}",
            subtitle=_subtitle(sweep, rows, about),
            ranking=_ranking(sweep, rows),
            about_all=f"The first {MOST_LISTED:,} of {len(rows):,} rows."
            if len(rows) > MOST_LISTED
            else f"{len(rows):,} rows.",
            all_rows=_listed("All runs", sweep, rows[:MOST_LISTED]),
            configuration=sweep.dump(),
            provenance=page.provenance(about),
        )
        write_atomically(folder.report, html.encode())
    except OSError as error:
        raise RunError(f"can't write to {folder.path}: {error.strerror}", exit_code=1) from None
    return folder.report


def write_report_again(folder: SweepFolder, tell: Callable[[str], None]) -> Path:
    """The report of a sweep that is there, finished or not, from its files alone.

    Raises:
        RunError: it has no run yet, or can't be read or written.
    """
    rows = parse_rows(read_text(folder.table) or "")
    if not rows:
        raise RunError(f"no run of {folder.path} is done yet; there is nothing to draw")
    about = run_info.read(folder.info)
    return write_report(load_sweep(folder.config), rows, about, folder, tell)


def _subtitle(sweep: Sweep, rows: Sequence[Row], about: Mapping[str, Any]) -> str:
    n_done = len({(row["point"], row["seed"]) for row in rows})
    so_far = f"so far {n_done:,} of {len(sweep.runs):,} runs"
    when = about.get("ended", "") if n_done == len(sweep.runs) else so_far
    seeds = "" if sweep.seeds == 1 else f" × {sweep.seeds} seeds"
    return (
        f"{len(sweep.run_points):,} points{seeds}, {sweep.clients:,} clients each, the same for "
        f"every therapist; 95% intervals; {when}"
    )


def _ranking(sweep: Sweep, rows: Sequence[Row]) -> Table:
    """Where therapists gain most over the reference, or where there is no other succeed most."""
    column = "difference" if any(row["difference"] is not None for row in rows) else "success"
    ranked = sorted((row for row in rows if row[column] is not None), key=lambda row: -row[column])
    what = f"minus {REFERENCE}" if column == "difference" else "by success"
    caption = f"The {min(MOST_RANKED, len(ranked))} highest of {len(ranked):,}, {what}"
    luck = "; the highest of many are so by luck too, which their intervals do not know"
    return _listed(caption + luck * (len(ranked) > 1), sweep, ranked[:MOST_RANKED])


def _listed(caption: str, sweep: Sweep, rows: Sequence[Row]) -> Table:
    varied = [axis.name for axis in sweep.axes]
    return Table(
        caption,
        ["point", "seed", "therapist", *varied, "success", "difference", "dropout", "sessions"],
        [
            [
                *(str(row[name]) for name in ("point", "seed")),
                row["therapist"] + " (diverged)" * (row.get("status") == "diverged"),
                *(str(row[name]) for name in varied),
                interval(_with_ends(row, "success"), _SUCCESS),
                interval(_with_ends(row, "difference"), _SUCCESS, difference=True),
                number(row["dropout"], _SUCCESS),
                number(row["sessions"]),
            ]
            for row in rows
        ],
    )


def _with_ends(row: Row, column: str) -> Estimate:
    return Estimate(row[column], row[f"{column}_low"], row[f"{column}_high"])
