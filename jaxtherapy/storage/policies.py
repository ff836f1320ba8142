"""Between the training state and PyTorch's ``.pth`` files, by the names that their users know.

``policy_*.pth`` holds the weights; ``checkpoint_*.pth`` adds Adam's state and counters, so that
training can go on in PyTorch, or here from what PyTorch (or Tianshou 1.x) trained.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import PyTree

from jaxtherapy.errors import RunError
from jaxtherapy.ppo.optimizer import adam_state
from jaxtherapy.ppo.types import TrainState
from jaxtherapy.storage import torch_format as torch_weights
from jaxtherapy.storage.files import write_atomically
from jaxtherapy.storage.torch_format import WeightsFileError

# PyTorch's name within an actor or critic, our path, and whether PyTorch stores it transposed.
_LAYERS: tuple[tuple[str, tuple[str, ...], bool], ...] = (
    (
        "preprocess.client_action_embed.weight",
        ("preprocess", "client_action_embed", "embedding"),
        False,
    ),
    ("preprocess.history_embed.weight", ("preprocess", "history_embed", "embedding"), False),
    ("preprocess.mlp.0.weight", ("preprocess", "hidden_1", "kernel"), True),
    ("preprocess.mlp.0.bias", ("preprocess", "hidden_1", "bias"), False),
    ("preprocess.mlp.2.weight", ("preprocess", "hidden_2", "kernel"), True),
    ("preprocess.mlp.2.bias", ("preprocess", "hidden_2", "bias"), False),
    ("output_layer.weight", ("output_layer", "kernel"), True),
    ("output_layer.bias", ("output_layer", "bias"), False),
)

_TWIN_PREFIX = "_actor_critic."
"""Tianshou's ``PPOPolicy`` holds the same modules twice and insists on both names."""

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class AdamMoments:
    """Adam's state, by the same names as the weights."""

    count: int
    mean: Arrays
    mean_of_squares: Arrays


@dataclass(frozen=True)
class Checkpoint:
    """What a ``.pth`` file holds. ``adam`` and counters are missing from a ``policy_*.pth``."""

    weights: Arrays
    adam: AdamMoments | None = None
    epoch: int = 0
    env_step: int = 0

    @property
    def hidden_size(self) -> int:
        """Width of the hidden layers."""
        return self.weights["actor.preprocess.mlp.0.bias"].shape[0]

    @property
    def shared_trunk(self) -> bool:
        """Whether actor and critic have one trunk."""
        name = "preprocess.mlp.0.bias"
        return self.weights[f"actor.{name}"] is self.weights[f"critic.{name}"]


def _names() -> list[tuple[str, tuple[str, ...], bool]]:
    """Name, path and transposition of every parameter, actor first."""
    return [
        (f"{network}.{name}", (network, *path), transposed)
        for network in ("actor", "critic")
        for name, path, transposed in _LAYERS
    ]


