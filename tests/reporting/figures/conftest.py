"""Numbers that no two lines share, and what is drawn of them."""

import json

import numpy as np
import pytest

from jaxtherapy.evaluation.reading import from_json
from jaxtherapy.reporting.csv_files import plain
from tests.evaluation.small_evaluation import small_evaluation

LISTS = {"iqm_by_seed", "by_seed", "value", "mean", "q05", "q25", "q50", "q75", "q95"}


def scrambled(value, generator):
    """Other numbers, no two alike, in every estimate and curve and for every seed."""
    if isinstance(value, list):
        return [scrambled(each, generator) for each in value]
    if not isinstance(value, dict):
        return value
    value = {name: scrambled(each, generator) for name, each in value.items()}
    if value.keys() >= {"estimate", "low", "high"}:
        value |= zip(
            ("low", "estimate", "high"), np.sort(generator.random(3)).tolist(), strict=True
        )
    for name in sorted(value.keys() & LISTS):
        if isinstance(value[name], list):
            value[name] = generator.random(len(value[name])).tolist()
    return value


@pytest.fixture(scope="module")
def told():
    generator = np.random.default_rng(0)
    content = scrambled(plain(small_evaluation("study")), generator)
    return from_json(json.dumps(content).encode())
