"""How many dyads would a trial of two therapists need?

Trials are simulated: ``trials`` times ``n`` clients per arm are treated, and tested as a trial of
people would be. In an *independent* design the arms have clients of their own (two proportions, or
Welch's t), in a *paired* one every client is treated by both therapists (exact McNemar, or paired
t), which only a simulation can do. Every trial has clients that no other of its design and arm
has; smaller trials are the first clients of larger ones.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

from jaxtherapy.client.params import ClientParams
from jaxtherapy.devices.pinned import pinned
from jaxtherapy.evaluation.candidates import Panel
from jaxtherapy.evaluation.grid import Design
from jaxtherapy.evaluation.statistics import exact_mcnemar, p_of_mean, wilson_interval
from jaxtherapy.reporting.drawing import BLUE, INK, ORANGE, Picture
from jaxtherapy.reporting.drawing import Panel as Chart
from jaxtherapy.studies.measures import outcomes_of
from jaxtherapy.studies.questions import BINARY

SIZES = (10, 20, 30, 40, 60, 80, 120, 160, 240)
DESIGNS = ("independent", "paired")
_TESTS = {
    (True, "independent"): "two proportions (pooled z)",
    (True, "paired"): "exact McNemar",
    (False, "independent"): "Welch's t",
    (False, "paired"): "paired t",
}
_STREAM = 0x504F57

Array = np.ndarray


@dataclass(frozen=True)
class Trials:
    """Which trials are simulated.

    Attributes:
        sizes: dyads per arm.
        n_trials: of each size.
        alpha: two-sided level of the tests.
        outcome: that is tested, one of ``OUTCOMES``.
        seed: decides the clients.
        confidence: of the Monte Carlo intervals.
    """

    sizes: Sequence[int] = SIZES
    n_trials: int = 1_000
    alpha: float = 0.05
    outcome: str = "success"
    seed: int = 0
    confidence: float = 0.95


@dataclass(frozen=True)
class PowerRow:
    """The power of one design and size, with its Monte Carlo error and interval; ``exact`` is that
    of the same test if the simulated shares were the true ones (None for means)."""

    design: str
    test: str
    n: int
    trials: int
    power: float
    se: float
    low: float
    high: float
    exact: float | None


@pinned()
def simulate_arms(
    panel: Panel, clients: ClientParams, trials: Trials
) -> tuple[Float[Array, "trials n"], Float[Array, "trials n"]]:
    """The outcomes of the panel's first two therapists with the same clients, trial by trial."""
    shape = trials.n_trials, max(trials.sizes)
    key = jax.random.fold_in(jax.random.key(trials.seed), _STREAM)
    design = Design([clients], shape[0] * shape[1], key, [0])
    client = np.arange(design.n_clients)
    ours, theirs = outcomes_of(panel, design, np.zeros_like(client), client, trials.outcome)
    return ours.reshape(shape), theirs.reshape(shape)


