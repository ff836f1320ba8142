"""A sweep of therapists that need no training, or are given: each treats the same clients."""

import sys
import time
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int

from jaxtherapy.client.baselines import BASELINES, map_name
from jaxtherapy.client.octants import COMPLEMENT
from jaxtherapy.client.params import ClientParams, client_params
from jaxtherapy.config import expanded
from jaxtherapy.envs.planner import Planner
from jaxtherapy.evaluation.candidates import assemble
from jaxtherapy.evaluation.evaluation import evaluation_key
from jaxtherapy.evaluation.grid import (
    FILLS,
    SLOW,
    Batch,
    Candidate,
    Design,
    Programs,
    gather,
    in_turn,
    play_some,
)
from jaxtherapy.evaluation.map_search import (
    MAPS,
    STREAM,
    any_map,
    coordinate_searches,
    play_maps,
    search_score,
)
from jaxtherapy.evaluation.planned import NAME as PLANNER
from jaxtherapy.evaluation.planned import candidate_of
from jaxtherapy.evaluation.policies import find_all
from jaxtherapy.studies.measures import MEASURED, SUMS, measured, of_clients
from jaxtherapy.studies.settings import REFERENCE, TRAINED, Run, Sweep
from jaxtherapy.studies.table import Key, Row

SEARCHED = "fixed_map"

WORTH_A_PROGRAM = 1_000_000
"""Therapies from which on a baseline has a program of its own: a fifth to a quarter faster than
one for all of them, which compiles once."""

SEARCHED_AT_ONCE = 64
"""Runs whose maps are searched side by side."""

PLANNED_AT_ONCE = 4
"""Runs that the planner treats before they are written."""


@dataclass(frozen=True)
class Forecast:
    """What a short trial says of runs that share a program: seconds to compile it, seconds of
    each run, bytes where they are known."""

    compile_seconds: float
    seconds_per_run: float
    n_bytes: int | None


UnderWay = Callable[[float], None]
"""Is told how many runs, in parts of them too, are done beside those whose rows are known."""


def nobody_asks(runs: float) -> None:
    """An ``UnderWay`` that does nothing."""


def clients_of(run: Run) -> ClientParams:
    """Those of evaluations, as they are at a training's end."""
    return client_params(run.point.config.at_end().for_evaluation())


@dataclass
class _Block:
    """Runs of one seed, measured together, at their places among the programs' clients; ``maps``
    are those that were found for them."""

    programs: Programs
    runs: Sequence[Run]
    places: Int[np.ndarray, " runs"]
    maps: Int[np.ndarray, "runs 8"]
    search_seconds: float = 0.0

    def rows(self, everyone: Sequence[Candidate], n_clients: int) -> Iterator[list[Row]]:
        """Of these therapists, the reference first, with so many clients of each run, as runs are
        finished."""
        n, size = len(self.runs) * n_clients, min(map(self.programs.most_at_once, everyone))
        sums = np.zeros((len(everyone), len(self.runs), len(SUMS)))
        seconds = np.zeros(sums.shape[:2])
        key = evaluation_key(self.runs[0].seed)

        def start(first: int) -> tuple[Any, list[list[Future[Batch]]]]:
            run, client = np.divmod(np.arange(first, min(first + size, n)), n_clients)
            maps = [self.maps[run] if each.anew else None for each in everyone]
            begun = (
                self.programs.start(each, self.places[run], client, weights=own, key=key)
                for each, own in zip(everyone, maps, strict=True)
            )
            return run, [list(each) for each in begun]

        for run, futures in in_turn(map(start, range(0, n, size)), self.programs.n_workers):
            first = np.flatnonzero(np.diff(run, prepend=-1))  # of each run
            played = [gather(each) for each in futures]
            share = np.diff(first, append=len(run)) / len(run)
            for place, each in enumerate(played):
                told = of_clients(each.outcomes, played[0].outcomes.success)
                sums[place, run[first]] += np.add.reduceat(told, first)
                seconds[place, run[first]] += share * each.seconds
            rows = [
                self._row(i, p, who, sums[p, i], seconds[p, i])
                for i in run[first]
                if sums[0, i, 0] == n_clients  # all of them
                for p, who in enumerate(everyone)
            ]
            if rows:
                yield rows

    def _row(
        self, place: int, number: int, who: Candidate, sums: Float[np.ndarray, " k"], seconds: float
    ) -> Row:
        run = self.runs[place]
        row = {"point": run.point.number, "seed": run.seed, "therapist": who.info.id}
        row |= measured(sums, is_reference=number == 0)
        if who.anew:
            row["map"] = map_name(self.maps[place].tolist())
            row["search_seconds"] = round(self.search_seconds / len(self.runs), 4)
        return row | {"seconds": round(float(seconds), 4)}

    def search(self, who: Candidate, n_clients: int) -> None:
        """The best fixed map for each run, with clients that no evaluation meets."""
        started = time.perf_counter()
        key = jax.random.fold_in(jax.random.key(self.runs[0].seed), STREAM)

        def score(maps: Int[np.ndarray, "runs maps 8"]) -> Float[np.ndarray, "runs maps"]:
            clients = self.places, n_clients
            outcomes = play_maps(self.programs, who, maps, *clients, key=key)
            return search_score(outcomes).mean(-1)

        self.maps = coordinate_searches(score, self.maps, MAPS).astype(np.int8)
        self.search_seconds = time.perf_counter() - started


