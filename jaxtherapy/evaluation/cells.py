"""Kinds of clients to be compared: every combination of what differs, or clients as given."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import jax
import numpy as np

from jaxtherapy.client.params import ClientParams, check_params, client_params
from jaxtherapy.client.patterns import PATTERNS
from jaxtherapy.config import Distribution, TrainingConfig, as_given
from jaxtherapy.config.settings import ClientSettings
from jaxtherapy.evaluation.results import CellInfo


def exact(number: float | Distribution) -> str:
    """At most six digits if they say it all, else as many as it takes; a distribution in words."""
    if isinstance(number, Distribution):
        return str(number)
    short = f"{number:g}"
    return short if float(short) == number else repr(float(number))


def combinations(
    patterns: Sequence[str],
    mechanisms: Sequence[str],
    thresholds: Sequence[float | Distribution],
    entropies: Sequence[float | Distribution],
    matrices: Sequence[Any],
) -> tuple[tuple[CellInfo, ...], tuple[int, ...]]:
    """Every combination as a cell, and its weight: a pattern that is repeated weighs more."""
    times = Counter(patterns)
    cells = []
    axes = mechanisms, thresholds, entropies, list(enumerate(matrices, 1)), list(times)
    for mechanism, threshold, entropy, (number, matrix), pattern in product(*axes):
        name = matrix if isinstance(matrix, str) else f"given {number}"
        numbers = exact(threshold), exact(entropy)
        words = mechanism, f"threshold {numbers[0]}", f"entropy {numbers[1]}", name
        varying = zip(words, (mechanisms, thresholds, entropies, matrices), strict=True)
        weight = f" (×{times[pattern]})" if times[pattern] > 1 else ""
        cell = CellInfo(
            id="/".join((pattern, mechanism, *numbers, name)),
            label=", ".join([pattern + weight, *(word for word, axis in varying if axis[1:])]),
            pattern=pattern,
            mechanism=mechanism,
            threshold=_recorded(threshold),
            entropy=_recorded(entropy),
            matrix=name,
            matrix_values=None if isinstance(matrix, str) else [list(row) for row in matrix],
        )
        cells.append(cell)
    return tuple(cells), tuple(times[cell.pattern] for cell in cells)


def _recorded(number: Any) -> float | str:
    """A client number; what is drawn as it would be given."""
    return as_given(number) if isinstance(number, Distribution) else number


def cell_params(config: TrainingConfig, cell: CellInfo) -> ClientParams:
    """The clients of a cell."""
    matrix = cell.matrix_values and tuple(map(tuple, cell.matrix_values))
    return client_params(
        replace(
            config,
            patterns=(cell.pattern,),
            mechanism=cell.mechanism,
            threshold=cell.threshold,
            entropy=cell.entropy,
            utility_matrix=matrix or cell.matrix,
        )
    )


def _rounded(number: Any) -> float | str:
    return _recorded(jax.tree.map(lambda leaf: round(float(leaf), 6), number))


def given_cells(
    clients: Mapping[str, ClientParams | ClientSettings],
) -> tuple[tuple[CellInfo, ...], tuple[ClientParams, ...]]:
    """Clients by name as cells.

    Raises:
        ValueError: numbers that no client can have.
    """
    cells, params = [], []
    for name, each in clients.items():
        given = client_params(each) if isinstance(each, ClientSettings) else each
        check_params(given)
        weights = np.asarray(given.pattern_weights)
        fixed = np.array_equal(given.u_min, given.u_max)
        info = CellInfo(
            id=name,
            label=name,
            pattern=" ".join(np.array(PATTERNS)[weights > 0].tolist()),
            mechanism=given.mechanism,
            threshold=_rounded(given.threshold),
            entropy=_rounded(given.entropy),
            matrix="given" if fixed else "random",
            matrix_values=np.asarray(given.u_min).tolist() if fixed else None,
        )
        cells.append(info)
        params.append(given)
    return tuple(cells), tuple(params)
