"""How a row is measured."""

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

import jaxtherapy as jt
from jaxtherapy.client.baselines import map_name
from jaxtherapy.client.therapists import Therapist, as_therapist
from jaxtherapy.config.settings import PPO
from jaxtherapy.devices.programs import StoppedWhileCompiling
from jaxtherapy.evaluation.evaluation import evaluation_key
from jaxtherapy.evaluation.grid import Candidate, Design, Programs, play_some
from jaxtherapy.evaluation.map_search import family_of_maps
from jaxtherapy.evaluation.outcomes import Outcomes
from jaxtherapy.evaluation.results import TherapistInfo
from jaxtherapy.evaluation.stream import Family
from jaxtherapy.ppo.evaluation import policy_therapist
from jaxtherapy.storage import run_info
from results.rows import (
    CHUNK,
    SEED,
    Baseline,
    Planned,
    Row,
    SearchedMap,
    Trained,
    definition_of,
    digest,
)
from results.store import Record, packed

RUNS = Path(__file__).parent / "runs"
SECONDS = "seconds_of_results.txt"
PLANNED_AT_ONCE = 4
SHOWN_SHAPES = ("all", "success")


@dataclasses.dataclass(frozen=True)
class Made:
    """A therapist: of a family, by weights; the seconds of its training; what is told of it."""

    family: Family
    weights: PyTree = ()
    training_seconds: float | None = None
    about: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def therapist(self) -> Therapist:
        """By itself."""
        return self.family(self.weights)


def make(row: Row) -> Made:
    """The therapist of a row; searches or trains where it takes that.

    Raises:
        KeyboardInterrupt: the training was interrupted; it goes on from there the next time.
    """
    source = row.source
    if isinstance(source, Trained):
        return train(source)
    if isinstance(source, SearchedMap):
        found = jt.fit_map([jt.client_params(row.client_settings())], source.budget, SEED)
        about = {"map": map_name(found.answers), "success_in_search": found.success}
        return Made(family_of_maps, np.array(found.answers, np.int8), None, about)
    if isinstance(source, Planned):
        planner = jt.Planner(interval=source.interval, simulations=source.simulations, seed=SEED)
        therapist = as_therapist(planner.therapist())
    else:
        assert isinstance(source, Baseline)
        therapist = as_therapist(jt.BASELINES[source.name])
    return Made(lambda weights: therapist)


def train(source: Trained) -> Made:
    """Trains, or takes what the same training left; the best weights are the therapist."""
    folder = RUNS / f"{source.file.stem}-{digest(definition_of(source))}"
    name, place = folder.name, str(folder)
    config = dataclasses.replace(
        source.settings(), resume="auto", experiment_name=name, output_dir=place, log_dir=place
    )
    spent = folder / SECONDS
    before = float(spent.read_text()) if spent.exists() else 0.0
    counted = run_info.read(folder / "run.json").get("status") == "finished"
    started = time.perf_counter()
    try:
        result = jt.Trainer(config).run()
    except StoppedWhileCompiling:
        raise KeyboardInterrupt from None
    if not counted:
        before = round(before + time.perf_counter() - started, 1)
        spent.write_text(str(before))
    if result.status != "finished":
        raise KeyboardInterrupt
    ppo = PPO.of(config)
    return Made(lambda weights: policy_therapist(ppo, weights), result.weights("best"), before)


def play(row: Row, made: Made, first: int) -> Iterator[Outcomes]:
    """How therapies ended, client by client, from a first one on, chunk by chunk."""
    slow = isinstance(row.source, Planned)
    chunk = CHUNK if slow else row.therapies
    clients = jt.client_params(row.client_settings())
    design = Design([clients], row.therapies, evaluation_key(SEED), [0])
    at_once = PLANNED_AT_ONCE if slow else None
    candidate = Candidate(TherapistInfo.alone(row.id), made.family, made.weights, at_once=at_once)
    with Programs(design, [candidate]) as programs:
        for start in range(first, row.therapies, chunk):
            numbers = np.arange(start, min(start + chunk, row.therapies))
            yield play_some(programs, candidate, np.zeros_like(numbers), numbers).outcomes


def with_outcomes(record: Record, outcomes: Outcomes) -> Record:
    """The record with further therapies."""
    success = np.concatenate([record.successes, outcomes.success])
    added = {
        "dropouts": outcomes.dropout,
        "sessions": outcomes.sessions,
        "sessions_of_successes": outcomes.sessions * outcomes.success,
        "reward": outcomes.reward,
    }
    totals = {
        name: round(record.totals.get(name, 0) + float(np.sum(values, dtype=float)), 3)
        for name, values in added.items()
    }
    return dataclasses.replace(
        record, therapies=len(success), success=packed(success), totals=totals
    )


def course(row: Row, made: Made) -> dict[str, Any]:
    """Response maps by phase, and the tests of the shape of therapy against the control."""
    clients = jt.client_params(row.client_settings())
    told = jt.compare_therapists(
        {"it": made.therapist}, clients, row.therapies, SEED, course_episodes=row.therapies
    )
    (found,) = told.courses
    shapes = [
        each
        for each in found.shapes
        if (each.acts, each.measure) == ("enacted", "complementarity")
        and each.outcome in SHOWN_SHAPES
    ]
    return {
        "shapes": [_rounded(dataclasses.asdict(each)) for each in shapes],
        "response_maps": {
            phase: _rounded(dataclasses.asdict(each)) for phase, each in found.response_maps.items()
        },
    }


def _rounded(value: Any) -> Any:
    """Of JSON, at four significant digits."""
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def measure(row: Row, begun: Record | None) -> Iterator[Record]:
    """The row's record, as often as there is more to it; goes on with one that was begun."""
    clock = time.perf_counter()
    record = begun or Record(row.definition())
    made = make(row)
    commit, device = run_info.source_commit(), jax.devices()[0].device_kind
    record = dataclasses.replace(record, training_seconds=made.training_seconds, about=made.about)
    if row.course:
        about = {**record.about, **course(row, made)}
        steps = iter([dataclasses.replace(record, therapies=row.therapies, about=about)])
    else:
        steps = _outcomes(row, made, record)
    seconds = record.seconds
    for each in steps:
        now = time.perf_counter()
        seconds, clock = seconds + now - clock, now
        yield dataclasses.replace(
            each,
            seconds=round(seconds, 1),
            measured=run_info.now(),
            commit=commit,
            device=device,
        )


def _outcomes(row: Row, made: Made, record: Record) -> Iterator[Record]:
    for outcomes in play(row, made, record.therapies):
        record = with_outcomes(record, outcomes)
        yield record