class Untrained:
    """Therapists that need no training, a :data:`~jaxtherapy.studies.runner.Kind`.

    Raises:
        RunError: a policy that can't be read, or a function that is no therapist.
    """

    columns = (*MEASURED, "map", "search_seconds", "seconds")

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep
        self._everyone = _therapists(sweep)
        if sweep.fit_map is not None:
            self._everyone.append(any_map())
        if sweep.planner is not None:
            self._everyone.append(_planner(sweep))  # the last

    @property
    def therapists(self) -> list[str]:
        """The reference is the first."""
        return [who.info.id for who in self._everyone]

    def program_of(self, run: Run) -> Hashable:
        """Mechanism, and which numbers are drawn from what."""
        return jax.tree.structure(clients_of(run))

    def measure(
        self, runs: Sequence[Run], done: Collection[Key], under_way: UnderWay = nobody_asks
    ) -> Iterator[list[Row]]:
        """Rows of the runs that are not done, some at a time."""
        left = [place for place, run in enumerate(runs) if run.key not in done]
        with self._programs(runs) as programs:
            for _, same_seed in groupby(left, lambda place: runs[place].seed):
                of_seed = list(same_seed)
                size = self._at_once or len(of_seed)
                for start in range(0, len(of_seed), size):
                    places = np.array(of_seed[start : start + size])
                    maps = np.tile(COMPLEMENT, (len(places), 1)).astype(np.int8)
                    block = _Block(programs, [runs[place] for place in places], places, maps)
                    yield from self._rows(block)

    def _rows(self, block: _Block) -> Iterator[list[Row]]:
        """All rows of some runs at a time."""
        sweep, everyone = self._sweep, self._everyone
        if sweep.fit_map is not None:
            block.search(next(who for who in everyone if who.anew), sweep.fit_map // MAPS)
        quick = [who for who in everyone if who.at_once is None]
        found = block.rows(quick, sweep.clients)
        if sweep.planner is None:
            yield from found
            return
        rows = [row for part in found for row in part]
        for part in block.rows([everyone[0], everyone[-1]], sweep.planner):
            rows += [row for row in part if row["therapist"] != REFERENCE]
        yield rows

    def forecast(self, runs: Sequence[Run]) -> Forecast:
        """Plays half a call of therapies, spread over the runs."""
        seconds = 0.0
        with self._programs(runs) as programs:
            programs.wait()
            for who in self._everyone:
                slow = who.at_once is not None
                size = SLOW if slow else max(1, programs.most_at_once(who) // 2)
                clients = self._sweep.planner if slow else self._sweep.clients
                assert clients is not None
                cell = np.linspace(0, len(runs) - 1, size).astype(int)
                weights = np.tile(COMPLEMENT, (size, 1)).astype(np.int8) if who.anew else None
                trial = play_some(programs, who, cell, np.arange(size), weights=weights)
                n_therapies = clients + ((self._sweep.fit_map or 0) if who.anew else 0)
                seconds += trial.seconds / size * n_therapies
            return Forecast(programs.compile_seconds, seconds / programs.n_workers, most_memory())

    @property
    def _at_once(self) -> int | None:
        """Runs in a block; None: all of a seed."""
        if self._sweep.planner is not None:
            return PLANNED_AT_ONCE
        return SEARCHED_AT_ONCE if self._sweep.fit_map is not None else None

    def _programs(self, runs: Sequence[Run]) -> Programs:
        cells = [clients_of(run) for run in runs]
        design = Design(cells, self._sweep.clients, jax.random.key(0), n_recorded=[])
        return Programs(design, self._everyone)


def most_memory() -> int | None:
    """Bytes that this process has had at most; None where the platform does not tell."""
    try:
        import resource
    except ImportError:  # only Unix has it
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


# --- who treats -----------------------------------------------------------------------------


def _therapists(sweep: Sweep) -> list[Candidate]:
    """Those that the sweep names, in their order, then given policies."""
    taken = {*BASELINES, *sweep.therapists, TRAINED, SEARCHED, PLANNER}
    files = find_all([Path(expanded(path)) for path in sweep.policies], sweep.weights, taken)
    baselines = [name for name in sweep.therapists if name in BASELINES]
    own = [name for name in sweep.therapists if name not in BASELINES]
    everyone = {each.info.id: each for each in assemble(files, baselines, own, None).candidates}
    named = [everyone.pop(name) for name in sweep.therapists]
    if len(named) == 1 or sweep.clients * len(sweep.runs) >= WORTH_A_PROGRAM:
        named = [each.by_itself for each in named]
    return [*named, *everyone.values()]


def _planner(sweep: Sweep) -> Candidate:
    planner = Planner(
        interval=sweep.planner_interval, simulations=sweep.planner_simulations, seed=0
    )
    return candidate_of(planner, FILLS * SLOW)
