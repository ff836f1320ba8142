"""What is measured: every row of docs/results.md as data.

A row is one therapist with clients of one kind. To add one, add a line to a list below; a row whose
definition changes is measured anew.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import Any

import jaxtherapy
from jaxtherapy.config import TrainingConfig, config_as_dict, load_config
from jaxtherapy.config.settings import MECHANISMS, PATTERNS

ROOT = Path(__file__).parent.parent
SEED = 0
"""Of the evaluations: therapists of all rows meet the same clients."""

REVISION = 1
"""Raised when code changes what rows come to: all of them are measured anew."""

THERAPIES, IN_EACH_CELL = 10_000, 400
SEARCH = 1_000_000
CHUNK = 40
"""Therapies of a planner between two writes."""

Changes = Mapping[str, Any]


@dataclass(frozen=True)
class Baseline:
    """One by its name."""

    name: str


@dataclass(frozen=True)
class SearchedMap:
    """The best fixed map for other clients of the same kind; therapies of the search at most."""

    budget: int


@dataclass(frozen=True)
class Planned:
    """The planner."""

    interval: int = 11
    simulations: int = 16


@dataclass(frozen=True)
class Trained:
    """A training: a configuration, changed in something, with a seed."""

    config: str
    seed: int
    changes: Changes = field(default_factory=dict)

    @property
    def file(self) -> Path:
        """The configuration's; it may not be there yet."""
        return ROOT / self.config

    def settings(self) -> TrainingConfig:
        """All settings, but for the folders."""
        return load_config(self.file, {**self.changes, "seed": self.seed})


Source = Baseline | SearchedMap | Planned | Trained


@dataclass(frozen=True)
class Row:
    """A therapist with clients of one kind.

    Attributes:
        id: table, kind of clients, therapist, and seed of a training: ``strategic/0.9/random``.
        clients: their settings; all others are defaults.
        source: of the therapist.
        therapies: how many.
        seconds: expected on two idle cores.
        course: whether the course of therapy is measured, and not the outcome.
    """

    id: str
    clients: Changes
    source: Source
    seconds: float
    therapies: int = THERAPIES
    course: bool = False

    @property
    def name(self) -> str:
        """Without the seed, which rows of one therapist differ in."""
        return self.id.partition("/seed_")[0]

    def client_settings(self) -> TrainingConfig:
        """Of the clients that are treated."""
        return load_config(None, self.clients)

    def definition(self) -> str:
        """Changes when the row has to be measured anew; more therapies of the same do not count."""
        about = {
            "version": [jaxtherapy.__version__, REVISION, SEED],
            "clients": _said(self.client_settings()),
            "source": [type(self.source).__name__, definition_of(self.source)],
            "course": self.therapies if self.course else None,
        }
        return digest(about)


def digest(about: Any) -> str:
    """A short name of anything that JSON can say."""
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:12]


def _said(config: TrainingConfig) -> dict[str, Any]:
    """What is no default: a setting that is new changes no row that leaves it alone."""
    values, defaults = config_as_dict(config), config_as_dict(load_config())
    return {name: value for name, value in values.items() if value != defaults[name]}


FOLDERS = ("experiment_name", "output_dir", "log_dir")


def definition_of(source: Source) -> dict[str, Any]:
    """What decides the therapist: of a training its settings, whichever file says them."""
    if not isinstance(source, Trained):
        assert is_dataclass(source)
        return asdict(source)
    said = _said(source.settings())
    return {name: value for name, value in said.items() if name not in FOLDERS}


# --- clients --------------------------------------------------------------------------------

STRATEGIC: Changes = {
    "patterns": ["cold_stuck"],
    "mechanism": "frequency_amplifier",
    "entropy": 0.1,
    "baseline_accuracy": 0.4477,
    "bond_alpha": 13.4426,
    "bond_offset": 0.5122,
    "max_sessions": 132,
}
THRESHOLDS = (0.9755, 0.9)
RL_VS_COMPLEMENTARY: Changes = {  # those of configs/rl_vs_complementary.yaml
    "patterns": ["cold_stuck"],
    "threshold": 0.8,
    "entropy": 0.1,
    "bond_alpha": 5,
    "bond_offset": 0.7,
    "baseline_accuracy": 0.5,
}
CELLS: Mapping[str, Changes] = {
    f"{mechanism}/{pattern}": {"mechanism": mechanism, "patterns": [pattern], "threshold": 0.8}
    for mechanism in MECHANISMS
    for pattern in PATTERNS
}

# --- therapists -----------------------------------------------------------------------------

MAP_BY_HAND = "fixed_map:WS,WS,WD,WD,D,CD,C,S"
"""The best that was found by hand for the strategic clients."""

SEEDS = (1, 2, 3, 4, 5)
TRAININGS: Mapping[str, tuple[str, tuple[int, ...], float]] = {
    "quickstart": ("configs/quickstart.yaml", SEEDS, 75),
    "strategic": ("configs/strategic.yaml", SEEDS, 600),
    "strategic_omniscient": ("configs/strategic_omniscient.yaml", SEEDS[:3], 900),
}
"""Configuration, seeds (three where a training takes over 20 minutes), seconds of each."""

