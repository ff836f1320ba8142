"""The course of therapy: complementarity, RS, bond and responses along sessions.

All reductions are NumPy on the records of :mod:`jaxtherapy.evaluation.grid`. A *window* is the last
``WINDOW`` sessions up to and including the present one (fewer at the start of therapy). Pointwise
intervals are normal-theory, with therapies as clusters: a pooled share is a ratio of two sums over
therapies, linearised.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import stats

from jaxtherapy.client.octants import COLD, COMPLEMENT, N_OCTANTS, WARM
from jaxtherapy.evaluation.grid import Design
from jaxtherapy.evaluation.outcomes import NOT_HELD, Outcomes, Record
from jaxtherapy.evaluation.results import (
    ACT_KINDS,
    CLIENT_ACT_KINDS,
    OUTCOME_KINDS,
    PHASES,
    QUANTILES,
    Band,
    Course,
    Curve,
    Numbers,
    ResponseMap,
    Strand,
)
from jaxtherapy.evaluation.shape import Answers, shapes_of, thirds
from jaxtherapy.evaluation.statistics import Intervals

WINDOW = 10
TIMES = np.arange(1, 21) / 20
"""Shares of a therapy's own length."""

LARGEST_DISTANCE = N_OCTANTS // 2

Array = np.ndarray


class Therapies(NamedTuple):
    """Recorded therapies, one row each; sessions not held are padding.

    RS is the share of the client's range; RS and bond are those after each session. ``cell`` is the
    place of the client's cell. Of coded therapies what is heard is None, and RS, bond and perhaps
    success are NaN.
    """

    held: Bool[Array, "n sessions"]
    client_act: Int[Array, "n sessions"]
    therapist_act: Int[Array, "n sessions"]
    heard_act: Any  # as the others, or None
    rs: Float[Array, "n sessions"]
    bond: Float[Array, "n sessions"]
    initial_rs: Float[Array, " n"]
    initial_bond: Float[Array, " n"]
    success: Bool[Array, " n"] | Float[Array, " n"]
    cell: Int[Array, " n"]

    @property
    def length(self) -> Int[Array, " n"]:
        """Sessions held."""
        return self.held.sum(1)

    @property
    def by_outcome(self) -> dict[str, Bool[Array, " n"]]:
        """Which of them ended in each way."""
        return {
            "all": np.ones(len(self.success), bool),
            "success": self.success == 1,
            "failure": self.success == 0,
        }

    @property
    def act_kinds(self) -> tuple[str, ...]:
        """What is known of the therapists' acts, of ``ACT_KINDS``."""
        return ACT_KINDS if self.heard_act is not None else ACT_KINDS[:1]

    def answers(self, acts: str) -> Answers:
        """How far what was ``enacted`` or ``heard`` is from the complement."""
        answer: Any = self.therapist_act if acts == "enacted" else self.heard_act
        distance = distance_from_complement(self.client_act, answer)
        return Answers(distance, self.held, self.client_act)

    def where(self, chosen: Any) -> "Therapies":
        """Those at an index."""
        parts: list[Any] = [None if part is None else part[chosen] for part in self]
        return Therapies(*parts)


def decode(
    record: Record,
    initial_rs: Float[Array, "*shape"],
    success: Bool[Array, "*shape"],
    cell: Int[Array, " n"] | int = 0,
    bond: tuple[Any, Any] = (5.0, 0.7),
) -> Therapies:
    """Therapies from a record; ``bond``: slope and offset, of all or of each."""
    code, rs = (part.reshape(len(part), -1).T for part in record)
    held = code != NOT_HELD
    code = np.where(held, code, 0)
    initial = initial_rs.reshape(-1)
    slope, offset = (np.broadcast_to(np.asarray(x, rs.dtype), initial.shape) for x in bond)
    return Therapies(
        held=held,
        client_act=code // N_OCTANTS**2,
        therapist_act=code // N_OCTANTS % N_OCTANTS,
        heard_act=code % N_OCTANTS,
        rs=rs,
        bond=bond_at(rs, slope[:, None], offset[:, None]),
        initial_rs=initial,
        initial_bond=bond_at(initial, slope, offset),
        success=success.reshape(-1),
        cell=np.broadcast_to(cell, initial.shape),
    )


