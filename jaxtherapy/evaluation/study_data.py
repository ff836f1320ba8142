"""Therapies as tables for a researcher's own tools: a row per session, and a row per therapy.

The therapies of an evaluation are played once more, with everything recorded, a chunk at a time:
the same key means the same therapies, and memory does not grow with their number.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from jaxtherapy.client.client import probabilities
from jaxtherapy.client.dyad import Dyad, is_over
from jaxtherapy.client.mechanisms import MECHANISMS
from jaxtherapy.client.octants import COMPLEMENT, N_OCTANTS, OCTANTS
from jaxtherapy.client.params import ClientParams
from jaxtherapy.client.patterns import PATTERNS
from jaxtherapy.client.simulation import Course, Meeting, begin, session
from jaxtherapy.config.settings import ClientNumbers
from jaxtherapy.envs.rewards import reward
from jaxtherapy.evaluation.candidates import Panel
from jaxtherapy.evaluation.grid import Design
from jaxtherapy.evaluation.stream import Cell, Family
from jaxtherapy.storage.tables import Column, TableWriter, write_codebook, write_spss

SESSIONS, THERAPIES = "sessions", "therapies"
FILES = (
    *(f"{name}.{kind}" for name in (SESSIONS, THERAPIES) for kind in ("csv", "parquet")),
    f"{THERAPIES}.sav",
)
"""Beside the codebook."""

ABOUT = (
    "Every therapist treats the same clients. Octants are D WD W WS S CS C CD, clockwise on the "
    "interpersonal circle; angles go counter-clockwise from W. RS and bond in a row of sessions "
    "are those after it. A missing value is empty."
)

MOST_ROWS = 50_000
"""Sessions in a chunk: a few ten megabytes while they are written."""

OUTCOMES = ("success", "dropout", "out of sessions", "unfinished")
SHARE = "share of the client's range"
NO_YES = {0: "no", 1: "yes"}
ANGLES = (90 - 45 * np.arange(N_OCTANTS)) % 360
"""Degrees counter-clockwise from W (warmth); D (dominance) is at 90."""


class Played(NamedTuple):
    """Therapies from intake on: the dyads ``first`` and at ``last``, their ``course`` session by
    session (RS in units of utility), the ``probability`` of each act of the client's before it
    acted, the ``reward`` at the end, and whether the therapy is ``over``."""

    first: Dyad
    last: Dyad
    course: Course
    probability: Float[Array, "sessions n 8"]
    reward: Float[Array, " n"]
    over: Array

    def in_numpy(self, n: int) -> "Played":
        """The first ``n`` therapies as NumPy arrays."""
        cut = jax.tree.map(lambda leaf: np.asarray(leaf[:n]), self)
        by_session = jax.tree.map(
            lambda leaf: np.asarray(leaf[:, :n]), (self.course, self.probability)
        )
        return cut._replace(course=by_session[0], probability=by_session[1])


@partial(jax.jit, static_argnums=(0, 1))
def play_in_full(
    family: Family,
    n_sessions: int,
    key: PRNGKeyArray,
    params: ClientParams,
    clients: Int[Array, " n"],
    weights: PyTree,
) -> Played:
    """Plays at most ``n_sessions`` with these clients of the key, as evaluations play them."""
    therapist = family(weights)

    def hold(time: Array, number: Array, before: Meeting) -> tuple[Meeting, tuple[Course, Array]]:
        before_act = probabilities(before.dyad.client, params.numbers_of(before.dyad))
        after, now = session(key, time, number, before, therapist, params)
        return after, (now, before_act)

    def advance(before: Meeting, time: Array) -> tuple[Meeting, tuple[Course, Array]]:
        return jax.vmap(partial(hold, time))(clients, before)

    first = jax.vmap(lambda number: begin(key, number, therapist, params))(clients)
    last, (course, probability) = jax.lax.scan(advance, first, jnp.arange(1, n_sessions + 1))
    paid = jax.vmap(lambda dyad: reward(dyad, params))(last.dyad)
    over = jax.vmap(lambda dyad: is_over(dyad, params))(last.dyad)
    return Played(first.dyad, last.dyad, course, probability, paid, over)


class Chunk(NamedTuple):
    """Therapies of one therapist with some ``clients`` of one cell, as NumPy arrays;
    ``therapist`` and ``cell`` are places, and ``number`` that of the first of these therapies
    among all."""

    number: int
    therapist: int
    cell: int
    params: ClientParams
    clients: np.ndarray
    played: Played

    @property
    def therapy(self) -> np.ndarray:
        """Numbers of the therapies, from 1."""
        return self.number + np.arange(len(self.clients))

    @property
    def outcome(self) -> np.ndarray:
        """Places in ``OUTCOMES``."""
        last = self.played.last
        return np.select([last.success, last.dropped_out, self.played.over], range(3), 3)

    def all(self, value: Any) -> np.ndarray:
        """The same for every therapy."""
        return np.full(len(self.clients), value)

    def share_of_range(self, rs: Any) -> np.ndarray:
        """RS as a share of each client's range; therapies are the last axis."""
        low, high = self.played.first.client.u_low, self.played.first.client.u_high
        return np.asarray((rs - low) / np.where(high > low, high - low, 1))

    def share_of_sessions(self, happened: Any) -> np.ndarray:
        """In how many of each therapy's sessions something happened."""
        held = self.played.course.held
        return np.asarray((happened & held).sum(0) / np.maximum(held.sum(0), 1), np.float32)

    @property
    def complementary(self) -> np.ndarray:
        """Whether each answer, as enacted, is the complement of the client's act."""
        course = self.played.course
        return np.asarray(COMPLEMENT[course.client_act] == course.therapist_act)

    @property
    def misheard(self) -> np.ndarray:
        """Whether the client heard another answer than the enacted one."""
        return np.asarray(self.played.course.heard_act != self.played.course.therapist_act)

    @property
    def sessions(self) -> "Sessions":
        """All sessions that were held, therapy by therapy."""
        return Sessions(self, *np.nonzero(self.played.course.held.T))


