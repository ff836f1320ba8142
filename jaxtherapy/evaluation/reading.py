"""``evaluation.json`` back into the dataclasses of :mod:`.results`, or a line about its damage."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from jaxtherapy.client.octants import N_OCTANTS
from jaxtherapy.errors import RunError
from jaxtherapy.evaluation.results import (
    ACT_KINDS,
    ALL_CELLS,
    CLIENT_ACT_KINDS,
    CLIENT_GROUPS,
    OUTCOME_KINDS,
    PHASES,
    SCHEMA,
    Course,
    Episode,
    Evaluation,
    PlannerResult,
    Strand,
)

_FAMILY = SCHEMA.rpartition("/")[0]
_START = re.compile(rb'\s*\{\s*"schema"\s*:\s*"' + re.escape(_FAMILY).encode() + b"/")
_LARGEST_WHOLE = 2**63
_DEEPEST = 10
"""Lists and objects within each other; ours are nine deep."""


class _Head(msgspec.Struct):
    schema: Any = None


class _Settings(msgspec.Struct):
    episodes: int
    course_episodes: int
    confidence: float
    reference: str
    clients: dict[str, Any] | None = None


class _Run(msgspec.Struct):
    versions: dict[str, Any] | None = None


class _Relied(msgspec.Struct):
    """Loosely typed parts, as far as readers of an evaluation rely on them."""

    settings: _Settings
    run: _Run


def is_evaluation(path: Path) -> bool:
    """Whether a file begins as an evaluation of ours does, of whatever version."""
    try:
        with path.open("rb") as file:
            return _START.match(file.read(256)) is not None
    except OSError:
        return False


def read_evaluation(path: str | Path) -> Evaluation:
    """The evaluation that a file holds, or the file of a folder.

    Raises:
        RunError: there is none, it is of another version, or it is damaged.
    """
    path = Path(path).expanduser()
    path = path / "evaluation.json" if path.is_dir() else path
    try:
        content = path.read_bytes()
        content.decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise RunError(
            f"{path} can't be read: {reason}; 'python -m jaxtherapy.evaluate' makes one"
        ) from None
    try:
        found = msgspec.json.decode(content, type=_Head).schema
    except msgspec.ValidationError:  # no object
        found = None
    except (msgspec.DecodeError, RecursionError):
        raise RunError(f"{path} is no JSON that can be read") from None
    if found != SCHEMA and str(found).startswith(_FAMILY):
        other = f"another version ({found!s:.60}, not {SCHEMA})"
        raise RunError(f"{path} is of {other}; evaluate again")
    if found != SCHEMA:
        shown = repr(found)[:60]
        raise RunError(f"{path} is no evaluation: its schema is {shown}, not {SCHEMA!r}")
    try:
        return from_json(content)
    except ValueError as error:
        raise RunError(
            f"{path} is not as an evaluation left it ({error}); evaluate again"
        ) from None


def from_json(content: bytes) -> Evaluation:
    """The contents of a file as an :class:`Evaluation` whose parts fit together.

    Raises:
        ValueError: an entry is missing, of another kind, not finite, or refers to nothing.
    """
    try:
        evaluation = msgspec.json.decode(content, type=Evaluation)
        settings = msgspec.json.decode(content, type=_Relied).settings
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    _check_sizes(msgspec.to_builtins(evaluation), "")
    _require(0 < settings.confidence < 1, "settings.confidence is no share")
    _check_references(evaluation)
    if evaluation.planner is not None:
        _check_planner(evaluation.planner, [each.id for each in evaluation.therapists])
    for course in evaluation.courses:
        _check_course(course, ACT_KINDS if evaluation.outcomes else ACT_KINDS[:1])
    for episode in evaluation.episodes:
        _check_episode(episode)
    return evaluation


def _check_sizes(value: Any, where: str, deepest: int = _DEEPEST) -> None:
    """What JSON can say, but no report can show."""
    _require(deepest > 0, f"{where} is nested too deeply")
    if isinstance(value, int):
        _require(abs(value) <= _LARGEST_WHOLE, f"{where} is too large a number")
    elif isinstance(value, list):
        for number, each in enumerate(value):
            _check_sizes(each, f"{where}[{number}]", deepest - 1)
    elif isinstance(value, dict):
        for name, each in value.items():
            _check_sizes(each, f"{where}.{name:.40}".lstrip("."), deepest - 1)


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ValueError(otherwise.replace("\n", " "))


def _known(names: Iterable[str], known: Iterable[str], where: str) -> None:
    for name in sorted(set(names) - set(known)):
        raise ValueError(f"{where} has an unknown {name!r:.60}")


def _complete(names: Iterable[str], expected: Iterable[str], where: str) -> None:
    for name in sorted(set(expected) - set(names)):
        raise ValueError(f"{where} lacks {name!r:.60}")


def _check_references(evaluation: Evaluation) -> None:
    """Everything is told of therapists, groups, cells and metrics that there are."""
    therapists = [each.id for each in evaluation.therapists]
    groups = [each.id for each in evaluation.groups]
    cells, metrics = ([each.id for each in part] for part in (evaluation.cells, evaluation.metrics))
    for names, where in ((therapists, "therapists"), (groups, "groups"), (metrics, "metrics")):
        _require(len(names) == len(set(names)), f"{where} has the same id twice")
        _require(bool(names), f"{where} is empty")
    _complete(metrics, ["success", "reward"], "metrics")
    for group in evaluation.groups:
        _require(bool(group.therapists), f"group {group.id!r:.60} is empty")
        _known(group.therapists, therapists, "groups")
    _complete([t for group in evaluation.groups for t in group.therapists], therapists, "groups")
    rows = evaluation.outcomes, evaluation.differences, evaluation.courses, evaluation.episodes
    every = *rows, evaluation.for_whom
    _known((row.therapist for part in every for row in part), therapists, "a therapist's entry")
    for whom in evaluation.for_whom:
        _complete([each.group for each in whom.groups], CLIENT_GROUPS, "for_whom")
        for effect in whom.effects:
            _complete(effect.by_group, CLIENT_GROUPS, "for_whom")
        for leaf in whom.tree:
            _complete(leaf.shares, CLIENT_GROUPS, "for_whom")
    _known((row.cell for row in evaluation.outcomes), [*cells, ALL_CELLS], "outcomes")
    across = evaluation.seeds, evaluation.improvement
    _known((row.group for part in across for row in part), groups, "an entry across seeds")
    _known((row.over for row in evaluation.improvement), groups, "improvement")
    told_of = evaluation.differences, evaluation.seeds, evaluation.improvement
    _known((row.metric for part in told_of for row in part), metrics, "a metric's entry")
    told = {(row.therapist, row.cell) for row in evaluation.outcomes}
    expected = [*cells, ALL_CELLS] if len(cells) > 1 else [ALL_CELLS] if cells else []
    for cell in expected:  # coded therapies have no cells
        missing = [name for name in therapists if (name, cell) not in told]
        _require(not missing, f"outcomes lacks {missing[:1]} in {cell!r:.60}")
    for row in evaluation.outcomes:
        _complete(row.metrics, metrics, f"an outcome of {row.therapist!r:.60}")
        _known(row.metrics, metrics, "outcomes")


def _check_planner(planner: PlannerResult, therapists: Sequence[str]) -> None:
    """Everyone has an average over cells."""
    overall = [row for row in planner.outcomes if row.cell == ALL_CELLS]
    told, expected = [row.therapist for row in overall], [*therapists, planner.therapist]
    _complete(told, expected, "planner")
    _known(told, expected, "planner")
    for row in overall:
        _complete(row.metrics, ["success"], f"planner: an outcome of {row.therapist!r:.60}")


def _check_course(course: Course, acts: Sequence[str]) -> None:
    """Axes and curves are of one length, and every kind is there."""
    where = f"the course of {course.therapist!r:.60}".replace("\n", " ")
    _complete(course.episodes, ["all"], where)
    _complete(course.response_maps, PHASES, where)
    _require(bool(course.sessions) and bool(course.times), f"{where} has an empty axis")
    for strands, n, intake in (
        (course.by_session, len(course.sessions), 1),
        (course.by_time, len(course.times), 0),
    ):
        _complete(strands, OUTCOME_KINDS, where)
        for strand in strands.values():
            _check_strand(strand, acts, (n, n + intake), where)
    _require(all(len(shape.thirds) == 3 for shape in course.shapes), f"{where}: thirds")
    for shown in course.response_maps.values():
        sizes = {len(shown.count), *map(len, shown.probability), len(shown.probability)}
        _require(sizes == {N_OCTANTS}, f"{where}: a response map is not 8 by 8")


def _check_strand(strand: Strand, acts: Sequence[str], sizes: tuple[int, int], where: str) -> None:
    n, n_bands = sizes
    for band in (strand.rs, strand.bond):
        lengths = {len(part) for part in vars(band).values()}
        _require(lengths == {n_bands}, f"{where}: uneven bands")
    for curves in (strand.complementarity, strand.distance):
        _complete(curves, acts, where)
        _known(curves, acts, where)
        for kinds in curves.values():
            _complete(kinds, CLIENT_ACT_KINDS, where)
            lengths = {len(part) for curve in kinds.values() for part in vars(curve).values()}
            _require(lengths == {n}, f"{where}: uneven curves")


def _check_episode(episode: Episode) -> None:
    where = f"an episode of {episode.therapist!r:.60}"
    acts = [episode.client_act, episode.therapist_act, episode.heard_act]
    lengths = {*map(len, acts), len(episode.rs), len(episode.bond)}
    _require(lengths == {episode.sessions}, f"{where} has lists of other lengths than its sessions")
    _require(all(0 <= act < N_OCTANTS for part in acts for act in part), f"{where}: no octant")
