"""A sweep of therapists that need no training, or are given: each treats the same clients."""

import sys
import time
from collections import deque
from collections.abc import Collection, Hashable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int, PyTree

from jaxtherapy.client.baselines import BASELINES, map_name
from jaxtherapy.client.octants import COMPLEMENT
from jaxtherapy.client.params import ClientParams, client_params
from jaxtherapy.client.therapists import Therapist, as_therapist, checked, taking_turns
from jaxtherapy.config import expanded
from jaxtherapy.envs.planner import Planner
from jaxtherapy.evaluation.candidates import assemble, load_therapist
from jaxtherapy.evaluation.evaluation import evaluation_key
from jaxtherapy.evaluation.grid import (
    FILLS,
    SLOW,
    Batch,
    Candidate,
    Design,
    Programs,
    gather,
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
from jaxtherapy.evaluation.results import TherapistInfo
from jaxtherapy.studies import measures
from jaxtherapy.studies.measures import MEASURED, Sums
from jaxtherapy.studies.runner import Forecast, UnderWay, nobody_asks
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


def clients_of(run: Run) -> ClientParams:
    """Those of evaluations, as they are at a training's end."""
    return client_params(run.point.config.at_end().for_evaluation())


class Untrained:
    """A :class:`~jaxtherapy.studies.runner.Kind`.

    Raises:
        RunError: a policy that can't be read, or a function that is no therapist.
    """

    columns = (*MEASURED, "map", "search_seconds", "seconds")

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep
        n_therapies = sweep.clients * len(sweep.runs)
        self._everyone = [*_baselines(sweep.therapists, n_therapies), *_policies(sweep)]
        if sweep.fit_map is not None:
            self._everyone.append(any_map())
        if sweep.planner is not None:
            self._everyone.append(_planner(sweep))

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
        left = [(place, run) for place, run in enumerate(runs) if run.key not in done]
        with self._programs(runs) as programs:
            for _, same_seed in groupby(left, lambda each: each[1].seed):
                of_seed = list(same_seed)
                size = self._at_once or len(of_seed)
                for start in range(0, len(of_seed), size):
                    part = of_seed[start : start + size]
                    yield from _Block(self._sweep, self._everyone, programs, part).rows()

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


class _Block:
    """Runs of one seed, measured together.

    Args:
        sweep: of them.
        everyone: the therapists, the reference first.
        programs: of the clients of all runs.
        runs: each with its place among those clients.
    """

    def __init__(
        self,
        sweep: Sweep,
        everyone: Sequence[Candidate],
        programs: Programs,
        runs: Sequence[tuple[int, Run]],
    ) -> None:
        self._sweep, self._everyone, self._programs = sweep, everyone, programs
        self._runs = [run for _, run in runs]
        self._places = np.array([place for place, _ in runs])
        self._maps = np.tile(COMPLEMENT, (len(runs), 1)).astype(np.int8)
        self._search_seconds = 0.0

    def rows(self) -> Iterator[list[Row]]:
        """All rows of some runs at a time."""
        if self._sweep.fit_map is not None:
            self._search(self._sweep.fit_map // MAPS)
        quick = [who for who in self._everyone if who.at_once is None]
        slow = [who for who in self._everyone if who.at_once is not None]
        found = self._measured(quick, self._sweep.clients)
        if not slow:
            yield from found
            return
        assert self._sweep.planner is not None
        rows = [row for part in found for row in part]
        for part in self._measured([self._everyone[0], *slow], self._sweep.planner):
            rows += [row for row in part if row["therapist"] != REFERENCE]
        yield rows

    def _measured(self, everyone: Sequence[Candidate], n_clients: int) -> Iterator[list[Row]]:
        """Rows of these therapists with so many clients of each run, as runs are finished."""
        n, size = len(self._runs) * n_clients, min(map(self._programs.most_at_once, everyone))
        sums = np.zeros((len(everyone), len(self._runs), len(Sums._fields)))
        seconds = np.zeros(sums.shape[:2])
        key = evaluation_key(self._runs[0].seed)
        starts, begun = deque(range(0, n, size)), deque[tuple[Any, list[list[Future[Batch]]]]]()
        while starts or begun:
            while starts and len(begun) <= self._programs.n_workers:
                start = starts.popleft()
                run, client = np.divmod(np.arange(start, min(start + size, n)), n_clients)
                futures = [
                    list(
                        self._programs.start(
                            who,
                            self._places[run],
                            client,
                            weights=self._maps[run] if who.anew else None,
                            keys=(key, key),
                        )
                    )
                    for who in everyone
                ]
                begun.append((run, futures))
            run, futures = begun.popleft()
            first = np.flatnonzero(np.diff(run, prepend=-1))  # of each run
            every = [gather(each) for each in futures]
            for place, played in enumerate(every):
                reference = every[0].outcomes.success
                each = np.stack(measures.of_clients(played.outcomes, reference), -1)
                sums[place, run[first]] += np.add.reduceat(each, first)
                share = np.diff(first, append=len(run)) / len(run)
                seconds[place, run[first]] += share * played.seconds
            whole = [i for i in run[first] if sums[0, i, 0] == n_clients]
            rows = [
                self._row(i, p, who, sums[p, i], seconds[p, i])
                for i in whole
                for p, who in enumerate(everyone)
            ]
            if rows:
                yield rows

    def _row(
        self, place: int, number: int, who: Candidate, sums: Float[np.ndarray, " k"], seconds: float
    ) -> Row:
        run = self._runs[place]
        row = {"point": run.point.number, "seed": run.seed, "therapist": who.info.id}
        row |= measures.measured(Sums(*sums), is_reference=number == 0)
        if who.anew:
            row["map"] = map_name(self._maps[place].tolist())
            row["search_seconds"] = round(self._search_seconds / len(self._runs), 4)
        return row | {"seconds": round(float(seconds), 4)}

    def _search(self, n_clients: int) -> None:
        """The best fixed map for each run, with clients that no evaluation meets."""
        started = time.perf_counter()
        key = jax.random.fold_in(jax.random.key(self._runs[0].seed), STREAM)
        who = next(who for who in self._everyone if who.anew)

        def score(maps: Int[np.ndarray, "runs maps 8"]) -> Float[np.ndarray, "runs maps"]:
            outcomes = play_maps(
                self._programs, who, maps, self._places, n_clients, keys=(key, key)
            )
            return search_score(outcomes).mean(-1)

        self._maps = coordinate_searches(score, self._maps, MAPS).astype(np.int8)
        self._search_seconds = time.perf_counter() - started


# --- who treats -----------------------------------------------------------------------------


def _baselines(names: Sequence[str], n_therapies: int) -> Iterator[Candidate]:
    """Baselines and users' own; ``n_therapies``: that each will hold."""
    therapists = [
        as_therapist(BASELINES[name]) if name in BASELINES else checked(load_therapist(name))
        for name in names
    ]

    def alone(each: Therapist, weights: PyTree) -> Therapist:
        return each

    together = partial(taking_turns, therapists)
    for number, (name, each) in enumerate(zip(names, therapists, strict=True)):
        has_own = n_therapies >= WORTH_A_PROGRAM or len(names) == 1
        family, weights = (partial(alone, each), ()) if has_own else (together, np.int32(number))
        info = TherapistInfo.alone(name)
        yield Candidate(info, family, weights, trusted=name in BASELINES)


def _policies(sweep: Sweep) -> Sequence[Candidate]:
    paths = [Path(expanded(path)) for path in sweep.policies]
    taken = {*BASELINES, TRAINED, SEARCHED, PLANNER}
    files = find_all(paths, sweep.weights, taken) if paths else []
    return assemble(files, [], [], None).candidates


def _planner(sweep: Sweep) -> Candidate:
    planner = Planner(
        interval=sweep.planner_interval, simulations=sweep.planner_simulations, seed=0
    )
    return candidate_of(planner, FILLS * SLOW)
