"""Values at the edges train without a number that is not finite."""

import csv
import math

import numpy as np
import pytest

from jaxtherapy.storage import torch_format as torch_weights
from tests.training import tiny

EDGES = {
    "entropy 1e-6": {"entropy": 1e-6},
    "entropy 1e6": {"entropy": 1e6},
    "entropy 1e-20 and huge payoffs": {
        "entropy": 1e-20,
        "history_weight": 1000,
        "utility_matrix": [[-1e6] * 8] * 4 + [[1e6] * 8] * 4,
    },
    "bond_alpha 0": {"bond_alpha": 0},
    "bond_alpha 1000": {"bond_alpha": 1000},
    "bond_alpha null": {"bond_alpha": None},
    "threshold 1": {"threshold": 1.0},
    "max_sessions 1": {"max_sessions": 1},
    "max_sessions 10 000": {"max_sessions": 10_000, "threshold": 0.3},
    "recency_ratio 1000": {"recency_ratio": 1000},
    "history_weight 1000": {"history_weight": 1000},
    "baseline_accuracy 0": {"baseline_accuracy": 0},
    "clip_range 100": {"clip_range": 100},
    "gamma 0, lambda 0": {"gamma": 0, "gae_lambda": 0},
    "gamma 1, lambda 1": {"gamma": 1, "gae_lambda": 1},
    "named matrix": {"utility_matrix": "cold_trap"},
    "almost constant matrix": {"utility_matrix": [[0.0] * 8] * 7 + [[0.0] * 7 + [0.01]]},
    "no clip of gradients": {"max_grad_norm": None},
}

# Several edges at once: each of these costs a compilation.
SHAPES = {
    "one of everything": {
        "n_envs": 1,
        "n_steps": 1,
        "hidden_size": 1,
        "eval_episodes": 1,
        "eval_deterministic": True,
        "batch_size": 1000,  # larger than the rollout, which is a single session
    },
    "a batch that does not divide, a shared trunk, bfloat16": {
        "batch_size": 5,
        "shared_trunk": True,
        "mechanism": "bond_weighted_conditional_amplifier",
        "smoothing": 0,
        "precision": "bfloat16",
    },
}


def check_finite(folder):
    with open(folder / "logs/tiny/tiny_progress.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows
    may_be_unknown = ("train_", "test_sessions_to_success")  # nothing ended, nothing succeeded
    for row in rows:
        for name, value in row.items():
            assert math.isfinite(float(value)) or name.startswith(may_be_unknown), (name, value)
    for name, array in torch_weights.load(folder / "models/tiny/policy_final.pth").items():
        assert np.all(np.isfinite(array)), name


@pytest.mark.parametrize("changes", EDGES.values(), ids=EDGES.keys())
def test_numbers_at_the_edge_train(folder, changes):
    """All of these share one compiled program: they are leaves."""
    assert tiny.train(folder, **changes) == 0
    check_finite(folder)


@pytest.mark.parametrize("changes", SHAPES.values(), ids=SHAPES.keys())
def test_shapes_at_the_edge_train(folder, changes):
    assert tiny.train(folder, **changes | {"total_timesteps": 48}) == 0
    check_finite(folder)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"utility_matrix": [[3.0] * 8] * 8}, "constant"),
        ({"entropy": 0}, "entropy is 0"),
        ({"entropy": 1e-21}, "entropy is 1e-21"),
        ({"max_sessions": 0}, "max_sessions is 0"),
        ({"recency_ratio": 0.5}, "at least 1"),
        ({"smoothing": -1e-9}, "smoothing is -1e-09"),
    ],
)
def test_values_past_the_edge_are_refused(folder, capsys, changes, reason):
    assert tiny.train(folder, **changes) == 2
    error = capsys.readouterr().err
    assert reason in error and error.count("\n") == 1
    assert not (folder / "models").exists()