def _dig(tree: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree


def to_named_arrays(params: PyTree) -> Arrays:
    """Parameters by PyTorch's names, in PyTorch's orientation (out, in).

    With a shared trunk, its arrays stand under both names and share memory.
    """
    tree = jax.tree.map(np.asarray, nnx.to_pure_dict(params))
    arrays: Arrays = {}
    for name, path, transposed in _names():
        value = _dig(tree, path)
        if value is None:  # the critic's share of a shared trunk
            arrays[name] = arrays[name.replace("critic.", "actor.", 1)]
        else:
            arrays[name] = np.ascontiguousarray(value.T) if transposed else value
    return arrays


def from_named_arrays(arrays: Arrays, template: PyTree) -> PyTree:
    """The inverse of :func:`to_named_arrays`, in the structure of ``template``."""
    tree = nnx.to_pure_dict(template)
    for name, path, transposed in _names():
        owner = _dig(tree, path[:-1])
        if owner is not None:
            owner[path[-1]] = jnp.array(arrays[name].T if transposed else arrays[name])
    restored = jax.tree.map(lambda x: x, template)
    nnx.replace_by_pure_dict(restored, tree)
    return restored


def state_dict(weights: Arrays) -> Arrays:
    """The PyTorch state dict: every array under its name and, shared, under its twin's."""
    return weights | {_TWIN_PREFIX + name: array for name, array in weights.items()}


def _optimizer_names(weights: Arrays) -> list[str]:
    """Names in the order in which PyTorch's optimiser numbers them; a shared trunk counts once."""
    seen: set[int] = set()
    names = []
    for name, array in weights.items():
        if id(array) not in seen:
            seen.add(id(array))
            names.append(name)
    return names


def checkpoint_dict(
    weights: Arrays, adam: AdamMoments, *, learning_rate: float, epoch: int, env_step: int
) -> dict[str, Any]:
    """The contents of a ``checkpoint_*.pth``."""
    names = _optimizer_names(weights)
    group = {
        "lr": float(learning_rate),
        "betas": (0.9, 0.999),
        "eps": 1e-8,
        "weight_decay": 0,
        "amsgrad": False,
        "maximize": False,
        "foreach": None,
        "capturable": False,
        "differentiable": False,
        "fused": None,
        "decoupled_weight_decay": False,
        "params": list(range(len(names))),
    }
    moments = {
        number: {
            "step": np.array(adam.count, np.float32),
            "exp_avg": adam.mean[name],
            "exp_avg_sq": adam.mean_of_squares[name],
        }
        for number, name in enumerate(names)
    }
    return {
        "model": state_dict(weights),
        "optim": {"state": moments, "param_groups": [group]},
        "epoch": int(epoch),
        "env_step": int(env_step),
        "gradient_step": int(adam.count),
    }


def of_state(
    state: TrainState, index: int, learning_rate: float, epoch: int, env_step: int
) -> dict[str, Any]:
    """The contents of a ``checkpoint_*.pth`` of one seed of a training state."""
    adam = adam_state(state.opt_state)
    params, count, mean, mean_of_squares = jax.tree.map(
        lambda x: np.asarray(x[index]), (state.params, adam.count, adam.mu, adam.nu)
    )
    moments = AdamMoments(int(count), to_named_arrays(mean), to_named_arrays(mean_of_squares))
    return checkpoint_dict(
        to_named_arrays(params),
        moments,
        learning_rate=learning_rate,
        epoch=epoch,
        env_step=env_step,
    )


def write(path: Path, contents: dict[str, Any]) -> None:
    """Writes a ``.pth`` file, whole or not at all."""
    write_atomically(path, torch_weights.dumps(contents))


# --- reading --------------------------------------------------------------------------------


def read(path: Path) -> Checkpoint:
    """Reads a ``policy_*.pth`` or ``checkpoint_*.pth``, ours or PyTorch's.

    Raises:
        RunError: one line saying what is wrong with the file.
    """
    try:
        contents = torch_weights.load(path)
        return _interpret(contents)
    except WeightsFileError as error:
        raise RunError(str(error)) from None
    except _NotAPolicy as error:
        raise RunError(f"{path} {error}") from None


class _NotAPolicy(Exception):
    """Readable, but not what a therapist's weights look like."""


def _interpret(contents: Any) -> Checkpoint:
    if not isinstance(contents, dict):
        raise _NotAPolicy("holds no state dict; give a policy_*.pth or checkpoint_*.pth")
    model = contents.get("model", contents)
    if not isinstance(model, dict):
        raise _NotAPolicy("holds no state dict under 'model'")
    weights = _weights(model)
    if "model" not in contents:
        return Checkpoint(weights)
    epoch = _counter(contents, "epoch", 2**31)  # the training state counts in int32
    env_step = _counter(contents, "env_step", 2**53)
    adam = _adam(contents.get("optim"), weights) if contents.get("optim") is not None else None
    return Checkpoint(weights, adam, epoch, env_step)


def _counter(contents: dict[str, Any], key: str, limit: int) -> int:
    value = contents.get(key, 0)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < limit:
        raise _NotAPolicy(f"has no usable number under {key!r}")
    return value


def _array(value: Any, name: str, shape: tuple[int, ...] | None = None) -> np.ndarray:
    if not isinstance(value, np.ndarray):
        raise _NotAPolicy(f"has no tensor {name!r}; it is not a therapist of this architecture")
    if shape is not None and value.shape != shape:
        raise _NotAPolicy(f"has {name} of shape {value.shape}, needed is {shape}")
    if value.dtype.kind not in "fV":  # V: bfloat16
        raise _NotAPolicy(f"has {name} of type {value.dtype.name}, needed is a float type")
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused
        array = np.ascontiguousarray(value, np.float32).reshape(value.shape)
    if not np.all(np.isfinite(array)):
        raise _NotAPolicy(f"has {name} with numbers that are not finite; use an earlier file")
    return array


def _weights(model: dict[str, Any]) -> Arrays:
    bias = _array(model.get("actor.preprocess.mlp.0.bias"), "actor.preprocess.mlp.0.bias")
    if bias.ndim != 1 or not bias.size:
        raise _NotAPolicy("has an actor without hidden units")
    hidden = bias.shape[0]
    weights = {}
    for name, shape in expected_shapes(hidden).items():
        weights[name] = _array(model.get(name), name, shape)
    same = all(
        np.array_equal(weights[f"actor.{name}"], weights[f"critic.{name}"])
        for name, *_ in _LAYERS
        if name.startswith("preprocess")
    )
    if same:  # one trunk: written twice, numbered once
        for name, *_ in _LAYERS:
            if name.startswith("preprocess"):
                weights[f"critic.{name}"] = weights[f"actor.{name}"]
    return weights


def expected_shapes(hidden: int) -> dict[str, tuple[int, ...]]:
    """Shape of every weight, by PyTorch's name, in the order of its optimiser."""
    trunk: dict[str, tuple[int, ...]] = {
        "preprocess.client_action_embed.weight": (8, 16),
        "preprocess.history_embed.weight": (9, 8),
        "preprocess.mlp.0.weight": (hidden, 417),
        "preprocess.mlp.0.bias": (hidden,),
        "preprocess.mlp.2.weight": (hidden, hidden),
        "preprocess.mlp.2.bias": (hidden,),
    }
    shapes: dict[str, tuple[int, ...]] = {}
    for network, n_out in (("actor", 8), ("critic", 1)):
        shapes |= {f"{network}.{name}": shape for name, shape in trunk.items()}
        shapes[f"{network}.output_layer.weight"] = (n_out, hidden)
        shapes[f"{network}.output_layer.bias"] = (n_out,)
    return shapes


def _adam(optim: Any, weights: Arrays) -> AdamMoments | None:
    state = optim.get("state") if isinstance(optim, dict) else None
    if not isinstance(state, dict):
        raise _NotAPolicy("has an 'optim' that is no optimiser's state dict")
    if not state:  # saved before the first gradient step
        return None
    names = _optimizer_names(weights)
    mean: Arrays = {}
    mean_of_squares: Arrays = {}
    counts = set()
    for number, name in enumerate(names):
        entry = state.get(number)
        if not isinstance(entry, dict):
            raise _NotAPolicy(f"has no Adam moments for {name}")
        shape = weights[name].shape
        mean[name] = _array(entry.get("exp_avg"), f"exp_avg of {name}", shape)
        mean_of_squares[name] = _array(entry.get("exp_avg_sq"), f"exp_avg_sq of {name}", shape)
        if np.any(mean_of_squares[name] < 0):
            raise _NotAPolicy(f"has negative exp_avg_sq for {name}")
        counts.add(_step(entry.get("step"), name))
    if len(counts) != 1:
        raise _NotAPolicy("has Adam step counts that do not agree")
    for arrays in (mean, mean_of_squares):  # a shared trunk's moments stand under both names
        for name, weight in weights.items():
            if name not in arrays:
                arrays[name] = next(arrays[n] for n in names if weights[n] is weight)
    return AdamMoments(counts.pop(), mean, mean_of_squares)


def _step(value: Any, name: str) -> int:
    """Adam's step count: a number, or a tensor of one element, as PyTorch has it."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.astype(np.float64, copy=False).item() if value.dtype.kind != "b" else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**31:
        raise _NotAPolicy(f"has no usable Adam step count for {name}")
    if value != int(value):
        raise _NotAPolicy(f"has an Adam step count for {name} that is no whole number")
    return int(value)
