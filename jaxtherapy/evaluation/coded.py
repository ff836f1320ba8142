"""Sequences of octants that a researcher coded: read, and told of as simulated therapies are.

A CSV file with the columns therapy, session, client and therapist, a row per exchange, and
optionally success (1, 0 or empty). What is not coded, RS, bond and what clients hear, is unknown.
"""

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from jaxtherapy.client.dyad import Dyad
from jaxtherapy.client.expectations import choose_act
from jaxtherapy.client.octants import OCTANT_NAMES, OCTANTS
from jaxtherapy.client.params import ClientParams
from jaxtherapy.client.therapists import Answer
from jaxtherapy.errors import RunError, shown
from jaxtherapy.evaluation.control import response_tables
from jaxtherapy.evaluation.course import Therapies, course_of
from jaxtherapy.evaluation.results import SCHEMA, Evaluation, GroupInfo, TherapistInfo
from jaxtherapy.evaluation.statistics import METRICS, Intervals

PREFIX = "coded:"
"""Before a file, in the name of the therapist that answers as the coded ones did."""

COLUMNS = ("therapy", "session", "client", "therapist")
OURS = {"client": "client_octant", "therapist": "therapist_octant"}
"""Of the tables that evaluations write, where ``client`` and ``therapist`` say who it was."""

MOST_SESSIONS = 10_000
_CODES = {
    text.lower(): octant
    for octant in range(len(OCTANTS))
    for text in (OCTANTS[octant], OCTANT_NAMES[octant], str(octant))
}
_WHOLE = re.compile(r"([0-9]+)\.0+")
"""A whole number as some programs write it."""
_SUCCESS = {"": np.nan, **dict.fromkeys(("0", "no", "false"), 0.0)}
_SUCCESS |= dict.fromkeys(("1", "yes", "true"), 1.0)


@dataclass
class _Therapy:
    """Acts in order, and whether it succeeded."""

    client: list[int] = field(default_factory=list)
    therapist: list[int] = field(default_factory=list)
    success: float = np.nan


def read_coded(path: Path) -> Therapies:
    """The coded therapies of a file, in their order; success is NaN where it is not told.

    Raises:
        RunError: one line with the number of the row, counted as spreadsheets do.
    """
    therapies: dict[str, _Therapy] = {}
    for where, row in _rows(path):
        name, session = row["therapy"], row["session"]
        if not name:
            raise RunError(f"{where}: therapy is empty; name or number it")
        therapy = therapies.setdefault(name, _Therapy())
        expected = len(therapy.client) + 1
        if session != str(expected):
            raise RunError(
                f"{where}: session is {shown(session)}, must be {expected}, the next one of "
                f"therapy {shown(name)}; sort by session, and number from 1 without gaps"
            )
        if expected > MOST_SESSIONS:
            raise RunError(f"{where}: a therapy has at most {MOST_SESSIONS:,} sessions")
        therapy.client.append(_octant(where, "client", row["client"]))
        therapy.therapist.append(_octant(where, "therapist", row["therapist"]))
        success = row["success"].lower()
        if success not in _SUCCESS:
            raise RunError(f"{where}: success is {shown(success)}, must be 1, 0 or empty")
        if expected > 1 and not np.array_equal(therapy.success, _SUCCESS[success], equal_nan=True):
            raise RunError(f"{where}: success is not as in the rows of this therapy before")
        therapy.success = _SUCCESS[success]
    if not therapies:
        raise RunError(f"{path} has no rows below its heading")
    return _padded(list(therapies.values()))


def _rows(path: Path) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Each row by our names for its columns, and where it is."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            heading = file.readline()
            file.seek(0)
            separator = max(",;\t", key=heading.count)
            reader = csv.reader(file, delimiter=separator, strict=True)
            names = [name.strip().lower() for name in next(reader, [])]
            ours = set(OURS.values()) <= set(names)
            wanted = {each: OURS.get(each, each) if ours else each for each in COLUMNS}
            missing = [name for name in wanted.values() if name not in names]
            if twice := [name for name in wanted.values() if names.count(name) > 1]:
                raise RunError(f"{path} has two columns {twice[0]}; rename one")
            if missing:
                raise RunError(
                    f"{path} has no column {missing[0]}; its first row must name the columns "
                    f"{', '.join(COLUMNS)}"
                )
            for number, cells in enumerate(reader, 2):
                values = (_whole(cell.strip()) for cell in cells)
                row = dict(zip(names, values, strict=False))
                if any(row.values()):
                    found = {each: row.get(name, "") for each, name in wanted.items()}
                    yield f"{path}, row {number}", found | {"success": row.get("success", "")}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or "it is no CSV file in UTF-8"
        raise RunError(f"{path} can't be read: {reason}") from None


def _whole(cell: str) -> str:
    """``3`` for ``3.0``, else the cell as it is."""
    found = _WHOLE.fullmatch(cell)
    return found[1] if found else cell


def _octant(where: str, who: str, text: str) -> int:
    try:
        return _CODES[text.lower()]
    except KeyError:
        raise RunError(
            f"{where}: {who} is {shown(text)}, must be one of {' '.join(OCTANTS)}, or 0 to 7 in "
            "this order"
        ) from None


def _padded(therapies: list[_Therapy]) -> Therapies:
    length = np.array([len(each.client) for each in therapies])
    held = np.arange(length.max()) < length[:, None]
    client_act, therapist_act = np.zeros((2, *held.shape), np.int64)
    client_act[held] = np.concatenate([each.client for each in therapies])
    therapist_act[held] = np.concatenate([each.therapist for each in therapies])
    unknown = np.full(held.shape, np.nan)
    return Therapies(
        held=held,
        client_act=client_act,
        therapist_act=therapist_act,
        heard_act=None,
        rs=unknown,
        bond=unknown,
        initial_rs=unknown[:, 0],
        initial_bond=unknown[:, 0],
        success=np.array([each.success for each in therapies]),
        cell=np.zeros(len(therapies), int),
    )


def coded_therapist(path: Path) -> Answer:
    """Answers each client act as often in each way as the therapists of a file did, throughout.

    Raises:
        RunError: the file can't be read.
    """
    answers: Float[np.ndarray, "8 8"] = response_tables(read_coded(path), 1)[0]

    def answer(key: PRNGKeyArray, dyad: Dyad, params: ClientParams) -> Int[Array, ""]:
        point = jax.random.uniform(key)
        return choose_act(point, jnp.log(jnp.asarray(answers)[dyad.client_act]))

    return answer


def evaluate_coded(
    name: str, therapies: Therapies, intervals: Intervals, run: Mapping[str, Any]
) -> Evaluation:
    """Course, tests and response maps: an evaluation without outcomes and without cells."""
    return Evaluation(
        schema=SCHEMA,
        name=name,
        settings={
            "episodes": len(therapies.held),
            "course_episodes": len(therapies.held),
            "bootstrap_samples": intervals.n_samples,
            "confidence": intervals.confidence,
            "seed": intervals.seed,
            "reference": "",
            "max_sessions": therapies.held.shape[1],
        },
        run=dict(run),
        therapists=[TherapistInfo(name, name, "coded", name)],
        groups=[GroupInfo(name, name, "coded", [name])],
        cells=[],
        metrics=list(METRICS),
        outcomes=[],
        differences=[],
        courses=[course_of(name, therapies, intervals)],
    )
