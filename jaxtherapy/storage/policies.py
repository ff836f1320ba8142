"""Between the training state and PyTorch's ``.pth`` files, by the names that their users know.

``policy_*.pth`` holds the weights; ``checkpoint_*.pth`` adds Adam's state and counters, so that
training can go on in PyTorch, or here from what PyTorch (or Tianshou 1.x) trained. Weights of
networks that PyTorch's users do not have (of another view or encoder) stand under their own paths,
such as ``critic.preprocess.hidden_1.kernel``, which the strict old stack refuses. A file that ends
in ``.safetensors`` holds weights by the same names.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx, traverse_util
from jaxtyping import PyTree

from jaxtherapy.config.settings import PPO
from jaxtherapy.errors import RunError
from jaxtherapy.ppo.optimizer import adam_state
from jaxtherapy.ppo.types import TrainState
from jaxtherapy.storage import torch_format
from jaxtherapy.storage.files import write_atomically

Arrays = dict[str, np.ndarray]
TreePath = tuple[Any, ...]

NETWORKS = ("actor", "critic")
SAFETENSORS = ".safetensors"
# PyTorch's name within an actor or critic, our path, and whether PyTorch stores it transposed.
_LAYERS: tuple[tuple[str, TreePath, bool], ...] = (
    *(
        (f"preprocess.{name}.weight", ("preprocess", name, "embedding"), False)
        for name in ("client_action_embed", "history_embed")
    ),
    ("preprocess.mlp.0.weight", ("preprocess", "hidden_1", "kernel"), True),
    ("preprocess.mlp.0.bias", ("preprocess", "hidden_1", "bias"), False),
    ("preprocess.mlp.2.weight", ("preprocess", "hidden_2", "kernel"), True),
    ("preprocess.mlp.2.bias", ("preprocess", "hidden_2", "bias"), False),
    ("output_layer.weight", ("output_layer", "kernel"), True),
    ("output_layer.bias", ("output_layer", "bias"), False),
)
_OWN_HEAD = "output_layer.kernel"
"""Which name tells that a network's weights stand under their own paths."""

_ORDINARY = PPO()
"""Whose views and encoder are those of PyTorch's users."""

_SECOND_PREFIX = "_actor_critic."
"""Tianshou's ``PPOPolicy`` holds the same modules twice and insists on both names."""


_ADAM_GROUP = {
    "lr": 0.0,
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
}
"""What ``torch.optim.Adam`` says of its parameters, beside their numbers."""


@dataclass(frozen=True)
class AdamState:
    """Adam's state, by the same names as the weights."""

    count: int
    mean: Arrays
    mean_of_squares: Arrays


@dataclass(frozen=True)
class Checkpoint:
    """What a ``.pth`` file holds. ``adam`` and counters are missing from a ``policy_*.pth``."""

    weights: Arrays
    adam: AdamState | None = None
    epoch: int = 0
    env_step: int = 0

    @property
    def hidden_size(self) -> int:
        """Width of the hidden layers."""
        own = self.weights.get(f"actor.{_OWN_HEAD}")
        return len(self.weights["actor.preprocess.mlp.0.bias"] if own is None else own)

    @property
    def shared_trunk(self) -> bool:
        """Whether actor and critic have one trunk."""
        return not any(name.startswith("critic.preprocess.") for name in self.weights)


# --- parameters and names -----------------------------------------------------------------------


def expected_shapes(hidden: int, networks: Iterable[str] = NETWORKS) -> dict[str, tuple[int, ...]]:
    """Shape of every weight, by PyTorch's name, in the order of its optimiser."""
    trunk = ((8, 16), (9, 8), (hidden, 417), (hidden,), (hidden, hidden), (hidden,))
    names = [name for name, _, _ in _LAYERS]
    shapes: dict[str, tuple[int, ...]] = {}
    for network in networks:
        n_out = 8 if network == "actor" else 1
        sizes = (*trunk, (n_out, hidden), (n_out,))
        shapes |= {f"{network}.{name}": size for name, size in zip(names, sizes, strict=True)}
    return shapes


