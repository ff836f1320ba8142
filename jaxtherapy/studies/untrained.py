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
from jaxtherapy.evaluation.map_search import (
    MAPS,
    STREAM,
    coordinate_searches,
    family_of_maps,
    search_score,
)
from jaxtherapy.evaluation.policies import find_all
from jaxtherapy.studies import measures
from jaxtherapy.studies.measures import MEASURED, Sums
from jaxtherapy.studies.runner import Forecast, UnderWay, nobody_asks
from jaxtherapy.studies.settings import REFERENCE, TRAINED, Run, Sweep
from jaxtherapy.studies.table import Key, Row
from jaxtherapy.studies.therapies import SLOW, Crowd, Played, Treating

SEARCHED, PLANNER = "fixed_map", "planner"

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
            self._everyone.append(Treating(SEARCHED, family_of_maps, COMPLEMENT, anew=True))
        if sweep.planner is not None:
            self._everyone.append(_planner(sweep))

    @property
    def therapists(self) -> list[str]:
        """The reference is the first."""
        return [who.name for who in self._everyone]

    def program_of(self, run: Run) -> Hashable:
        """Mechanism, and which numbers are drawn from what."""
        return jax.tree.structure(clients_of(run))

    def measure(
        self, runs: Sequence[Run], done: Collection[Key], under_way: UnderWay = nobody_asks
    ) -> Iterator[list[Row]]:
        """Rows of the runs that are not done, some at a time."""
        left = [(place, run) for place, run in enumerate(runs) if run.key not in done]
        with self._crowd(runs) as crowd:
            for _, same_seed in groupby(left, lambda each: each[1].seed):
                of_seed = list(same_seed)
                size = self._at_once or len(of_seed)
                for start in range(0, len(of_seed), size):
                    block = _Block(
                        self._sweep, self._everyone, crowd, of_seed[start : start + size]
                    )
                    yield from block.rows()

    def forecast(self, runs: Sequence[Run]) -> Forecast:
        """Plays half a queue of therapies, spread over the runs."""
        seconds = 0.0
        with self._crowd(runs) as crowd:
            for who in self._everyone:
                size = SLOW if who.slow else crowd.queue_size() // 2
                clients = self._sweep.planner if who.slow else self._sweep.clients
                assert clients is not None
                kind = np.linspace(0, len(runs) - 1, size).astype(int)
                weights = np.tile(COMPLEMENT, (size, 1)).astype(np.int8) if who.anew else None
                crowd.prepare(who).result()
                trial = crowd.start(who, jax.random.key(0), kind, np.arange(size), weights).result()
                n_therapies = clients + ((self._sweep.fit_map or 0) if who.anew else 0)
                seconds += trial.seconds / size * n_therapies
            return Forecast(crowd.compile_seconds, seconds / crowd.n_workers, most_memory())

    @property
    def _at_once(self) -> int | None:
        """Runs in a block; None: all of a seed."""
        if self._sweep.planner is not None:
            return PLANNED_AT_ONCE
        return SEARCHED_AT_ONCE if self._sweep.fit_map is not None else None

    def _crowd(self, runs: Sequence[Run]) -> Crowd:
        n_therapies = len(runs) * self._sweep.clients
        return Crowd([clients_of(run) for run in runs], n_therapies)


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
        crowd: of the clients of all runs.
        runs: each with its place among the kinds of clients of the crowd.
    """

    def __init__(
        self,
        sweep: Sweep,
        everyone: Sequence[Treating],
        crowd: Crowd,
        runs: Sequence[tuple[int, Run]],
    ) -> None:
        self._sweep, self._everyone, self._crowd = sweep, everyone, crowd
        self._runs = [run for _, run in runs]
        self._places = np.array([place for place, _ in runs])
        self._maps = np.tile(COMPLEMENT, (len(runs), 1)).astype(np.int8)
        self._search_seconds = 0.0

    def rows(self) -> Iterator[list[Row]]:
        """All rows of some runs at a time."""
        if self._sweep.fit_map is not None:
            self._search(self._sweep.fit_map // MAPS)
        quick = [who for who in self._everyone if not who.slow]
        slow = [who for who in self._everyone if who.slow]
        found = self._measured(quick, self._sweep.clients)
        if not slow:
            yield from found
            return
        assert self._sweep.planner is not None
        rows = [row for part in found for row in part]
        for part in self._measured([self._everyone[0], *slow], self._sweep.planner):
            rows += [row for row in part if row["therapist"] != REFERENCE]
        yield rows

    def _measured(self, everyone: Sequence[Treating], n_clients: int) -> Iterator[list[Row]]:
        """Rows of these therapists with so many clients of each run, as runs are finished."""
        n, size = len(self._runs) * n_clients, min(self._crowd.queue_size(w.slow) for w in everyone)
        sums = np.zeros((len(everyone), len(self._runs), len(Sums._fields)))
        seconds = np.zeros(sums.shape[:2])
        key = evaluation_key(self._runs[0].seed)
        starts, begun = deque(range(0, n, size)), deque[tuple[Any, list[Future[Played]]]]()
        while starts or begun:
            while starts and len(begun) <= self._crowd.n_workers:
                start = starts.popleft()
                run, client = np.divmod(np.arange(start, min(start + size, n)), n_clients)
                futures = [
                    self._crowd.start(
                        who, key, self._places[run], client, self._maps[run] if who.anew else None
                    )
                    for who in everyone
                ]
                begun.append((run, futures))
            run, futures = begun.popleft()
            first = np.flatnonzero(np.diff(run, prepend=-1))  # of each run
            reference = futures[0].result().outcomes.success
            for place, future in enumerate(futures):
                played = future.result()
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
        self, place: int, number: int, who: Treating, sums: Float[np.ndarray, " k"], seconds: float
    ) -> Row:
        run = self._runs[place]
        row = {"point": run.point.number, "seed": run.seed, "therapist": who.name}
        row |= measures.measured(Sums(*sums), is_reference=number == 0)
        if who.anew:
            row["map"] = map_name(self._maps[place].tolist())
            row["search_seconds"] = round(self._search_seconds / len(self._runs), 4)
        return row | {"seconds": round(float(seconds), 4)}

    def _search(self, n_clients: int) -> None:
        """The best fixed map for each run, with clients that no evaluation meets."""
        started = time.perf_counter()
        who = next(who for who in self._everyone if who.anew)
        key = jax.random.fold_in(jax.random.key(self._runs[0].seed), STREAM)

        def score(maps: Int[np.ndarray, "runs maps 8"]) -> Float[np.ndarray, "runs maps"]:
            maps, shape = maps.astype(np.int8), maps.shape[:2]
            pair, client = np.divmod(np.arange(shape[0] * shape[1] * n_clients), n_clients)
            run, number = np.divmod(pair, shape[1])
            size = self._crowd.queue_size()
            parts = [slice(start, start + size) for start in range(0, len(pair), size)]
            futures = [
                self._crowd.start(
                    who, key, self._places[run[p]], client[p], maps[run[p], number[p]]
                )
                for p in parts
            ]
            values = np.concatenate([search_score(future.result().outcomes) for future in futures])
            return values.reshape(*shape, n_clients).mean(-1)

        self._maps = coordinate_searches(score, self._maps, MAPS).astype(np.int8)
        self._search_seconds = time.perf_counter() - started


# --- who treats -----------------------------------------------------------------------------


def _baselines(names: Sequence[str], n_therapies: int) -> Iterator[Treating]:
    """Baselines and users' own; ``n_therapies``: that each will hold."""
    therapists, trusted = [], []
    for name in names:
        own = name not in BASELINES
        each = checked(load_therapist(name)) if own else as_therapist(BASELINES[name])
        therapists.append(each)
        trusted.append(not own)

    def alone(each: Therapist, weights: PyTree) -> Therapist:
        return each

    together = partial(taking_turns, therapists)
    for number, (name, each) in enumerate(zip(names, therapists, strict=True)):
        if n_therapies >= WORTH_A_PROGRAM or len(names) == 1:
            yield Treating(name, partial(alone, each), (), trusted=trusted[number])
        else:
            yield Treating(name, together, np.int32(number), trusted=trusted[number])


def _policies(sweep: Sweep) -> Iterator[Treating]:
    paths = [Path(expanded(path)) for path in sweep.policies]
    taken = {*BASELINES, TRAINED, SEARCHED, PLANNER}
    files = find_all(paths, sweep.weights, taken) if paths else []
    for each in assemble(files, [], [], None).candidates:
        yield Treating(each.info.id, each.family, each.weights)


def _planner(sweep: Sweep) -> Treating:
    planner = Planner(
        interval=sweep.planner_interval, simulations=sweep.planner_simulations, seed=0
    )
    therapist = as_therapist(planner.therapist())
    return Treating(PLANNER, lambda weights: therapist, slow=True)