class Sessions(NamedTuple):
    """Sessions by the places of therapy and session in a chunk."""

    chunk: Chunk
    therapy: np.ndarray
    time: np.ndarray

    def of(self, values: np.ndarray) -> np.ndarray:
        """From one value per session and therapy."""
        return np.asarray(values[self.time, self.therapy])


def chunks(
    design: Design, panel: Panel, advance: Callable[[int], None] = lambda therapies: None
) -> Iterator[Chunk]:
    """All therapies of an evaluation, therapist by therapist and cell by cell."""
    n, size = design.n_clients, min(design.n_clients, max(1, MOST_ROWS // design.n_sessions))
    number = 1
    for therapist, candidate in enumerate(panel.candidates):
        for cell, given in enumerate(design.cells):
            params = Cell(**vars(given))
            for start in range(0, n, size):
                clients = np.arange(start, min(start + size, n))
                padded = np.pad(clients, (0, size - len(clients)), "edge")
                who = candidate.family, design.n_sessions, design.key, params, padded
                played = play_in_full(*who, candidate.weights).in_numpy(len(clients))
                yield Chunk(number, therapist, cell, params, clients, played)
                number += len(clients)
                advance(len(clients))


# --- columns --------------------------------------------------------------------------------


def _in_words(name: str, meaning: str, words: Iterable[str], read: Any) -> Column:
    """A column of names, read as places among them."""
    return Column(name, meaning, read, values=dict(enumerate(words)), in_words=True)


def _flag(name: str, meaning: str, read: Callable[[Any], np.ndarray]) -> Column:
    return Column(name, meaning, lambda part: read(part).astype(np.int8), values=NO_YES)


def _keys(therapists: Sequence[str], cells: Sequence[str]) -> list[Column]:
    """What tells a therapy from others; of a chunk."""
    keys = [
        Column("therapy", "number of the therapy, the same in both tables", lambda c: c.therapy),
        _in_words("therapist", "who treats the client", therapists, lambda c: c.all(c.therapist)),
        _in_words("cell", "kind of client", cells, lambda c: c.all(c.cell)),
        Column(
            "client",
            "number of the client; with every therapist the same number is the same client",
            lambda c: c.clients,
        ),
    ]
    return [each for each in keys if each.name != "cell" or len(cells) > 1]


def session_columns(therapists: Sequence[str], cells: Sequence[str]) -> list[Column]:
    """The columns of the table of sessions."""

    def of_therapy(key: Column) -> Column:
        return dataclasses.replace(key, read=lambda s: key.read(s.chunk)[s.therapy])

    def acts(who: str, meaning: str) -> list[Column]:
        def read(s: Sessions) -> np.ndarray:
            return s.of(getattr(s.chunk.played.course, f"{who}_act")).astype(np.int16)

        unit = "degrees, 0: W, 90: D, 180: C, 270: S"
        return [
            _in_words(f"{who}_octant", f"octant of {meaning}", OCTANTS, read),
            Column(f"{who}_angle", f"angle of {meaning}", lambda s: ANGLES[read(s)], unit),
        ]

    def probability(act: int) -> Column:
        return Column(
            f"p_{OCTANTS[act]}",
            f"probability with which the client would act {OCTANTS[act]}, before it acts",
            lambda s: s.of(s.chunk.played.probability[..., act]).round(6),
        )

    return [
        *map(of_therapy, _keys(therapists, cells)),
        Column("session", "number of the session in its therapy, from 1", lambda s: s.time + 1),
        *acts("client", "the client's act"),
        *acts("therapist", "the therapist's answer, as enacted"),
        *acts("heard", "the therapist's answer, as the client hears it"),
        _flag(
            "complementary",
            "whether the answer, as enacted, is the complement of the client's act",
            lambda s: s.of(s.chunk.complementary),
        ),
        Column(
            "rs",
            "relationship satisfaction after the session",
            lambda s: s.of(s.chunk.share_of_range(s.chunk.played.course.rs)),
            SHARE,
        ),
        Column("bond", "bond after the session", lambda s: s.of(s.chunk.played.course.bond), "0–1"),
        *map(probability, range(N_OCTANTS)),
    ]


def therapy_columns(therapists: Sequence[str], cells: Sequence[str]) -> list[Column]:
    """The columns of the table of therapies."""

    def number_of_client(field: dataclasses.Field) -> Column:  # type: ignore[type-arg]
        about, name = field.metadata["setting"], field.name

        def read(c: Chunk) -> np.ndarray:
            value = c.played.first.drawn.get(name, getattr(c.params, name))
            return np.broadcast_to(np.asarray(value), c.clients.shape)

        if field.type is bool:
            return _flag(name, about.help, read)
        paid = "reward " if about.group == "Rewards" else ""
        return Column(name, paid + about.help, read, about.unit)

    def rs(c: Chunk, dyad: Dyad) -> np.ndarray:
        return c.share_of_range(dyad.client.rs)

    told = "relationship satisfaction"
    return [
        *_keys(therapists, cells),
        _in_words("outcome", "how the therapy ended", OUTCOMES, lambda c: c.outcome),
        _flag("success", "whether RS reached the threshold", lambda c: c.played.last.success),
        _flag(
            "dropout",
            "whether the client left, worse off than at intake",
            lambda c: c.played.last.dropped_out,
        ),
        Column("sessions", "sessions held", lambda c: c.played.last.time, "sessions"),
        Column("reward", "what the outcome pays the therapist", lambda c: c.played.reward),
        Column("initial_rs", f"{told} at intake", lambda c: rs(c, c.played.first), SHARE),
        Column("final_rs", f"{told} at the end", lambda c: rs(c, c.played.last), SHARE),
        Column("initial_bond", "bond at intake", lambda c: c.played.first.client.bond, "0–1"),
        Column("final_bond", "bond at the end", lambda c: c.played.last.client.bond, "0–1"),
        *_shares_of_sessions(),
        _in_words("pattern", "history of the client", PATTERNS, lambda c: c.played.first.pattern),
        _in_words(
            "mechanism",
            "how memory shapes expectations",
            MECHANISMS,
            lambda c: c.all(list(MECHANISMS).index(c.params.mechanism)),
        ),
        _flag(
            "exact_anticomplement",
            "whether stuck patterns answer with the anticomplement itself",
            lambda c: c.all(np.asarray(c.params.exact_anticomplement)),
        ),
        *map(number_of_client, dataclasses.fields(ClientNumbers)),
        *_utility_columns(),
    ]


def _shares_of_sessions() -> list[Column]:
    def one_act(c: Chunk) -> np.ndarray:
        acts = c.played.course.client_act
        return np.max([c.share_of_sessions(acts == act) for act in range(N_OCTANTS)], axis=0)

    def complementary(c: Chunk) -> np.ndarray:
        return c.share_of_sessions(c.complementary)

    def misheard(c: Chunk) -> np.ndarray:
        return c.share_of_sessions(c.misheard)

    unit = "share of sessions"
    return [
        Column("share_complementary", "answers that are complementary", complementary, unit),
        Column("share_misheard", "answers that the client hears otherwise", misheard, unit),
        Column("share_one_act", "the client's most frequent act", one_act, unit),
    ]


def _utility_columns() -> list[Column]:
    """What the client's 8 by 8 utilities are like."""

    def summary(name: str, meaning: str, over: Callable[[Any], Any], of_range: bool) -> Column:
        def read(c: Chunk) -> np.ndarray:
            u = np.asarray(c.played.first.client.u)
            return np.asarray(over(c.share_of_range(u.T).T if of_range else u))

        return Column(name, meaning, read, SHARE if of_range else "utility")

    def gain(u: Any) -> Any:
        return (u.max(2) - u[:, np.arange(N_OCTANTS), COMPLEMENT]).mean(1)

    told = "best answer minus complementary answer, mean over the client's acts"
    return [
        summary("utility_low", "lowest utility", lambda u: u.min((1, 2)), False),
        summary("utility_high", "highest utility", lambda u: u.max((1, 2)), False),
        summary("utility_mean", "mean utility", lambda u: u.mean((1, 2)), True),
        summary("utility_spread", "standard deviation of utilities", lambda u: u.std((1, 2)), True),
        summary("gain_of_best", told, gain, True),
    ]


# --- files ----------------------------------------------------------------------------------


def write_study_data(
    folder: Path,
    played: Iterable[Chunk],
    therapists: Sequence[str],
    cells: Sequence[str],
    about: Sequence[str],
) -> list[Path]:
    """Writes ``FILES`` and the codebook; earlier ones are replaced.

    Args:
        folder: is there.
        played: chunk by chunk.
        therapists, cells: by place.
        about: paragraphs on where the data are from.
    """
    of_sessions = session_columns(therapists, cells)
    of_therapies = therapy_columns(therapists, cells)
    tables = {f"{SESSIONS}: a row per session": of_sessions}
    tables |= {f"{THERAPIES}: a row per therapy": of_therapies}
    with (
        TableWriter(folder, SESSIONS, of_sessions) as sessions,
        TableWriter(folder, THERAPIES, of_therapies) as therapies,
    ):
        for chunk in played:
            sessions.write(chunk.sessions)
            therapies.write(chunk)
        # It vouches for the others, which have their names from here on.
        codebook = write_codebook(folder, about, tables)
    spss = folder / f"{THERAPIES}.sav"
    if not write_spss(therapies.paths[1], of_therapies, spss):
        spss.unlink(missing_ok=True)  # it would be of other therapies
    written = *sessions.paths, *therapies.paths, spss, codebook
    return [path for path in written if path.exists()]
