"""Files that can be read but are no therapist, or an odd one: all the way into a training state.

Every input is a valid checkpoint in which something is replaced, renamed, lost or doubled. The
number of inputs is JAXTHERAPY_FUZZ_INPUTS (default 2 000); they are the same in every run.
"""

import copy
import os
import random
import warnings
from collections import OrderedDict
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from jaxtherapy.config import load_config
from jaxtherapy.config.settings import PPO
from jaxtherapy.devices import layout as devices
from jaxtherapy.errors import RunError
from jaxtherapy.ppo.optimizer import adam_state
from jaxtherapy.ppo.ppo import init
from jaxtherapy.ppo.types import make_settings
from jaxtherapy.storage import policies as weights
from jaxtherapy.storage import torch_format as torch_weights
from jaxtherapy.storage.progress import Progress
from jaxtherapy.storage.torch_format import WeightsFileError
from jaxtherapy.training.start import from_weights

INPUTS = int(os.environ.get("JAXTHERAPY_FUZZ_INPUTS", "2000"))

ODD_VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 2**31 - 1, 2**31, 2**53, 2**63, -(2**63), 10**60, 0.0, 0.5, -0.0,
    1e300, float("nan"), float("inf"), "", "abc", "1", "\0", "ü" * 300, {}, [], (), [1, [2]],
    {"state": {}}, {0: 1}, OrderedDict(), ((),), [None] * 50,
]  # fmt: skip
DTYPES = [
    np.float64,
    np.float16,
    ml_dtypes.bfloat16,
    np.int64,
    np.int32,
    np.uint8,
    np.int8,
    np.bool_,
]
ODD_NUMBERS = [np.nan, np.inf, -np.inf, 1e300, -1e300, 1e-320, 3.4e38, 1e39, -1, -0.0, 0, 2.5]
ODD_SHAPES = [(), (0,), (1,), (8,), (1, 1), (8, 0), (2, 3, 4), (1,) * 32]


@pytest.fixture(scope="module")
def state():
    ppo = PPO(n_envs=1, n_steps=1, hidden_size=2)
    settings = make_settings(load_config(None))

    rng = np.random.default_rng(0)

    def filled(leaf):
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(jnp.zeros((1, *leaf.shape, 2), jnp.uint32))
        # No two alike, or actor and critic would pass for one trunk.
        return jnp.asarray(rng.uniform(1, 9, (1, *leaf.shape)), leaf.dtype)

    return jax.tree.map(filled, jax.eval_shape(partial(init, ppo), settings, np.int32(1)))


def odd_array(chance: random.Random, array: np.ndarray) -> Any:
    kind = chance.randrange(8)
    with np.errstate(all="ignore"):
        if kind == 0:
            return array.astype(chance.choice(DTYPES))
        if kind in (1, 2):
            changed = array.astype(chance.choice([np.float64, np.float32, np.float16]))
            if changed.size:
                changed.reshape(-1)[chance.randrange(changed.size)] = chance.choice(ODD_NUMBERS)
            return changed
        if kind == 3:
            return np.full(array.shape, chance.choice(ODD_NUMBERS), np.float64)
        if kind == 4:
            return np.zeros(chance.choice(ODD_SHAPES), chance.choice([np.float32, *DTYPES]))
        if kind == 5:
            return array.T
        if kind == 6:
            return np.lib.stride_tricks.as_strided(array, strides=(0,) * array.ndim)
        return array.reshape(-1)[: chance.randrange(array.size + 1)]


def places(tree: Any) -> list[tuple[Any, Any]]:
    """Every container with each of its keys."""
    found = []
    if isinstance(tree, dict | list):
        for key in tree if isinstance(tree, dict) else range(len(tree)):
            found += [(tree, key), *places(tree[key])]
    return found


def mutate(chance: random.Random, valid: dict[str, Any]) -> Any:
    tree = copy.deepcopy(valid)
    for _ in range(chance.choice([1, 1, 1, 2, 5])):
        found = places(tree)
        if not found:
            return tree
        steps = [place for place in found if place[1] == "step"]
        few = [place for place in found if place[1] in ("epoch", "env_step", "model", "optim")]
        container, key = chance.choice(chance.choice([found, found, steps or found, few or found]))
        value = container[key]
        kind = chance.randrange(6)
        if kind < 3 and isinstance(value, np.ndarray):
            container[key] = odd_array(chance, value)
        elif kind < 4:
            container[key] = copy.deepcopy(chance.choice(ODD_VALUES))
        elif kind == 4:
            other, at = chance.choice(found)
            container[key] = copy.deepcopy(other[at])
        elif isinstance(container, dict):
            moved = container.pop(key)
            if chance.random() < 0.5:
                container[chance.choice([f"{key}x", 0, "", "model", key])] = moved
    if chance.random() < 0.1:  # all alike: they agree with each other
        odd = chance.choice([*ODD_VALUES, *(np.array(number) for number in ODD_NUMBERS)])
        for container, key in places(tree):
            if key == "step":
                container[key] = copy.deepcopy(odd)
    return tree if chance.random() < 0.9 else tree.get("model", tree)


def write(path: Path, contents: Any) -> bool:
    """Whether a file can hold this at all."""
    try:
        path.write_bytes(torch_weights.dumps(contents))
    except WeightsFileError:
        return False
    return True


def test_odd_checkpoints_become_a_sound_state_or_one_line(state, tmp_path, monkeypatch):
    chance = random.Random(20_243)
    valid = torch_weights.loads(
        torch_weights.dumps(weights.of_state(state, 0, 1e-3, epoch=3, env_step=48))
    )
    places_of_state = devices.on_one_device(state)
    path = tmp_path / "odd.pth"
    accepted = refused = restored = 0
    for number in range(INPUTS):
        contents = mutate(chance, valid)
        with monkeypatch.context() as patch:
            if number % 20:
                patch.setattr(torch_weights, "load", lambda path, contents=contents: contents)
            elif not write(path, contents):
                continue
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("error")  # each would be a line of its own
                    read = weights.read(path)
            except RunError as error:
                message = str(error)
                assert message.isprintable() and len(message) < 1000 and str(path) in message
                refused += 1
                continue
            except BaseException:
                print(f"input {number}: {contents!r}"[:2000])
                raise
        accepted += 1
        assert 0 <= read.epoch < 2**31 and 0 <= read.env_step < 2**53
        moments = [read.adam.mean, read.adam.mean_of_squares] if read.adam else []
        once = "critic.preprocess" if read.shared_trunk else "no such name"
        shapes = weights.expected_shapes(2).items()
        expected = {name: shape for name, shape in shapes if not name.startswith(once)}
        for arrays in (read.weights, *moments):
            assert {n: a.shape for n, a in arrays.items()} == expected
            assert all(a.dtype == np.float32 and np.isfinite(a).all() for a in arrays.values())
        if read.shared_trunk or restored > INPUTS // 40:  # slow: a few of them
            continue
        restored += 1
        new, progress = from_weights(read, state, Progress(), places_of_state)
        assert jax.tree.map(np.shape, new.params) == jax.tree.map(np.shape, state.params)
        before, after = (int(adam_state(each.opt_state).count[0]) for each in (state, new))
        assert after == (read.adam.count if read.adam else before)
        assert progress.step == (read.env_step if read.adam else 0)
    if INPUTS >= 1000:
        assert accepted > INPUTS // 20 and refused > INPUTS // 10 and restored > INPUTS // 50
