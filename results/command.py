"""Measures the rows of docs/results.md that are not there yet.

Every row lands in results/data as soon as it is measured, so that the work can be interrupted and
spread out. Rows that are there are measured again only if their definition has changed. The
document's tables are made from these files.
"""

import argparse
import fnmatch
import sys
import time
from collections.abc import Iterable, Sequence

from jaxtherapy.cli.launch import ends_in_one_line
from jaxtherapy.config import ConfigError, OneLineParser
from jaxtherapy.devices.layout import choose_device
from jaxtherapy.devices.pinned import pin
from jaxtherapy.errors import RunError
from jaxtherapy.training.display import format_duration
from results import tables
from results.measure import measure
from results.rows import ROWS, Planned, Row
from results.store import Record, Store, state


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = OneLineParser(prog="python -m results", description=__doc__)
    result.add_argument(
        "--only", nargs="+", metavar="PATTERN", help="of rows, such as 'strategic/0.9/*'"
    )
    result.add_argument("--skip", nargs="+", metavar="PATTERN", default=[], help="of rows")
    result.add_argument(
        "--planner", action="store_true", help="also those of the planner, which take long"
    )
    result.add_argument(
        "--most-seconds", type=float, metavar="S", help="no rows that are expected to take longer"
    )
    result.add_argument("--list", action="store_true", help="say what there is and is not")
    result.add_argument("--table", action="store_true", help="only make the tables anew")
    return result


def chosen(given: argparse.Namespace) -> list[Row]:
    """The rows that are asked for; a pattern may leave out the end of an id."""

    def fits(row: Row, patterns: Iterable[str]) -> bool:
        return any(fnmatch.fnmatchcase(row.id, end) for p in patterns for end in (p, f"{p}/*"))

    return [
        row
        for row in ROWS.values()
        if fits(row, given.only or ["*"])
        and not fits(row, given.skip)
        and (given.planner or given.list or not isinstance(row.source, Planned))
        and (given.most_seconds is None or row.seconds <= given.most_seconds)
    ]


def show(rows: Sequence[Row], records: dict[str, Record]) -> None:
    """A line for each row, and the sum of what is left."""
    left = 0.0
    for row in rows:
        record = records.get(row.id)
        now = state(row, record)
        note = f"{record.therapies:,} of {row.therapies:,}" if record and now == "begun" else ""
        took = f"took {format_duration(record.seconds)}" if record and now == "done" else ""
        print(f"{now:<8} {row.id:<55} {took or 'about ' + format_duration(row.seconds):<14} {note}")
        left += row.seconds if now != "done" else 0
    missing = f"what is missing takes about {format_duration(left)} on two idle cores"
    print(f"{len(rows)} rows; {missing}")


def run(rows: Sequence[Row], store: Store) -> int:
    """Measures what is not done. Returns how many rows failed."""
    pin()
    if note := choose_device("auto"):
        print(note)
    failed = 0
    for number, row in enumerate(rows, 1):
        record = store.records().get(row.id)  # another process may have measured it meanwhile
        before = state(row, record)
        if before != "done":
            about = format_duration(row.seconds)
            print(f"[{number}/{len(rows)}] {row.id}, about {about}", flush=True)
            try:
                land(row, record if before == "begun" else None, store)
            except (ConfigError, RunError) as error:
                failed += 1
                print(f"error: {row.id}: {error}", file=sys.stderr)
    return failed


def land(row: Row, begun: Record | None, store: Store) -> None:
    """Measures a row; what there is of it is written at once."""
    started = time.perf_counter()
    for each in measure(row, begun):
        store.write(row, each)
        rate = "" if row.course else f", success {each.successes.mean():.1%}"
        so_far = f"{each.therapies:,} of {row.therapies:,} therapies"
        print(f"  {so_far} in {format_duration(time.perf_counter() - started)}{rate}", flush=True)


def write_tables(records: dict[str, Record]) -> None:
    """Makes the tables anew; says where their numbers are not of what is defined by now."""
    if tables.write(records):
        print(f"wrote the tables of {tables.DOCUMENT.relative_to(tables.ROOT)}")
    if stale := [row.id for row in ROWS.values() if state(row, records.get(row.id)) == "stale"]:
        print(f"{len(stale)} rows of the tables are stale, {stale[0]} the first: see --list")


@ends_in_one_line("interrupted; the same command goes on from here")
def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns its exit code."""
    given = parser().parse_args(argv)
    store, rows = Store(), chosen(given)
    if not rows:
        raise ConfigError("no row is asked for; see --list, and --planner")
    if given.list:
        show(rows, store.records())
        return 0
    try:
        failed = 0 if given.table else run(rows, store)
    finally:
        write_tables(store.records())
    return 1 if failed else 0
