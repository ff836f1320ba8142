"""The configuration of a sweep: what it begins with, what varies, who treats whom. Without JAX."""

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import yaml

from jaxtherapy.client.baselines import BASELINES
from jaxtherapy.config import SETTINGS, TrainingConfig
from jaxtherapy.config.checks import check_name, checked_as
from jaxtherapy.config.declare import setting, settings_of
from jaxtherapy.config.yaml_files import (
    ALIASES,
    IGNORED,
    known_keys,
    plain,
    read_config_file,
    read_yaml_file,
)
from jaxtherapy.errors import ConfigError, nearest, shown
from jaxtherapy.studies.designs import DESIGNS, Axis, points_of, read_axis

REFERENCE = "complementary"
TRAINED = "trained"
"""The name in the table of a therapist that was trained at its point."""

_sweep = partial(setting, "Sweep")


@dataclass(frozen=True)
class SweepSettings:
    """Everything of a sweep but the names of therapists, what varies and what it begins with."""

    name: str = _sweep("sweep", "names the sweep and its folder")
    design: str = _sweep("grid", "which points: every combination, or drawn ones", choices=DESIGNS)
    points: int | None = _sweep(
        None, "how many, of designs that draw", "[1, 1e6]", null="a grid has its own"
    )
    design_seed: int = _sweep(0, "decides the points that are drawn", "[0, 2_147_483_647]")
    seeds: int = _sweep(1, "how often every point is tried, with other luck", "[1, 100_000]")
    clients: int = _sweep(10_000, "therapies of each therapist per point", "[2, 1e9]")
    train: bool = _sweep(False, "train a therapist per point and seed")
    save_policies: str = _sweep(
        "none", "which weights of trainings to keep", choices=("none", "best", "all")
    )
    weights: str = _sweep("best", "which weights of given policies", choices=("best", "final"))
    fit_map: int | None = _sweep(
        None,
        "therapies per point in which a fixed map is searched, with other clients",
        "[169, 1e9]",
        null="no map is searched",
    )
    planner: int | None = _sweep(
        None, "clients per point that the planner treats; it is slow", "[2, 1e6]", null="none"
    )
    planner_interval: int = _sweep(11, "sessions between the planner's choices", "[1, 10_000]")
    planner_simulations: int = _sweep(16, "therapies simulated for each choice", "[1, 10_000]")


SWEEP_SETTINGS = settings_of(SweepSettings)
_OTHERS = ("config", "settings", "vary", "therapists", "policies")


@dataclass(frozen=True)
class Point:
    """What is tried together: a number, the values that vary, and all settings."""

    number: int
    values: Mapping[str, Any]
    config: TrainingConfig


@dataclass(frozen=True)
class Run:
    """A point with one seed."""

    point: Point
    seed: int

    @property
    def key(self) -> tuple[int, int]:
        """What tells it from the others, also in the table."""
        return self.point.number, self.seed

    @property
    def config(self) -> TrainingConfig:
        """Of a training of its own."""
        return dataclasses.replace(self.point.config, seed=self.seed, n_seeds=1)


@dataclass(frozen=True)
class Sweep(SweepSettings):
    """A sweep, checked; made by :func:`load_sweep`.

    Attributes:
        settings: of a training, that all points begin with.
        axes: what varies.
        therapists: names of baselines, or users' own; ``complementary`` is always the first.
        policies: files or folders of trained therapists.
    """

    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    axes: tuple[Axis, ...] = ()
    therapists: tuple[str, ...] = (REFERENCE,)
    policies: tuple[str, ...] = ()

    @cached_property
    def run_points(self) -> list[Point]:
        """All points, every one of them valid.

        Raises:
            ConfigError: one is not; says which.
        """
        chosen = points_of(self.axes, self.design, self.points or 1, self.design_seed)  # type: ignore[arg-type]
        return [
            Point(number, values, self.config_at(values)) for number, values in enumerate(chosen)
        ]

    @property
    def runs(self) -> list[Run]:
        """Every point with every seed, seed by seed."""
        first = self.run_points[0].config.seed
        return [Run(point, first + k) for k in range(self.seeds) for point in self.run_points]

    def config_at(self, values: Mapping[str, Any]) -> TrainingConfig:
        """Of a point. A varied number of clients is that of evaluations too."""
        settings = {**self.settings, **values}
        if isinstance(settings.get("evaluation"), dict):
            others = {ALIASES.get(name, name): v for name, v in settings["evaluation"].items()}
            kept = {name: value for name, value in others.items() if name not in values}
            settings["evaluation"] = kept or None
        try:
            return TrainingConfig(**settings)
        except ConfigError as error:
            told = ", ".join(f"{name} {shown(plain(value))}" for name, value in values.items())
            raise ConfigError(f"the point with {told}: {error}") from None

    def as_dict(self) -> dict[str, Any]:
        """As it would stand in a file, complete in itself."""
        own: dict[str, Any] = {name: getattr(self, name) for name in SWEEP_SETTINGS}
        own |= {"therapists": list(self.therapists), "policies": list(self.policies)}
        own["settings"] = {name: plain(value) for name, value in self.settings.items()}
        own["vary"] = {axis.name: _as_written(axis) for axis in self.axes}
        return own

    def dump(self) -> str:
        """The file that :func:`load_sweep` reads again."""
        return yaml.safe_dump(self.as_dict(), sort_keys=False, allow_unicode=True)