OMNISCIENT = "rl_vs_complementary_omniscient"
"""The training with the clients of rl_vs_complementary.yaml that sees everything."""

CELL_TRAININGS: Mapping[str, tuple[str, Changes, float]] = {
    "taught, then trained": ("configs/cells.yaml", {}, 60),
    "trained from scratch": ("configs/cells.yaml", {"teacher": None}, 60),
}
"""Of each cell, whose pattern and mechanism are added. Warm-started ones are other therapists."""

ABLATION_BASE: Changes = {
    "threshold": {"uniform": [0.85, 0.99]},
    "evaluation": {"threshold": 0.9755},
    "total_timesteps": 6_500_000,
    "target_success": None,
    "n_envs": 1_024,
    "n_steps": 64,
    "batch_size": 8_192,
    "learning_rate": {"linear": [1e-3, 0]},
    "shaping_rs": 3,
    "eval_freq": 1_000_000,
    "save_freq": 10_000_000,
}
"""Of configs/quickstart.yaml, for the harder clients of the same kind."""

ABLATIONS: Mapping[str, Changes] = {
    "all of it": {},
    "critic sees the history alone": {"critic_view": "history"},
    "no shaping": {"shaping_rs": None},
    "one threshold, 0.9755": {"threshold": 0.9755},
    "γ 0.99, λ 0.95": {"gamma": 0.99, "gae_lambda": 0.95},
    "64 clients × 64 steps, minibatches of 512": {"n_envs": 64, "batch_size": 512},
    "no schedules": {"learning_rate": 1e-3, "ent_coef": 0.01},
}


def _strategic() -> Iterable[Row]:
    for threshold in THRESHOLDS:
        clients = {**STRATEGIC, "threshold": threshold}
        place = f"strategic/{threshold}"
        for name in ("random", "complementary", "myopic"):
            yield Row(f"{place}/{name}", clients, Baseline(name), 4)
        yield Row(f"{place}/map found by hand", clients, Baseline(MAP_BY_HAND), 4)
        yield Row(f"{place}/searched map", clients, SearchedMap(SEARCH), 30)
        yield Row(f"{place}/best_cell", clients, Baseline("best_cell"), 4)
        yield Row(f"{place}/planner", clients, Planned(), 1_200)
        for name, (config, seeds, seconds) in TRAININGS.items():
            for seed in seeds:
                source = Trained(config, seed)
                yield Row(f"{place}/{name}/seed_{seed}", clients, source, seconds)


def _headroom(place: str, clients: Changes) -> Iterable[Row]:
    for name in ("complementary", "myopic", "best_cell"):
        yield Row(f"{place}/{name}", clients, Baseline(name), 4)
    yield Row(f"{place}/searched map", clients, SearchedMap(SEARCH), 30)
    yield Row(f"{place}/planner", clients, Planned(), 240, IN_EACH_CELL)
    own = {key: value for key, value in clients.items() if key != "threshold"}
    for name, (config, changes, seconds) in CELL_TRAININGS.items():
        source = Trained(config, SEEDS[0], {**own, **changes})
        yield Row(f"{place}/{name}", clients, source, seconds)


def _rl_vs_complementary() -> Iterable[Row]:
    place = "rl_vs_complementary"
    yield from _headroom(place, RL_VS_COMPLEMENTARY)
    source = Trained(f"configs/{OMNISCIENT}.yaml", SEEDS[0])
    yield Row(f"{place}/{OMNISCIENT}", RL_VS_COMPLEMENTARY, source, 900)


def _cells() -> Iterable[Row]:
    for cell, clients in CELLS.items():
        yield from _headroom(f"cells/{cell}", clients)


def _ablation() -> Iterable[Row]:
    clients = {**STRATEGIC, "threshold": 0.9755}
    for name, changes in ABLATIONS.items():
        for seed in SEEDS[:3]:
            source = Trained("configs/quickstart.yaml", seed, {**ABLATION_BASE, **changes})
            yield Row(f"ablation/{name}/seed_{seed}", clients, source, 150)


def _course() -> Iterable[Row]:
    for threshold in THRESHOLDS:
        clients = {**STRATEGIC, "threshold": threshold}
        about: dict[str, tuple[Source, float, int]] = {
            "complementary": (Baseline("complementary"), 20, 2_000),
            "myopic": (Baseline("myopic"), 20, 2_000),
            "searched map": (SearchedMap(SEARCH), 30, 2_000),
            "best_cell": (Baseline("best_cell"), 20, 2_000),
            "planner": (Planned(), 240, IN_EACH_CELL),
        }
        for name, (config, seeds, seconds) in TRAININGS.items():
            about[name] = Trained(config, seeds[0]), seconds, 2_000
        for name, (source, seconds, therapies) in about.items():
            yield Row(f"course/{threshold}/{name}", clients, source, seconds, therapies, True)


ROWS: Mapping[str, Row] = {
    row.id: row
    for rows in (
        _strategic(),
        _rl_vs_complementary(),
        _cells(),
        _ablation(),
        _course(),
    )
    for row in rows
}
"""All of them by id, in the order of the tables."""
