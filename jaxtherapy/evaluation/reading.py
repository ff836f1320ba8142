"""``evaluation.json`` back into the dataclasses of :mod:`.results`, or a line about its damage."""

import dataclasses
import json
import math
import re
import types
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from jaxtherapy.client.octants import N_OCTANTS
from jaxtherapy.errors import RunError
from jaxtherapy.evaluation.results import (
    ACT_KINDS,
    ALL_CELLS,
    CLIENT_ACT_KINDS,
    OUTCOME_KINDS,
    PHASES,
    QUANTILES,
    SCHEMA,
    Course,
    Episode,
    Evaluation,
    PlannerResult,
)

_FAMILY = SCHEMA.rpartition("/")[0]
_START = re.compile(rb'\s*\{\s*"schema"\s*:\s*"' + re.escape(_FAMILY).encode() + b"/")
_LARGEST_WHOLE = 2**63
_DEEPEST = 6
"""Lists within lists that a setting may be."""

_SETTINGS = {"episodes": int, "course_episodes": int, "confidence": float, "reference": str}
"""Those that readers of an evaluation rely on."""

T = TypeVar("T")


class _Damaged(ValueError):
    """What is wrong with which entry."""


def is_evaluation(path: Path) -> bool:
    """Whether a file begins as an evaluation of ours does, of whatever version."""
    try:
        with path.open("rb") as file:
            return _START.match(file.read(256)) is not None
    except OSError:
        return False


def read_evaluation(path: Path) -> Evaluation:
    """The evaluation that a file holds.

    Raises:
        RunError: there is none, it is of another version, or it is damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise RunError(
            f"{path} can't be read: {reason}; make one with jaxtherapy.evaluate"
        ) from None
    except (ValueError, RecursionError):
        raise RunError(f"{path} is no JSON that can be read") from None
    found = content.get("schema") if isinstance(content, dict) else None
    if found != SCHEMA and str(found).startswith(_FAMILY):
        other = f"another version ({found!s:.60}, not {SCHEMA})"
        raise RunError(f"{path} is of {other}; evaluate again")
    if found != SCHEMA:
        shown = repr(found)[:60]
        raise RunError(f"{path} is no evaluation: its schema is {shown}, not {SCHEMA!r}")
    try:
        return from_json(content)
    except _Damaged as error:
        raise RunError(
            f"{path} is not as an evaluation left it ({error}); evaluate again"
        ) from None


def from_json(content: Any) -> Evaluation:
    """JSON's own types as an :class:`Evaluation` whose parts fit together.

    Raises:
        ValueError: an entry is missing, of another kind, not finite, or refers to nothing.
    """
    evaluation = _decode(Evaluation, content, "")
    _check_settings(evaluation)
    _check_references(evaluation)
    if evaluation.planner is not None:
        _check_planner(evaluation.planner, [each.id for each in evaluation.therapists])
    for course in evaluation.courses:
        _check_course(course)
    for episode in evaluation.episodes:
        _check_episode(episode)
    return evaluation


# --- types ----------------------------------------------------------------------------------


@cache
def _fields(kind: type) -> dict[str, tuple[Any, bool]]:
    """Type of each field of a dataclass, and whether it may be left out."""
    hints = get_type_hints(kind)
    missing = dataclasses.MISSING
    return {
        each.name: (hints[each.name], (each.default, each.default_factory) != (missing, missing))
        for each in dataclasses.fields(kind)
    }


def _decode(kind: Any, value: Any, where: str) -> Any:
    """A value as the type that an annotation says; ``where`` names it in messages."""
    if kind is Any:
        return _setting(value, where)
    if get_origin(kind) in (Union, types.UnionType):
        (kind,) = (each for each in get_args(kind) if each is not types.NoneType)
        return None if value is None else _decode(kind, value, where)
    if get_origin(kind) is list:
        (entry,) = get_args(kind)
        return [_decode(entry, v, f"{where}[{n}]") for n, v in enumerate(_a(list, value, where))]
    if get_origin(kind) is dict:
        entry = get_args(kind)[1]
        return {k: _decode(entry, v, _within(where, k)) for k, v in _a(dict, value, where).items()}
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        return _scalar(kind, value, where)
    _a(dict, value, where)
    entries = {}
    for name, (of_field, optional) in _fields(kind).items():
        if name in value:
            entries[name] = _decode(of_field, value[name], _within(where, name))
        elif not optional:
            raise _Damaged(f"{_within(where, name)} is missing")
    return kind(**entries)


def _within(where: str, name: str) -> str:
    return f"{where}.{name!s:.40}".lstrip(".").replace("\n", " ")


def _a(kind: type[T], value: Any, where: str) -> T:
    if not isinstance(value, kind):
        raise _Damaged(f"{where or 'it'} is no {'object' if kind is dict else kind.__name__}")
    return value


def _scalar(kind: type, value: Any, where: str) -> Any:
    if kind in (str, bool):
        return _a(kind, value, where)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Damaged(f"{where} is no number")
    if kind is int and not isinstance(value, int):
        raise _Damaged(f"{where} is no whole number")
    if not math.isfinite(value) if isinstance(value, float) else abs(value) > _LARGEST_WHOLE:
        raise _Damaged(f"{where} is too large a number")
    return kind(value)


def _setting(value: Any, where: str, deepest: int = _DEEPEST) -> Any:
    """What may be any JSON, but has to be shown."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _scalar(type(value), value, where)
    if isinstance(value, dict | list):
        if not deepest:
            raise _Damaged(f"{where} is nested too deeply")
        for each in value.values() if isinstance(value, dict) else value:
            _setting(each, where, deepest - 1)
    return value


