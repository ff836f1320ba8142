"""Who is heard when the therapist is not: the habitual act, and its ties."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtherapy.client.client import Client, hear_act
from jaxtherapy.client.params import ClientParams
from jaxtherapy.client.perception import habitual_act, hear
from tests.oracle import Therapy

habitual = jax.jit(habitual_act)


def memory_of(therapist_acts, before=0):
    """50 pairs of arbitrary client acts, ending in these therapist acts."""
    acts = np.full(50, before)
    acts[50 - len(therapist_acts) :] = therapist_acts
    return jnp.asarray(8 * acts + np.arange(50) % 8, jnp.int8)


@pytest.mark.parametrize(
    ("recent", "expected"),
    [
        ([3] * 15, 3),
        ([3] * 8 + [5] * 7, 3),  # more frequent, though heard earlier
        ([3] * 7 + [5] * 8, 5),
        ([1] * 5 + [2] * 5 + [3] * 5, 3),  # a tie of three
        ([3] * 5 + [2] * 5 + [1] * 5, 1),
        ([7, 0] * 7 + [4], 0),  # tied at seven; 0 was heard after 7
        ([0, 7] * 7 + [4], 7),
        ([4] + [7, 0] * 7, 0),
        ([0, 1, 2, 3, 4, 5, 6] * 2 + [7], 6),  # the newest act is not among the tied
        ([7, 6, 5, 4, 3, 2, 1] * 2 + [0], 1),
    ],
)
def test_habitual_act(recent, expected):
    assert len(recent) == 15
    assert habitual(memory_of(recent)) == expected


def test_only_the_newest_fifteen_count():
    assert habitual(memory_of([2] * 8 + [1] * 7, before=1)) == 2


def test_against_the_oracle():
    rng = np.random.default_rng(0)
    for _ in range(300):
        acts = rng.choice(8, size=rng.integers(1, 9), replace=False)
        memory = memory_of(rng.choice(acts, 50))
        pairs = np.stack([np.asarray(memory) % 8, np.asarray(memory) // 8], axis=1)
        assert habitual(memory) == Therapy(np.zeros((8, 8)), pairs).habitual_act()


def test_hearing():
    memory = memory_of([3] * 15)
    assert hear(memory, 6, True) == 6
    assert hear(memory, 6, False) == 3
    assert hear(memory, 6, False).dtype == np.int8


@pytest.mark.parametrize(
    ("enabled", "accuracy", "point", "heard"),
    [
        (True, 0.5, 0.49, 6),
        (True, 0.5, 0.5, 3),  # accurate below the accuracy, hence with exactly that probability
        (True, 0.0, 0.0, 3),
        (True, 1.0, 1 - 2**-24, 6),
        (False, 0.0, 0.99, 6),
    ],
)
def test_accuracy(enabled, accuracy, point, heard):
    client = Client(None, None, None, memory_of([3] * 15), None, None)
    params = ClientParams(enable_parataxic=enabled, baseline_accuracy=accuracy)
    assert hear_act(jnp.float32(point), client, 6, params) == heard