def _as_written(axis: Axis) -> Any:
    if axis.values:
        return [plain(value) for value in axis.values]
    return {axis.scale: list(axis.ends)} | ({"points": axis.n} if axis.n else {})


def load_sweep(path: str | os.PathLike[str]) -> Sweep:
    """Reads and checks a sweep's file.

    Raises:
        ConfigError: one line that names the key, its value and what is allowed.
    """
    given = read_yaml_file(path)
    for key in given:
        if key not in SWEEP_SETTINGS and key not in _OTHERS:
            hint = nearest(key, [*SWEEP_SETTINGS, *_OTHERS])
            if key in SETTINGS or key in ALIASES:
                hint = "; put settings of clients and trainings below settings: or vary:"
            raise ConfigError(f"a sweep has no {shown(key)}{hint}")
    own = {
        name: checked_as(about, given[name])
        for name, about in SWEEP_SETTINGS.items()
        if name in given
    }
    own.setdefault("name", Path(path).stem)
    check_name("name", own["name"])
    sweep = Sweep(
        **own,
        settings=_settings(given),
        axes=_axes(given.get("vary")),
        therapists=_therapists(given, bool(own.get("train"))),
        policies=_texts(given, "policies"),
    )
    _check_together(sweep)
    return sweep


def _settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Those of ``config``, and ``settings`` over them."""
    config, settings = given.get("config"), given.get("settings")
    if config is not None and not isinstance(config, str):
        raise ConfigError(f"config is {shown(config)}, must be the file of a training's settings")
    if settings is not None and not isinstance(settings, dict):
        raise ConfigError(f"settings is {shown(settings)}, must be a mapping of settings")
    if "n_seeds" in (settings or {}):
        raise ConfigError("n_seeds is for one training; a sweep has seeds, beside vary")
    values = read_config_file(config) if config else {}
    values |= known_keys(settings or {})
    return {name: value for name, value in values.items() if name not in IGNORED}


def _axes(vary: Any) -> tuple[Axis, ...]:
    if not isinstance(vary, dict) or not vary:
        raise ConfigError(f"vary is {shown(vary)}, must be a mapping of settings to their values")
    axes = tuple(read_axis(name, given) for name, given in known_keys(vary).items())
    for axis in axes:
        if axis.about.group in ("Experiment", "Several hosts") or not axis.about.in_file:
            raise ConfigError(f"vary: {axis.name} is the same in a whole sweep; see seeds")
    return axes


def _therapists(given: Mapping[str, Any], train: bool) -> tuple[str, ...]:
    if "therapists" not in given:
        return (REFERENCE, "random", "myopic") if train else (REFERENCE,)
    names = _texts(given, "therapists")
    for name in names:
        if ":" not in name and name not in BASELINES:
            raise ConfigError(
                f"therapists has {shown(name)}, must be of {', '.join(BASELINES)}, fixed_map:… "
                f"with eight answers, or module:name{nearest(name, BASELINES)}"
            )
    return tuple(dict.fromkeys((REFERENCE, *names)))


def _texts(given: Mapping[str, Any], name: str) -> tuple[str, ...]:
    entries = given.get(name) or []
    if not isinstance(entries, list) or not all(isinstance(each, str) for each in entries):
        raise ConfigError(f"{name} is {shown(entries)}, must be a list of names")
    return tuple(entries)


def _check_together(sweep: Sweep) -> None:
    """Raises ConfigError for what does not go together, and for points that can't be."""
    if sweep.design != "grid" and sweep.points is None:
        raise ConfigError(f"design {sweep.design} needs points: how many to draw")
    if sweep.design == "grid" and sweep.points is not None:
        raise ConfigError("points is for designs that draw; a grid has points on each axis")
    if not sweep.train:
        for axis in sweep.axes:
            if not axis.about.of_clients:
                raise ConfigError(f"vary: {axis.name} matters to trainings only; set train: true")
        if sweep.save_policies != "none":
            raise ConfigError("save_policies is for trainings; set train: true")
    if sweep.planner is not None and sweep.planner > sweep.clients:
        raise ConfigError(f"planner is {sweep.planner}, must be at most clients, {sweep.clients}")
    after = sweep.run_points[0].config.seed + sweep.seeds
    if after >= 2**31:
        raise ConfigError(f"seed + seeds may be at most {2**31 - 1}, got {after}")
