"""The tables of docs/results.md, from the records."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool
from scipy import stats

from jaxtherapy.client.baselines import FIXED_MAP
from jaxtherapy.client.octants import OCTANTS
from jaxtherapy.evaluation.statistics import exact_mcnemar, holm, wilson_interval
from jaxtherapy.storage.files import write_atomically
from results.rows import (
    ABLATIONS,
    CELL_TRAININGS,
    CELLS,
    OMNISCIENT,
    ROOT,
    ROWS,
    THRESHOLDS,
    TRAININGS,
)
from results.store import Record

DOCUMENT = ROOT / "docs/results.md"
CONFIDENCE = 0.95
REFERENCE = "complementary"
PHASES = ("early", "middle", "late")

Records = Mapping[str, Record]
Line = Sequence[str]

SEES = {
    "random": "nothing",
    "complementary": "the act",
    "map found by hand": "the act",
    "searched map": "the act",
    "myopic": "the client",
    "best_cell": "the client",
    "planner": "the client, and simulates",
    "quickstart": "the history",
    "strategic": "the history",
    "strategic_omniscient": "the client",
    OMNISCIENT: "the client",
    **dict.fromkeys(CELL_TRAININGS, "the history"),
}
STRATEGIC = ("random", REFERENCE, "map found by hand", "searched map", "myopic", "best_cell")
YARDSTICKS = ("myopic", "searched map", "best_cell", "planner")


class Gap(NamedTuple):
    """A paired difference in success, its interval and its p-value."""

    estimate: float
    low: float
    high: float
    p: float

    def __str__(self) -> str:
        return f"{self.estimate:+.1%} [{self.low:+.1%}, {self.high:+.1%}]".replace("%", "")


def gap(ours: Bool[np.ndarray, " n"], theirs: Bool[np.ndarray, " m"]) -> Gap:
    """Ours minus theirs over the clients of both.

    The interval is Bonett and Price's (2012), a Wald interval with one success added to either side
    of the clients who end differently; the p-value is McNemar's exact one.
    """
    n = min(len(ours), len(theirs))
    ours, theirs = ours[:n], theirs[:n]
    gained, lost = int(np.sum(ours & ~theirs)), int(np.sum(theirs & ~ours))
    up, down = (gained + 1) / (n + 2), (lost + 1) / (n + 2)
    half = stats.norm.isf((1 - CONFIDENCE) / 2) * np.sqrt((up + down - (up - down) ** 2) / (n + 2))
    p = float(exact_mcnemar(ours.astype(float), theirs.astype(float)))
    return Gap((gained - lost) / n, up - down - half, up - down + half, p)


def seeds_of(records: Records, name: str) -> list[Record]:
    """The records of a therapist: one, or one of each seed, in the order of their success."""
    ids = [row.id for row in ROWS.values() if row.name == name and row.id in records]
    return sorted((records[id] for id in ids), key=lambda each: float(each.successes.mean()))


def median(seeds: Sequence[Record]) -> Record:
    """The seed of median success, the lower one of two."""
    return seeds[(len(seeds) - 1) // 2]


def success(seeds: Sequence[Record]) -> str:
    """With Wilson's interval; of several seeds the median and the range."""
    if not seeds:
        return "–"
    middle = median(seeds)
    rate = float(middle.successes.mean())
    if len(seeds) > 1:
        ends = (float(each.successes.mean()) for each in (seeds[0], seeds[-1]))
        return f"**{rate:.1%}** ({' to '.join(f'{end:.1%}' for end in ends)})"
    hits = np.array(float(middle.successes.sum()))
    low, high = map(float, wilson_interval(hits, middle.therapies, CONFIDENCE))
    return f"**{rate:.1%}** [{low:.1%}, {high:.1%}]"