def _leaves(params: PyTree) -> dict[TreePath, Any]:
    return traverse_util.flatten_dict(nnx.to_pure_dict(params))


def _has_own_names(network: str, ppo: PPO) -> bool:
    """Whether PyTorch's users have no such network: of another view or encoder."""
    seen = getattr(ppo, f"{network}_view")
    return seen != "history" or ppo.encoder not in ("auto", "history")


def to_named_arrays(params: PyTree, ppo: PPO = _ORDINARY) -> Arrays:
    """Parameters by PyTorch's names, in PyTorch's orientation (out, in), or by their own paths.

    A shared trunk is the actor's alone.
    """
    leaves = {path: np.asarray(leaf) for path, leaf in _leaves(params).items()}
    arrays: Arrays = {}
    for network in NETWORKS:
        if _has_own_names(network, ppo):
            own = {path: leaf for path, leaf in leaves.items() if path[0] == network}
            arrays |= {".".join(map(str, path)): leaf for path, leaf in own.items()}
            continue
        for name, path, transposed in _LAYERS:
            if (leaf := leaves.get((network, *path))) is not None:
                arrays[f"{network}.{name}"] = np.ascontiguousarray(leaf.T) if transposed else leaf
    return arrays


def from_named_arrays(
    arrays: Arrays,
    template: PyTree,
    advice: str = "give the config.yaml that they were trained with as --config",
) -> PyTree:
    """The inverse of :func:`to_named_arrays`, in the structure of ``template``.
    Raises RunError: the networks are others than those of the template; ends with ``advice``."""
    ours = {path: (name, transposed) for name, path, transposed in _LAYERS}
    leaves = _leaves(template)
    for path, like in leaves.items():
        name, transposed = ".".join(map(str, path)), False
        if f"{path[0]}.{_OWN_HEAD}" not in arrays and path[1:] in ours:
            name, transposed = ours[path[1:]]
            name = f"{path[0]}.{name}"
        array = arrays.get(name)
        if array is None or array.shape != like.shape[:: -1 if transposed else 1]:
            raise RunError(
                f"the weights have no {name} as these views, encoder, hidden_size and trunk need "
                f"it; {advice}"
            )
        leaves[path] = jax.device_put(array.T if transposed else array, may_alias=False)
    restored = jax.tree.map(lambda x: x, template)
    nnx.replace_by_pure_dict(restored, traverse_util.unflatten_dict(leaves))
    return restored


# --- writing ------------------------------------------------------------------------------------


def state_dict(weights: Arrays) -> Arrays:
    """The PyTorch state dict; all that PyTorch's users know, under both of Tianshou's names, and a
    shared trunk under those of both networks."""
    if any(f"{network}.{_OWN_HEAD}" in weights for network in NETWORKS):
        return weights
    names = {f"{network}.{name}": f"actor.{name}" for network in NETWORKS for name, *_ in _LAYERS}
    twice = {name: weights.get(name, weights[shared]) for name, shared in names.items()}
    return twice | {_SECOND_PREFIX + name: array for name, array in twice.items()}


def of_state(
    state: TrainState,
    index: int,
    learning_rate: float,
    epoch: int,
    env_step: int,
    ppo: PPO = _ORDINARY,
) -> dict[str, Any]:
    """The contents of a ``checkpoint_*.pth`` of one seed of a training state."""
    adam = adam_state(state.opt_state)
    params, count, mean, mean_of_squares = jax.tree.map(
        lambda x: np.asarray(x[index]), (state.params, adam.count, adam.mu, adam.nu)
    )
    weights = to_named_arrays(params, ppo)
    mean, mean_of_squares = to_named_arrays(mean, ppo), to_named_arrays(mean_of_squares, ppo)
    of_parameters = {
        number: {
            "step": np.array(count, np.float32),
            "exp_avg": mean[name],
            "exp_avg_sq": mean_of_squares[name],
        }
        for number, name in enumerate(weights)
    }
    group = _ADAM_GROUP | {"lr": float(learning_rate), "params": list(of_parameters)}
    return {
        "model": state_dict(weights),
        "optim": {"state": of_parameters, "param_groups": [group]},
        "epoch": int(epoch),
        "env_step": int(env_step),
        "gradient_step": int(count),
    }


