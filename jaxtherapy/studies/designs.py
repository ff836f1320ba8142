"""What varies in a sweep, and the points that are tried: grids, random and Sobol designs."""

import itertools
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from jaxtherapy.config import SETTINGS
from jaxtherapy.config.checks import checked
from jaxtherapy.config.declare import Setting
from jaxtherapy.errors import ConfigError, shown

Design = Literal["grid", "random", "sobol"]
DESIGNS: tuple[Design, ...] = get_args(Design)
MOST_POINTS = 1_000_000
_DIGITS = 6
"""Significant ones of drawn numbers: the table has exactly what was tried."""


@dataclass(frozen=True)
class Axis:
    """One setting that varies: written ``[value, …]``, ``{linear: [low, high], points: n}`` or
    ``{log: [low, high], points: n}``; the design that draws needs no ``points``.

    Attributes:
        name: of the setting.
        values: to choose from, in order; empty where numbers lie between two ends.
        scale: ``linear`` or ``log``, of what lies between.
        ends: the lowest and the highest number.
        n: how many of them a grid has.
    """

    name: str
    values: tuple[Any, ...] = ()
    scale: str = "linear"
    ends: tuple[float, float] = (0, 0)
    n: int = 0

    @property
    def about(self) -> Setting:
        """What is known about the setting."""
        return SETTINGS[self.name]

    @property
    def grid(self) -> tuple[Any, ...]:
        """Its values in a grid."""
        if self.values:
            return self.values
        if self.n < 1:
            raise ConfigError(
                f"vary: {self.name} needs points: how many values a grid has between "
                f"{self.ends[0]:g} and {self.ends[1]:g}"
            )
        shares = np.linspace(0, 1, self.n) if self.n > 1 else [0.0]
        return tuple(dict.fromkeys(self._number(share) for share in shares))

    def at(self, share: float) -> Any:
        """The value at a share, from 0 to below 1, of all that it may be."""
        if self.values:
            return self.values[int(share * len(self.values))]
        return self._number(share, drawn=True)

    def _number(self, share: float, drawn: bool = False) -> int | float:
        (low, high), whole = self.ends, self.about.type is int
        if whole and drawn:  # every whole number has as long an interval
            low, high = low - 0.5, high + 0.5
        if self.scale == "log":
            low = max(low, 0.5) if whole and drawn else low
            value = math.exp(math.log(low) + (math.log(high) - math.log(low)) * share)
        else:
            value = low + (high - low) * share
        rounded = round(value) if whole else float(f"{value:.{_DIGITS}g}")
        return min(max(rounded, self.ends[0]), self.ends[1])


def read_axis(name: str, given: Any) -> Axis:
    """One entry of ``vary``, checked.

    Raises:
        ConfigError: it is none that the setting can have.
    """
    if isinstance(given, Mapping):
        return _between(name, given)
    if not isinstance(given, list) or not given or len(given) > MOST_POINTS:
        raise _refused(name, given)
    values = tuple(checked(name, value) for value in given)
    if len({shown(value) for value in values}) < len(values):
        raise ConfigError(f"vary: {name} has a value twice; keep one")
    return Axis(name, values)


def _between(name: str, given: Mapping[Any, Any]) -> Axis:
    scales = [scale for scale in ("linear", "log") if scale in given]
    if len(scales) != 1 or set(given) - {*scales, "points"}:
        raise _refused(name, given)
    ends, n = given[scales[0]], given.get("points", 1)
    if not isinstance(ends, list) or len(ends) != 2 or SETTINGS[name].type not in (int, float):
        raise _refused(name, given)
    low, high = (checked(name, end) for end in ends)
    if not all(isinstance(end, int | float) for end in (low, high)) or not low < high:
        raise ConfigError(f"vary: {name} is {shown(given)}; give two numbers, the lower end first")
    if scales[0] == "log" and low <= 0:
        raise ConfigError(f"vary: {name} is {shown(given)}; a log range must begin above 0")
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= MOST_POINTS:
        allowed = f"a whole number from 1 to {MOST_POINTS:,}"
        raise ConfigError(f"vary: {name} has points {shown(n)}, must be {allowed}")
    return Axis(name, (), scales[0], (low, high), n if "points" in given else 0)


def _refused(name: str, given: Any) -> ConfigError:
    return ConfigError(
        f"vary: {name} is {shown(given)}, must be a list of values, {{linear: [low, high], points: "
        "n} or {log: [low, high], points: n}"
    )


def points_of(
    axes: Sequence[Axis], design: Design, n_points: int, seed: int
) -> list[dict[str, Any]]:
    """Every point's values by setting.

    Args:
        axes: what varies.
        design: ``grid``: every combination, the last axis fastest; ``random`` or ``sobol`` (of
            scrambled sequences): so many points.
        n_points: of designs that draw.
        seed: of designs that draw.

    Raises:
        ConfigError: there are too many.
    """
    if design == "grid":
        values = [axis.grid for axis in axes]
        if math.prod(map(len, values)) > MOST_POINTS:
            raise ConfigError(f"the grid has over {MOST_POINTS:,} points; vary less")
        rows: Any = itertools.product(*values)
    else:
        shares = _shares(design, n_points, len(axes), seed)
        pairs = [zip(axes, row, strict=True) for row in shares]
        rows = ([axis.at(share) for axis, share in row] for row in pairs)
    return [dict(zip([axis.name for axis in axes], row, strict=True)) for row in rows]


def _shares(design: Design, n_points: int, n_axes: int, seed: int) -> Any:
    if design == "random":
        return np.random.default_rng(seed).random((n_points, n_axes)).tolist()
    from scipy.stats import qmc  # loads a second of SciPy

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of numbers that are no power of 2
        return qmc.Sobol(n_axes, seed=seed).random(n_points).tolist()
