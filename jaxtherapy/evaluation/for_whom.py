"""Which clients succeed with whom, what tells them apart, and whether they would again.

Every client of a comparison is in one of four groups: it succeeds with both therapists, with
neither, or with only one of them. Effects are standardised differences (Cohen's d) between a group
and all other clients. Intervals are jackknives over blocks of clients, with Student's t: a client
has the same random numbers in all cells, so clients are what is left out.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from jaxtherapy.evaluation.candidates import Panel
from jaxtherapy.evaluation.grid import Grid, Programs, play_some
from jaxtherapy.evaluation.properties import LABELS, properties_of
from jaxtherapy.evaluation.results import (
    CLIENT_GROUPS,
    ClientGroup,
    ClientLeaf,
    Condition,
    Estimate,
    ForWhom,
    PropertyEffect,
)
from jaxtherapy.evaluation.statistics import FEWEST, estimates, wilson_interval

if TYPE_CHECKING:
    from jaxtherapy.evaluation.evaluation import Request

REPEATED = 1_000
"""Clients of each cell, the first ones, who are treated again."""

BLOCKS = 50
DEPTH, SMALLEST = 2, 0.05
"""Of the tree, and the share of clients that each of its leaves needs."""

LEAST_GAIN = 10.0
"""Of a split, in squared counts over clients: among a hundred, chance finds less."""

_LUCK = 0x4C55
N_GROUPS = len(CLIENT_GROUPS)
Array = np.ndarray


def for_whom(request: "Request", panel: Panel, grid: Grid, programs: Programs) -> list[ForWhom]:
    """Of every therapist beside the reference."""
    design, confidence = request.design, request.intervals.confidence
    reference, intake = panel.position(request.reference), properties_of(design)
    n_repeated = min(REPEATED, design.n_clients)
    places = np.divmod(np.arange(len(design.cells) * n_repeated), n_repeated)
    luck = jax.random.fold_in(design.key, _LUCK)

    def again(number: int) -> Array:
        played = play_some(programs, panel.candidates[number], *places, luck=luck)
        return played.outcomes.success.reshape(-1, n_repeated)

    theirs, theirs_again = grid.outcomes.at(reference), again(reference)
    weights = np.array(request.weights, float)
    told = []
    for number, therapist in enumerate(panel.therapists):
        if number == reference:
            continue
        ours = grid.outcomes.at(number)
        group = groups_of(ours.success, theirs.success)
        repeat = groups_of(again(number), theirs_again)
        groups, kappa = _repeats(group, repeat, weights, confidence)
        properties = {
            **intake,
            **{"one_act": ours.one_act, "one_act_reference": theirs.one_act},
            **{"misheard": ours.misheard, "misheard_reference": theirs.misheard},
        }
        told.append(
            ForWhom(
                therapist=therapist.id,
                reference=request.reference,
                repeated=n_repeated,
                groups=groups,
                kappa=kappa,
                effects=effects(group, properties, weights, confidence),
                tree=tree(group, intake),
            )
        )
    return told


def groups_of(ours: Array, theirs: Array) -> Int[Array, "cells clients"]:
    """Places in ``CLIENT_GROUPS`` from who succeeds."""
    return np.where(ours, np.where(theirs, 0, 2), np.where(theirs, 3, 1))


_OF_THERAPIES = {
    "one_act": "share of sessions in the client's most frequent act",
    "one_act_reference": "the same with the reference",
    "misheard": "share of misheard acts",
    "misheard_reference": "the same with the reference",
}


def jackknife(
    columns: Float[Array, "*shape clients"],
    function: Callable[[Array], Float[Array, " told"]],
    confidence: float,
) -> list[Estimate]:
    """A function of sums over clients, with intervals from leaving out blocks of clients."""
    n_blocks = min(BLOCKS, columns.shape[-1])
    starts = np.linspace(0, columns.shape[-1], n_blocks, endpoint=False).astype(int)
    blocks = np.add.reduceat(columns.astype(float), starts, axis=-1)
    total = blocks.sum(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        estimate = function(total)
        each = np.stack([function(total - blocks[..., place]) for place in range(n_blocks)])
    error = np.sqrt((n_blocks - 1) * np.var(each, axis=0))
    half = error * stats.t.isf((1 - confidence) / 2, n_blocks - 1)
    return estimates(estimate, estimate - half, estimate + half, error)


def _as_rate(rate: Estimate, clients: int, confidence: float) -> Estimate:
    """Within 0 and 1; where all blocks agree, Wilson's interval."""
    if rate.estimate is None or not np.isfinite(rate.estimate) or not clients:
        return Estimate(None, None, None)
    low, high = np.clip([rate.low, rate.high], 0, 1)
    if not rate.se:
        hits = np.array(rate.estimate * clients)
        low, high = wilson_interval(hits, clients, confidence)
    return Estimate(rate.estimate, float(low), float(high), rate.se)