def write(path: Path, contents: dict[str, Any]) -> None:
    """Writes a ``.pth`` file, or weights alone as ``.safetensors``, whole or not at all."""
    if path.suffix == SAFETENSORS:
        from safetensors.numpy import save

        once = {k: x for k, x in contents.items() if not k.startswith(_SECOND_PREFIX)}
        write_atomically(path, save(once, {"format": "pt"}))
    else:
        write_atomically(path, torch_format.dumps(contents))


# --- reading ------------------------------------------------------------------------------------


def read(path: Path) -> Checkpoint:
    """Reads a ``policy_*.pth`` or ``checkpoint_*.pth``, ours or PyTorch's, or ``.safetensors``.
    Raises RunError: one line saying what is wrong with the file."""
    try:
        safe = path.suffix == SAFETENSORS
        return _interpret(_read_safetensors(path) if safe else torch_format.load(path))
    except torch_format.WeightsFileError as error:
        raise RunError(str(error)) from None
    except _NotAPolicy as error:
        raise RunError(f"{path} {error}") from None


def _read_safetensors(path: Path) -> Arrays:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return load(path.read_bytes())
    except OSError as error:
        raise RunError(f"{path} can't be read: {error.strerror}") from None
    except (SafetensorError, KeyError, TypeError, ValueError, MemoryError):
        raise RunError(f"{path} is damaged, or no safetensors file of floats") from None


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
    own = [network for network in NETWORKS if f"{network}.{_OWN_HEAD}" in model]
    first = f"actor.{_OWN_HEAD}" if "actor" in own else "actor.preprocess.mlp.0.bias"
    array = _array(model.get(first), first)
    if array.ndim != (2 if "actor" in own else 1) or not array.size:
        raise _NotAPolicy("has an actor without hidden units")
    weights: Arrays = {}
    for network in NETWORKS:
        shapes: dict[str, Any] = expected_shapes(len(array), (network,))
        if network in own:
            names = [name for name in model if str(name).startswith(f"{network}.")]
            head = shapes[f"{network}.output_layer.weight"][::-1]
            shapes = dict.fromkeys(names) | {f"{network}.{_OWN_HEAD}": head}
        weights |= {name: _array(model.get(name), name, shapes[name]) for name in shapes}
    trunk = [name for name, *_ in _LAYERS if name.startswith("preprocess")]
    pairs = [(f"actor.{name}", f"critic.{name}") for name in trunk]
    if not own and all(np.array_equal(weights[one], weights[other]) for one, other in pairs):
        for _, other in pairs:
            del weights[other]
    return weights


def _adam(optim: Any, weights: Arrays) -> AdamState | None:
    state = optim.get("state") if isinstance(optim, dict) else None
    if not isinstance(state, dict):
        raise _NotAPolicy("has an 'optim' that is no optimiser's state dict")
    if not state:  # saved before the first gradient step
        return None
    mean: Arrays = {}
    mean_of_squares: Arrays = {}
    counts = set()
    for number, name in enumerate(weights):
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
    return AdamState(counts.pop(), mean, mean_of_squares)


def _step(value: Any, name: str) -> int:
    """Adam's step count: a number, or a tensor of one element, as PyTorch has it."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.astype(np.float64, copy=False).item() if value.dtype.kind != "b" else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**31:
        raise _NotAPolicy(f"has no usable Adam step count for {name}")
    if value != int(value):
        raise _NotAPolicy(f"has an Adam step count for {name} that is no whole number")
    return int(value)