def therapies_of(design: Design, ends: Outcomes, record: Record) -> Therapies:
    """The recorded therapies of one therapist."""
    cell = design.recorded[0]
    slope = np.array([float(each.bond_alpha) for each in design.cells])
    offset = np.array([float(each.bond_offset) for each in design.cells])
    return decode(record, ends.initial_rs, ends.success, cell, (slope[cell], offset[cell]))


def distance_from_complement(
    client_act: Int[Array, "*n"], answer: Int[Array, "*n"]
) -> Int[Array, "*n"]:
    """Octants, 0..4, between an answer and the complement of the client's act."""
    around = np.abs(COMPLEMENT[client_act].astype(int) - answer)
    return np.minimum(around, N_OCTANTS - around)


def bond_at(rs: Float[Array, "*n"], alpha: Any, offset: Any) -> Float[Array, "*n"]:
    """``sigmoid(2·α·(RS share − offset))``."""
    return 1 / (1 + np.exp(-2 * alpha * (rs - offset)))


# --- curves ---------------------------------------------------------------------------------


def windowed_sums(values: Float[Array, "n sessions"]) -> Float[Array, "n sessions"]:
    """Sums over the last ``WINDOW`` sessions."""
    total = np.cumsum(values, axis=1, dtype=float)
    earlier = np.zeros_like(total)
    earlier[:, WINDOW:] = total[:, :-WINDOW]
    return total - earlier


def session_at(times: Float[Array, " times"], length: Int[Array, " n"]) -> Int[Array, "n times"]:
    """The session (from 0) in which a therapy reaches each share of its own length."""
    reached = np.ceil(times * length[:, None] - 1e-9).astype(int)
    return np.clip(reached - 1, 0, np.maximum(length[:, None] - 1, 0))


def _curve(
    total: Float[Array, "n points"],
    weight: Float[Array, "n points"],
    largest: float,
    confidence: float,
) -> Curve:
    """Pooled ratio ``Σ total / Σ weight`` per point; rows are clusters."""
    count = weight.sum(0)
    seen = count > 0
    safe = np.where(seen, count, 1)
    value = total.sum(0) / safe
    n = np.maximum((weight > 0).sum(0), 1)
    spread = np.sum((total - value * weight) ** 2, axis=0) * n / np.maximum(n - 1, 1)
    half = stats.norm.isf((1 - confidence) / 2) * np.sqrt(spread) / safe
    several = seen & (n > 1)
    return Curve(
        value=_numbers(value, seen),
        low=_numbers(np.clip(value - half, 0, largest), several),
        high=_numbers(np.clip(value + half, 0, largest), several),
        n=count.astype(int).tolist(),
        therapies=(weight > 0).sum(0).tolist(),
    )


def _numbers(values: Float[Array, " n"], known: Bool[Array, " n"]) -> Numbers:
    rounded = np.round(values.astype(float), 4).tolist()
    return [value if there else None for value, there in zip(rounded, known, strict=True)]


def _band(values: Float[Array, "n points"], there: Bool[Array, "n points"]) -> Band:
    """Quantiles of each column over the rows that are there (linear interpolation)."""
    there = there & np.isfinite(values)
    count = there.sum(0)
    seen = count > 0
    shown = np.where(there, values, np.nan)[:, seen]
    table = np.full((1 + len(QUANTILES), len(seen)), np.nan)
    if seen.any():
        shares = [int(name[1:]) / 100 for name in QUANTILES]
        table[0, seen] = np.where(there, values, 0).sum(0)[seen] / count[seen]
        table[1:, seen] = np.nanquantile(shown, shares, 0)
    rows = zip(("mean", *QUANTILES), table, strict=True)
    points = {name: _numbers(row, seen) for name, row in rows}
    return Band(n=count.tolist(), **points)


Reader = Callable[[Float[Array, "n sessions"]], Float[Array, "n points"]]


