"""Which numbers of clients decide an outcome? Sobol's and Morris's indices.

What varies is what clients draw from distributions. A point of a design is one kind of client; its
outcome is the mean over some of them, all points in one compiled program. Points are quantiles, so
that every kind of distribution will do.

An inert number, which changes nothing, is always among them: a control that must come out as zero.
In Sobol's design every point has clients of its own, so that luck is noise like any other; it is
taken out of the indices, and the inert number's intervals must hold 0 then. In Morris's design the
points of a trajectory have the same clients, and the inert number's effects are exactly 0.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from jaxtherapy.client.params import ClientParams
from jaxtherapy.client.population import draw
from jaxtherapy.config.distributions import Distribution
from jaxtherapy.config.settings import ClientNumbers
from jaxtherapy.devices.pinned import pinned
from jaxtherapy.errors import RunError
from jaxtherapy.evaluation.candidates import Panel
from jaxtherapy.evaluation.grid import Design
from jaxtherapy.reporting.drawing import BLUE, GREY, Picture
from jaxtherapy.reporting.drawing import Panel as Chart
from jaxtherapy.studies.measures import outcomes_of
from jaxtherapy.studies.questions import METHODS

INERT = "inert"
_STREAM = 0x53454E
_LARGEST_POINT = 1 - 2**-24  # of uniform draws

Array = np.ndarray
Points = Float[Array, "points numbers"]


@dataclass(frozen=True)
class Asked:
    """What is asked.

    Attributes:
        outcome: one of ``OUTCOMES``; of the first therapist, or, where there are two, the
            difference of both with the same clients.
        points: of Sobol's design, a power of 2; it has as many times the numbers plus two.
        trajectories: of Morris's design.
        dyads: that are averaged at every point.
        seed: decides designs, clients and intervals.
    """

    outcome: str = "success"
    points: int = 256
    trajectories: int = 64
    dyads: int = 100
    seed: int = 0
    confidence: float = 0.95


@dataclass(frozen=True)
class IndexRow:
    """One index of one number with its interval.

    ``first`` and ``total`` are Sobol's: the share of the outcome's variance that goes with a number
    alone, and with it and its interactions. ``mu_star``, ``mu`` and ``sigma`` are Morris's: mean
    size, mean, and spread (without an interval) of what crossing the number's whole range changes.
    """

    number: str
    index: str
    estimate: float
    low: float | None
    high: float | None


def varied(clients: ClientParams) -> list[str]:
    """The numbers that these clients draw.

    Raises:
        RunError: there are none.
    """
    names = [field.name for field in dataclasses.fields(ClientNumbers)]
    names = [name for name in names if isinstance(getattr(clients, name), Distribution)]
    if not names:
        raise RunError(
            "no number of the clients varies; give at least one as a distribution, such as "
            "--threshold '{uniform: [0.65, 0.99]}'"
        )
    return names


@pinned()
def indices(
    panel: Panel, clients: ClientParams, asked: Asked, methods: Sequence[str] = METHODS
) -> tuple[list[IndexRow], float]:
    """All indices, and the share of luck in the variance of Sobol's points."""
    names, rows, luck = [*varied(clients), INERT], [], 0.0
    for method in methods:
        points = sobol_points(names, asked) if method == "sobol" else morris_points(names, asked)
        at_once = 1 if method == "sobol" else len(names) + 1
        told = _outcomes(panel, clients, asked, points, np.arange(len(points)) // at_once)
        values, noise = told.mean(1), float(np.mean(np.var(told, axis=1, ddof=1)) / asked.dyads)
        if np.ptp(values) == 0:
            raise RunError(f"{asked.outcome} is the same at all points; there is nothing to share")
        if method == "sobol":
            luck = luck_share(names, values, noise)
            rows += sobol_indices(names, values, asked, luck)
        else:
            rows += morris_indices(names, points, values, asked)
    return rows, luck


def _outcomes(
    panel: Panel, clients: ClientParams, asked: Asked, points: Points, group: Int[Array, " points"]
) -> Float[Array, "points dyads"]:
    """Of every dyad at every point; points of a group have the same clients."""
    shape = len(points), asked.dyads
    key = jax.random.fold_in(jax.random.key(asked.seed), _STREAM)
    design = Design(kinds_at(clients, points), asked.dyads, key, [0] * len(points))
    cell = np.repeat(np.arange(len(points)), asked.dyads)
    client = np.repeat(group, asked.dyads) * asked.dyads + np.tile(np.arange(asked.dyads), shape[0])
    ours, *theirs = outcomes_of(panel, design, cell, client, asked.outcome)
    return (ours - theirs[0] if theirs else ours).reshape(shape)


def kinds_at(clients: ClientParams, points: Points) -> list[ClientParams]:
    """The clients at each point: every number that varies at its quantile; inert ones are last."""
    whole = {field.name: field.type is int for field in dataclasses.fields(ClientNumbers)}
    columns: dict[str, Any] = {}
    for name, column in zip(varied(clients), points.T, strict=False):
        read = jax.vmap(partial(draw, getattr(clients, name), whole=whole[name]))
        columns[name] = np.asarray(read(jnp.clip(jnp.asarray(column), 0, _LARGEST_POINT)))
    fixed = jax.tree.map(np.asarray, clients.replace(**dict.fromkeys(columns, 0)))
    rows = zip(*columns.values(), strict=True)
    return [fixed.replace(**dict(zip(columns, row, strict=True))) for row in rows]


# --- designs and indices, by SALib ----------------------------------------------------------


def _problem(names: Sequence[str]) -> dict[str, Any]:
    return {"num_vars": len(names), "names": list(names), "bounds": [[0.0, 1.0]] * len(names)}


def _salib(part: str, method: str) -> Any:
    import importlib

    try:
        return importlib.import_module(f"SALib.{part}.{method}")
    except ModuleNotFoundError:
        raise RunError("sensitivity needs SALib: pip install 'jaxtherapy[studies]'") from None


def sobol_points(names: Sequence[str], asked: Asked) -> Points:
    """Saltelli's design in the unit cube."""
    sample = _salib("sample", "sobol").sample
    points: Points = sample(_problem(names), asked.points, calc_second_order=False, seed=asked.seed)
    return points


def morris_points(names: Sequence[str], asked: Asked) -> Points:
    """Morris's trajectories in the unit cube, one after another."""
    points: Points = _salib("sample", "morris").sample(
        _problem(names), asked.trajectories, seed=asked.seed
    )
    return points


def luck_share(names: Sequence[str], values: Float[Array, " points"], noise: float) -> float:
    """The share of a noise's variance in that of values at ``sobol_points``, as indices have it:
    over the first and the last point of every block of numbers plus two."""
    blocks = values.reshape(-1, len(names) + 2)
    return min(noise / max(float(np.var(blocks[:, [0, -1]])), 1e-30), 1.0)


def sobol_indices(
    names: Sequence[str], values: Float[Array, " points"], asked: Asked, luck: float = 0.0
) -> list[IndexRow]:
    """First-order and total indices of values at ``sobol_points``.

    Args:
        luck: share of noise in their variance. It adds nothing to covariances and its share to
            every total; both are told as shares of what is left.
    """
    told = _salib("analyze", "sobol").analyze(
        _problem(names),
        np.asarray(values, float),
        calc_second_order=False,
        num_resamples=1_000,
        conf_level=asked.confidence,
        seed=asked.seed,
    )
    left, rows = max(1 - luck, 1e-9), []
    for index, key, floor in (("first", "S1", 0.0), ("total", "ST", luck)):
        for name, share, half in zip(names, told[key], told[f"{key}_conf"], strict=True):
            estimate, half = float(share - floor) / left, float(half) / left
            rows.append(IndexRow(name, index, estimate, estimate - half, estimate + half))
    return rows


def morris_indices(
    names: Sequence[str], points: Points, values: Float[Array, " points"], asked: Asked
) -> list[IndexRow]:
    """Of values at ``morris_points``."""
    told = _salib("analyze", "morris").analyze(
        _problem(names),
        points,
        np.asarray(values, float),
        num_resamples=1_000,
        conf_level=asked.confidence,
        seed=asked.seed,
    )
    quantile = stats.t.isf((1 - asked.confidence) / 2, asked.trajectories - 1)
    rows = []
    for place, name in enumerate(names):
        star, mu, sigma = (float(told[key][place]) for key in ("mu_star", "mu", "sigma"))
        half, wide = float(told["mu_star_conf"][place]), quantile * sigma / asked.trajectories**0.5
        rows += [
            IndexRow(name, "mu_star", star, star - half, star + half),
            IndexRow(name, "mu", mu, mu - wide, mu + wide),
            IndexRow(name, "sigma", sigma, None, None),
        ]
    return rows


# --- picture --------------------------------------------------------------------------------


def picture(rows: Sequence[IndexRow], title: str) -> Picture:
    """A panel per index that has intervals, but for Morris's mean."""
    headings = {"first": "alone (Sobol)", "total": "with interactions (Sobol)"}
    headings |= {"mu_star": "mean size of effects (Morris)"}
    panels = []
    for index, heading in headings.items():
        mine = [row for row in rows if row.index == index]
        if mine:
            told = "; ".join(f"{row.number} {row.estimate:.3f}" for row in mine)
            size = (4.0, 1.2 + 0.3 * len(mine))
            panels.append(Chart(heading, told, partial(_draw, mine), size))
    caption = "Indices with their intervals; the inert number is a control that must be zero."
    return Picture("sensitivity", title, caption, tuple(panels), columns=3)


def _draw(rows: Sequence[IndexRow], axes: Any) -> None:
    for place, row in enumerate(rows):
        color = GREY if row.number == INERT else BLUE
        axes.plot([row.low, row.high], [place] * 2, color=color, lw=2)
        axes.plot([row.estimate], [place], "o", color=color)
    axes.axvline(0, lw=0.8, color=GREY)
    axes.set_yticks(range(len(rows)), [row.number for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