def to_reference(records: Records, place: str, name: str, reference: str = REFERENCE) -> Gap | None:
    """The difference of a therapist, or its median seed, to another with the same clients."""
    ours, theirs = (seeds_of(records, f"{place}/{each}") for each in (name, reference))
    if name == reference or not (ours and theirs):
        return None
    return gap(median(ours).successes, median(theirs).successes)


def table(headings: Line, lines: Iterable[Line]) -> str:
    """In Markdown."""
    rows = [headings, ["---"] * len(headings), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _shown(value: Gap | None) -> str:
    return "–" if value is None else str(value)


def _count(seeds: Sequence[Record]) -> str:
    therapies = f"{median(seeds).therapies:,}"
    return therapies if len(seeds) == 1 else f"{therapies} × {len(seeds)} seeds"


def _outcomes(records: Records, place: str, names: Iterable[str]) -> str:
    lines = []
    for name in names:
        if not (seeds := seeds_of(records, f"{place}/{name}")):
            continue
        totals, therapies = median(seeds).totals, median(seeds).therapies
        hits = int(median(seeds).successes.sum())
        lines.append(
            [
                name,
                SEES[name],
                success(seeds),
                _shown(to_reference(records, place, name)),
                f"{totals['dropouts'] / therapies:.1%}",
                f"{totals['sessions_of_successes'] / hits:.0f}" if hits else "–",
                _count(seeds),
            ]
        )
    headings = ["therapist", "sees", "success", "points beyond complementary", "dropout"]
    return table([*headings, "sessions to success", "therapies"], lines)


# --- the tables -----------------------------------------------------------------------------


def strategic(records: Records, threshold: float) -> str:
    """Everyone with the strategic clients."""
    names = [*STRATEGIC, "planner", *TRAININGS]
    return _outcomes(records, f"strategic/{threshold}", names)


def rl_vs_complementary(records: Records) -> str:
    """Everyone with the clients of that configuration."""
    names = [REFERENCE, *YARDSTICKS, *CELL_TRAININGS, OMNISCIENT]
    return _outcomes(records, "rl_vs_complementary", names)


def trainings(records: Records) -> str:
    """How long they took."""
    lines = []
    for name, (config, *_) in TRAININGS.items():
        seeds = seeds_of(records, f"strategic/{THRESHOLDS[0]}/{name}")
        spent = sorted(each.training_seconds or 0 for each in seeds)
        if spent:
            middle = spent[(len(spent) - 1) // 2]
            device = median(seeds).device
            times = f"{middle:.0f} s ({spent[0]:.0f} to {spent[-1]:.0f})"
            lines.append([f"`{config}`", str(len(spent)), times, device])
    return table(["configuration", "seeds", "training, median and range", "device"], lines)


def maps(records: Records) -> str:
    """The maps that were found by search."""
    lines = []
    for id in ("rl_vs_complementary", *(f"strategic/{each}" for each in sorted(THRESHOLDS))):
        if found := records.get(f"{id}/searched map"):
            lines.append([id, *found.about["map"].removeprefix(FIXED_MAP).split(",")])
    return table(["clients", *OCTANTS], lines)


def cells(records: Records) -> str:
    """The headroom in every cell, and what is made of it."""
    names = [*YARDSTICKS, *CELL_TRAININGS]
    gaps = {
        name: {cell: to_reference(records, f"cells/{cell}", name) for cell in CELLS}
        for name in names
    }
    corrected = {name: _corrected(gaps[name]) for name in names}
    lines = [
        [
            cell.replace("/", ", "),
            success(seeds_of(records, f"cells/{cell}/{REFERENCE}")),
            *(_marked(gaps[name][cell], corrected[name].get(cell)) for name in names),
        ]
        for cell in CELLS
    ]
    return table(["cell", "complementary", *names], lines)


def _corrected(gaps: Mapping[str, Gap | None]) -> dict[str, float]:
    """Holm's correction over the cells that are there."""
    known = {cell: each.p for cell, each in gaps.items() if each is not None}
    adjusted = holm(np.array([*known.values()], float))
    return dict(zip(known, adjusted.tolist(), strict=True))


def _marked(value: Gap | None, p: float | None) -> str:
    if value is None or p is None:
        return "–"
    return str(value) + (r"\*" if p < 1 - CONFIDENCE else "")


def ablation(records: Records) -> str:
    """What each ingredient is worth."""
    lines = []
    for name in ABLATIONS:
        if seeds := seeds_of(records, f"ablation/{name}"):
            spent = np.median([each.training_seconds or 0 for each in seeds])
            lines.append([name, success(seeds), str(len(seeds)), f"{spent:.0f} s"])
    return table(["training", "success, median and range", "seeds", "training, median"], lines)


def courses(records: Records, threshold: float) -> str:
    """Complementarity by thirds of therapy, and beyond the stationary control."""
    lines = []
    for name, record in _course_records(records, threshold):
        for shape in record.about["shapes"]:
            beyond = shape["beyond_twin"]
            thirds = [f"{each['estimate']:.1%}" for each in shape["thirds"] if _known(each)]
            if len(thirds) == len(PHASES) and beyond is not None:
                contrasts = (beyond[f"{end}_minus_middle"] for end in ("first", "last"))
                more = [_interval(each) for each in contrasts]
                claim = "yes" if shape["high_low_high"] else "no"
                lines.append([name, shape["outcome"], *thirds, *more, claim])
    headings = ["therapist", "therapies", *PHASES, "early − middle", "late − middle"]
    return table([*headings, "high–low–high"], lines)


def responses(records: Records, threshold: float) -> str:
    """The most frequent answer to each act, by thirds of therapy."""
    lines = []
    for name, record in _course_records(records, threshold):
        for phase in PHASES:
            found = record.about["response_maps"][phase]["probability"]
            lines.append([name, phase, *map(_most_frequent, found)])
    return table(["therapist", "third", *(f"to {act}" for act in OCTANTS)], lines)


def _course_records(records: Records, threshold: float) -> list[tuple[str, Record]]:
    names = [REFERENCE, *YARDSTICKS, *TRAININGS]
    found = ((name, records.get(f"course/{threshold}/{name}")) for name in names)
    return [(name, record) for name, record in found if record is not None]


def _known(estimate: Mapping[str, float | None]) -> bool:
    return estimate["estimate"] is not None


def _interval(estimate: Mapping[str, float]) -> str:
    if not _known(estimate):
        return "–"
    numbers = (f"{estimate[name] * 100:+.1f}" for name in ("estimate", "low", "high"))
    return "{} [{}, {}]".format(*numbers)


def _most_frequent(row: Sequence[float | None]) -> str:
    shares = [0.0 if share is None else share for share in row]
    best = int(np.argmax(shares))
    return f"{OCTANTS[best]} {shares[best]:.0%}" if shares[best] else "–"


TABLES: Mapping[str, Callable[[Records], str]] = {
    **{f"strategic {t}": partial(strategic, threshold=t) for t in THRESHOLDS},
    "trainings": trainings,
    "maps": maps,
    "rl_vs_complementary": rl_vs_complementary,
    "cells": cells,
    "ablation": ablation,
    **{f"course {t}": partial(courses, threshold=t) for t in THRESHOLDS},
    **{f"responses {t}": partial(responses, threshold=t) for t in THRESHOLDS},
}
"""By the name in the document's markers."""

BLOCK = re.compile(r"(<!-- table: (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)


def rendered(text: str, records: Records) -> str:
    """The document with its tables made anew.

    Raises:
        KeyError: a marker names no table.
    """
    return BLOCK.sub(lambda found: f"{found[1]}\n{TABLES[found[2]](records)}\n\n{found[3]}", text)


def write(records: Records, document: Path = DOCUMENT) -> bool:
    """Writes the document's tables; whether that changed anything."""
    before = document.read_text(encoding="utf-8")
    after = rendered(before, records)
    if changed := after != before:
        write_atomically(document, after.encode())
    return changed