# --- parts that fit together ----------------------------------------------------------------


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise _Damaged(otherwise.replace("\n", " "))


def _known(names: Iterable[str], known: Iterable[str], where: str) -> None:
    known = set(known)
    for name in names:
        _require(name in known, f"{where} has an unknown {name!r:.60}")


def _exactly(keys: Iterable[str], expected: Sequence[str], where: str) -> None:
    keys = list(keys)
    for name in expected:
        _require(name in keys, f"{where} lacks {name!r:.60}")


def _check_settings(evaluation: Evaluation) -> None:
    for name, kind in _SETTINGS.items():
        _require(name in evaluation.settings, f"settings.{name} is missing")
        _scalar(kind, evaluation.settings[name], f"settings.{name}")
    _require(0 < evaluation.settings["confidence"] < 1, "settings.confidence is no share")
    _a(dict, evaluation.settings.get("clients", {}), "settings.clients")
    _a(dict, evaluation.run.get("versions", {}), "run.versions")


def _check_references(evaluation: Evaluation) -> None:
    """Everything is told of therapists, groups, cells and metrics that there are."""
    therapists = [each.id for each in evaluation.therapists]
    groups = [each.id for each in evaluation.groups]
    cells, metrics = ([each.id for each in part] for part in (evaluation.cells, evaluation.metrics))
    for names, where in ((therapists, "therapists"), (groups, "groups"), (metrics, "metrics")):
        _require(len(names) == len(set(names)), f"{where} has the same id twice")
        _require(bool(names), f"{where} is empty")
    _exactly(metrics, ["success", "reward"], "metrics")
    for group in evaluation.groups:
        _require(bool(group.therapists), f"group {group.id!r:.60} is empty")
        _known(group.therapists, therapists, "groups")
    _exactly([t for group in evaluation.groups for t in group.therapists], therapists, "groups")
    every = evaluation.outcomes, evaluation.differences, evaluation.courses, evaluation.episodes
    _known((row.therapist for part in every for row in part), therapists, "a therapist's entry")
    _known((row.cell for row in evaluation.outcomes), [*cells, ALL_CELLS], "outcomes")
    across = evaluation.seeds, evaluation.improvement
    _known((row.group for part in across for row in part), groups, "an entry across seeds")
    _known((row.over for row in evaluation.improvement), groups, "improvement")
    told_of = evaluation.differences, evaluation.seeds, evaluation.improvement
    _known((row.metric for part in told_of for row in part), metrics, "a metric's entry")
    told = {(row.therapist, row.cell) for row in evaluation.outcomes}
    for cell in [*cells, ALL_CELLS] if len(cells) > 1 else [ALL_CELLS]:
        missing = [name for name in therapists if (name, cell) not in told]
        _require(not missing, f"outcomes lacks {missing[:1]} in {cell!r:.60}")
    for row in evaluation.outcomes:
        _exactly(row.metrics, metrics, f"an outcome of {row.therapist!r:.60}")
        _known(row.metrics, metrics, "outcomes")


def _check_planner(planner: PlannerResult, therapists: Sequence[str]) -> None:
    """Everyone has an average over cells."""
    overall = [row for row in planner.outcomes if row.cell == ALL_CELLS]
    _exactly((row.therapist for row in overall), [*therapists, planner.therapist], "planner")
    for row in overall:
        _exactly(row.metrics, ["success"], f"planner: an outcome of {row.therapist!r:.60}")


def _check_course(course: Course) -> None:
    """Axes and curves are of one length, and every kind is there."""
    where = f"the course of {course.therapist!r:.60}"
    _exactly(course.episodes, ["all"], where)
    _exactly(course.response_maps, PHASES, where)
    _require(bool(course.sessions) and bool(course.times), f"{where} has an empty axis")
    for strands, n, intake in (
        (course.by_session, len(course.sessions), 1),
        (course.by_time, len(course.times), 0),
    ):
        _exactly(strands, OUTCOME_KINDS, where)
        for strand in strands.values():
            for band in (strand.rs, strand.bond):
                parts = [band.mean, band.n, *(getattr(band, name) for name in QUANTILES)]
                _require({len(part) for part in parts} == {n + intake}, f"{where}: uneven bands")
            for curves in (strand.complementarity, strand.distance):
                _exactly(curves, ACT_KINDS, where)
                for acts in curves.values():
                    _exactly(acts, CLIENT_ACT_KINDS, where)
                    curve_lengths = {len(part) for c in acts.values() for part in vars(c).values()}
                    _require(curve_lengths == {n}, f"{where}: uneven curves")
    _require(all(len(shape.thirds) == 3 for shape in course.shapes), f"{where}: thirds")
    for shown in course.response_maps.values():
        sizes = [len(shown.count), *map(len, shown.probability), len(shown.probability)]
        _require(set(sizes) == {N_OCTANTS}, f"{where}: a response map is not 8 by 8")


def _check_episode(episode: Episode) -> None:
    where = f"an episode of {episode.therapist!r:.60}"
    acts = [episode.client_act, episode.therapist_act, episode.heard_act]
    lengths = {*map(len, acts), len(episode.rs), len(episode.bond)}
    _require(lengths == {episode.sessions}, f"{where} has lists of other lengths than its sessions")
    _require(all(0 <= act < N_OCTANTS for part in acts for act in part), f"{where}: no octant")