def _repeats(
    group: Int[Array, "cells clients"],
    repeat: Int[Array, "cells repeated"],
    weights: Float[Array, " cells"],
    confidence: float,
) -> tuple[list[ClientGroup], Estimate]:
    """The groups, who is in the same one again with other luck, and Cohen's kappa of both."""
    first = group[:, : repeat.shape[1]]
    everyone = np.arange(N_GROUPS)[:, None, None]
    counts = np.einsum("gcn,c->gn", group == everyone, weights)
    pairs = np.einsum(
        "gcn,hcn,c->ghn", *((each == everyone).astype(float) for each in (first, repeat)), weights
    )
    shares = jackknife(counts, lambda n: n / n.sum(), confidence)
    stayed = jackknife(pairs, lambda n: np.diag(n) / n.sum(1), confidence)

    def agreement(n: Float[Array, "4 4"]) -> Float[Array, "1"]:
        by_chance = n.sum(0) @ n.sum(1) / n.sum() ** 2
        return np.array([(np.trace(n) / n.sum() - by_chance) / (1 - by_chance)])

    groups = []
    for place, name in enumerate(CLIENT_GROUPS):
        here, there = int(np.sum(group == place)), int(np.sum(first == place))
        share = _as_rate(shares[place], group.size, confidence)
        groups.append(ClientGroup(name, here, share, _as_rate(stayed[place], there, confidence)))
    return groups, jackknife(pairs, agreement, confidence)[0]


def effects(
    group: Int[Array, "cells clients"],
    properties: Mapping[str, Float[Array, "cells clients"]],
    weights: Float[Array, " cells"],
    confidence: float,
) -> list[PropertyEffect]:
    """Cohen's d of every property, of each group against all other clients."""
    told, here = [], weights[:, None] * (group == np.arange(N_GROUPS)[:, None, None])
    sizes = [np.sum(group == place) for place in range(N_GROUPS)]
    for name, values in properties.items():
        z = (values - values.mean()) / (values.std() or 1)
        sums = np.stack([(here * each).sum(1) for each in (np.ones_like(z), z, z**2)])
        by_group = dict(zip(CLIENT_GROUPS, jackknife(sums, _distances, confidence), strict=True))
        for key, size in zip(CLIENT_GROUPS, sizes, strict=True):
            if min(size, group.size - size) < FEWEST:
                by_group[key] = Estimate(None, None, None)
        label = (LABELS | _OF_THERAPIES).get(name, name.replace("_", " "))
        told.append(PropertyEffect(name, label, by_group))
    return told


def _distances(sums: Float[Array, "3 groups"]) -> Float[Array, " groups"]:
    """From counts, sums and sums of squares: mean minus that of all others, over the deviation
    within both."""
    rest = sums.sum(1, keepdims=True) - sums
    within = sum(square - total**2 / n for n, total, square in (sums, rest))
    return (sums[1] / sums[0] - rest[1] / rest[0]) / np.sqrt(within / sums[0].sum())


class Sample(NamedTuple):
    """Clients' properties, and their groups one-hot."""

    x: Float[Array, "n properties"]
    y: Float[Array, "n groups"]

    def where(self, chosen: Array) -> "Sample":
        """Those at an index."""
        return Sample(self.x[chosen], self.y[chosen])


def tree(
    group: Int[Array, "cells clients"], properties: Mapping[str, Float[Array, "cells clients"]]
) -> list[ClientLeaf]:
    """The leaves of a tree with at most two questions about a client at intake.

    It grows on every other client (Gini impurity, cuts at twentieths) and is told by the others, so
    that its shares are not flattered. What happens in therapy is no question: it is as much a
    result as a reason.
    """
    names = list(properties)
    if not names:
        return []
    x, y = np.stack(list(properties.values()), -1), np.eye(N_GROUPS)[group]
    grown, told = (
        Sample(x[:, start::2].reshape(-1, len(names)), y[:, start::2].reshape(-1, N_GROUPS))
        for start in (0, 1)
    )
    leaves: list[ClientLeaf] = []
    least = max(1.0, SMALLEST * len(grown.x))

    def grow(grown: Sample, told: Sample, path: list[Condition]) -> None:
        cut = _best_cut(grown, least) if len(path) < DEPTH else None
        if cut is None:
            shares = dict(zip(CLIENT_GROUPS, told.y.mean(0).tolist(), strict=True))
            leaves.append(ClientLeaf(path, len(told.y), shares))
            return
        place, value = cut
        for above in (False, True):
            ours, others = (x.where((x.x[:, place] > value) == above) for x in (grown, told))
            grow(ours, others, [*path, Condition(names[place], above, value)])

    grow(grown, told, [])
    return leaves


def _best_cut(sample: Sample, least: float) -> tuple[int, float] | None:
    """The property and the value that split clients into the purest two parts, if any do."""
    total, best, found = sample.y.sum(0), LEAST_GAIN, None
    for place, values in enumerate(sample.x.T):
        for cut in np.unique(np.quantile(values, np.arange(1, 20) / 20)):
            low = sample.y[values <= cut].sum(0)
            high = total - low
            if min(low.sum(), high.sum()) < least:
                continue
            parts = low @ low / low.sum() + high @ high / high.sum()
            gain = parts - total @ total / total.sum()
            if gain > best:
                best, found = gain, (place, float(cut))
    return found