def _strand(therapies: Therapies, read: Reader, rs: Band, bond: Band, confidence: float) -> Strand:
    """``read`` takes values per session to the points of an axis."""
    strand = Strand({}, {}, rs, bond)
    held, act = therapies.held, therapies.client_act
    told = held, held & np.isin(act, WARM), held & np.isin(act, COLD)
    masks = {
        kind: (mask, read(windowed_sums(mask)))
        for kind, mask in zip(CLIENT_ACT_KINDS, told, strict=True)
    }
    for acts in therapies.act_kinds:
        distance = therapies.answers(acts).distance
        measures = (
            (strand.complementarity, (distance == 0).astype(float), 1),
            (strand.distance, distance.astype(float), LARGEST_DISTANCE),
        )
        for curves, values, largest in measures:
            curves[acts] = {
                kind: _curve(read(windowed_sums(values * mask)), weight, largest, confidence)
                for kind, (mask, weight) in masks.items()
            }
    return strand


def _by_session(therapies: Therapies, confidence: float) -> Strand:
    there = np.pad(therapies.held, ((0, 0), (1, 0)), constant_values=True)
    pairs = (therapies.initial_rs, therapies.rs), (therapies.initial_bond, therapies.bond)
    rs, bond = (_band(np.column_stack(pair), there) for pair in pairs)
    return _strand(therapies, lambda values: values * therapies.held, rs, bond, confidence)


def _by_time(therapies: Therapies, confidence: float) -> Strand:
    place = session_at(TIMES, therapies.length)

    def read(values: Array) -> Array:
        return np.take_along_axis(values, place, axis=1)

    there = np.ones_like(place, bool)
    rs, bond = (_band(read(values), there) for values in (therapies.rs, therapies.bond))
    return _strand(therapies, read, rs, bond, confidence)


# --- responses ------------------------------------------------------------------------------


def response_maps(therapies: Therapies) -> dict[str, ResponseMap]:
    """P(therapist act | client act) in each third, sessions of all therapies pooled."""
    part = thirds(therapies.held)
    maps = {}
    for number, phase in enumerate(PHASES):
        here = part == number
        pair = therapies.client_act[here] * N_OCTANTS + therapies.therapist_act[here]
        counts = np.bincount(pair, minlength=N_OCTANTS**2).reshape(N_OCTANTS, N_OCTANTS)
        shown = counts.sum(1)
        known = np.broadcast_to(shown[:, None] > 0, counts.shape)
        rows = map(_numbers, counts / np.maximum(shown, 1)[:, None], known)
        maps[phase] = ResponseMap(list(rows), shown.tolist())
    return maps


# --- all of it ------------------------------------------------------------------------------


def course_of(
    therapist: str, therapies: Therapies, intervals: Intervals, control: Therapies | None = None
) -> Course:
    """Everything about the course of these therapies; ``control``: those of the therapist's
    stationary control with the same clients."""
    chosen = therapies.by_outcome
    parts = {kind: therapies.where(chosen[kind]) for kind in OUTCOME_KINDS}

    def pairs(kind: str, acts: str) -> tuple[Answers, Answers] | None:
        """The clients whose therapy ended in this way with both."""
        if control is None:
            return None
        both = chosen[kind] & control.by_outcome[kind]
        return therapies.where(both).answers(acts), control.where(both).answers(acts)

    level = intervals.confidence
    return Course(
        therapist=therapist,
        window=WINDOW,
        episodes={kind: len(part.success) for kind, part in parts.items()},
        sessions=list(range(1, therapies.held.shape[1] + 1)),
        times=TIMES.tolist(),
        by_session={kind: _by_session(part, level) for kind, part in parts.items()},
        by_time={kind: _by_time(part, level) for kind, part in parts.items()},
        shapes=[
            shape
            for kind, part in parts.items()
            for acts in therapies.act_kinds
            for shape in shapes_of(kind, acts, part.answers(acts), intervals, pairs(kind, acts))
        ],
        response_maps=response_maps(therapies),
    )