def power_curve(
    ours: Float[Array, "trials n"], theirs: Float[Array, "trials n"], trials: Trials
) -> list[PowerRow]:
    """The power of both designs at every size.

    The arms of an independent trial come from two simulated ones, half of all apart: each pair of
    trials shares its clients, once in either arm, which their Monte Carlo error leaves out.
    """
    binary, rows = trials.outcome in BINARY, []
    apart = np.roll(theirs, len(theirs) // 2, axis=0)
    for design, control in zip(DESIGNS, (apart, theirs), strict=True):
        for n in trials.sizes:
            p = p_values(ours[:, :n], control[:, :n], binary, design)
            hits, count = np.asarray(np.sum(p < trials.alpha)), len(p)
            low, high = wilson_interval(hits, count, trials.confidence)
            power = float(hits / count)
            se = float(np.sqrt(power * (1 - power) / count))
            exact = None
            if binary and design == "paired":
                gained, lost = float(np.mean(ours > theirs)), float(np.mean(ours < theirs))
                exact = exact_power_of_mcnemar(gained, lost, n, trials.alpha)
            elif binary:
                shares = float(np.mean(ours)), float(np.mean(theirs))
                exact = exact_power_of_proportions(shares[0], shares[1], n, trials.alpha)
            test = _TESTS[binary, design]
            rows.append(PowerRow(design, test, n, count, power, se, float(low), float(high), exact))
    return rows


def needed(rows: Sequence[PowerRow], design: str, target: float) -> int | None:
    """The smallest size from which on the power is at least ``target``; None if none is."""
    last = None
    for row in sorted((row for row in rows if row.design == design), key=lambda row: -row.n):
        if row.power < target:
            break
        last = row.n
    return last


# --- tests ----------------------------------------------------------------------------------


def p_values(
    ours: Float[Array, "trials n"], theirs: Float[Array, "trials n"], binary: bool, design: str
) -> Float[Array, " trials"]:
    """Two-sided, of every trial; 1 where nothing varies and nothing differs."""
    if design == "paired":
        return exact_mcnemar(ours, theirs) if binary else p_of_mean(ours - theirs)
    if binary:
        return _p_of_proportions(ours.sum(1), theirs.sum(1), ours.shape[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of values that are the same
        p = stats.ttest_ind(ours, theirs, axis=1, equal_var=False).pvalue
    same = ours.mean(1) == theirs.mean(1)
    return np.where(np.isfinite(p), p, np.where(same, 1.0, 0.0))


def _p_of_proportions(ours: Array, theirs: Array, n: int) -> Array:
    """The z-test with a pooled variance, from successes among ``n`` on either side."""
    share = (ours + theirs) / (2 * n)
    error = np.sqrt(2 * share * (1 - share) / n)
    z = np.divide((ours - theirs) / n, error, out=np.zeros(np.shape(error)), where=error > 0)
    return 2 * stats.norm.sf(np.abs(z))


def exact_power_of_proportions(p1: float, p2: float, n: int, alpha: float) -> float:
    """The probability that the test of two proportions rejects, over all outcomes of a trial."""
    k = np.arange(n + 1)
    rejects: Bool[Array, "n n"] = _p_of_proportions(k[:, None], k, n) < alpha
    return float(stats.binom.pmf(k, n, p1) @ rejects @ stats.binom.pmf(k, n, p2))


def exact_power_of_mcnemar(gained: float, lost: float, n: int, alpha: float) -> float:
    """The same of exact McNemar, from the shares of clients who succeed in one arm only."""
    if gained + lost == 0:
        return 0.0
    discordant = np.arange(n + 1)[:, None]
    k = np.arange(n + 1)
    fewer = np.minimum(k, discordant - k)
    p = np.minimum(1.0, 2 * stats.binom.cdf(fewer, discordant, 0.5))
    rejects = (k <= discordant) & (p < alpha)
    among = stats.binom.pmf(k, discordant, gained / (gained + lost))
    weights = stats.binom.pmf(discordant[:, 0], n, gained + lost)
    return float(weights @ np.sum(among * rejects, axis=1))


# --- picture --------------------------------------------------------------------------------


def picture(rows: Sequence[PowerRow], title: str, target: float) -> Picture:
    """The curves with their Monte Carlo intervals; dots are exact."""

    def draw(axes: Any) -> None:
        for design, color in zip(DESIGNS, (BLUE, ORANGE), strict=True):
            mine = [row for row in rows if row.design == design]
            n, power, low, high = np.array([[r.n, r.power, r.low, r.high] for r in mine]).T
            label = f"{design}: {mine[0].test}"
            axes.plot(n, power, color=color, label=label)
            axes.fill_between(n, low, high, color=color, alpha=0.2, lw=0)
            known = [(row.n, row.exact) for row in mine if row.exact is not None]
            axes.plot([x for x, _ in known], [y for _, y in known], "o", ms=3.5, color=color)
        axes.axhline(target, color=INK, lw=0.8, ls=":")
        axes.set(xlabel="dyads per arm", ylabel="power", ylim=(0, 1.02))
        axes.legend(loc="best")

    told = "; ".join(f"{row.design}, {row.n} per arm: {row.power:.0%}" for row in rows)
    caption = (
        "Share of simulated trials with a significant difference; bands are Monte Carlo intervals, "
        "dots the exact power of the same test at the simulated shares."
    )
    return Picture("power", title, caption, (Chart(title, told, draw, (6.0, 4.0)),))
