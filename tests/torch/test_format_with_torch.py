"""`jaxtherapy.storage.torch_format` against the real PyTorch and Tianshou, in both directions.

Needs the environment of requirements.txt (how to make and use it stands there).
"""

import io
import re
import shutil
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from old_stack import EMPTY_PLACE, OCTANTS, PLACES, Actor, Critic, make_policy
from tianshou.data import Batch, VectorReplayBuffer
from tianshou.utils.torch_utils import policy_within_training_step

from jaxtherapy.storage.torch_format import WeightsFileError, dumps, load, loads

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
HIDDEN = 64  # of the recorded policy

DTYPES = {
    np.float64: torch.float64,
    np.float32: torch.float32,
    np.float16: torch.float16,
    ml_dtypes.bfloat16: torch.bfloat16,
    np.int64: torch.int64,
    np.int32: torch.int32,
    np.int16: torch.int16,
    np.int8: torch.int8,
    np.uint8: torch.uint8,
    np.bool_: torch.bool,
}
SHAPES = [(), (1,), (5,), (3, 4), (2, 3, 4), (0,), (3, 0, 2), (1, 1, 1, 2)]
types = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: np.dtype(dtype).name)
shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)


def torch_saved(obj: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(obj, buffer, **options)
    return buffer.getvalue()


def torch_loaded(contents: bytes) -> Any:
    return torch.load(io.BytesIO(contents), weights_only=True)


def as_tensors(obj: Any) -> Any:
    """Arrays to tensors on the same memory, wherever they are."""
    if isinstance(obj, np.ndarray):
        return torch.from_numpy(obj)
    if isinstance(obj, dict):
        return type(obj)((key, as_tensors(value)) for key, value in obj.items())
    if isinstance(obj, (list, tuple)):
        return type(obj)(map(as_tensors, obj))
    return obj


def same_bits(tensor: torch.Tensor, array: np.ndarray) -> bool:
    if tensor.dtype != DTYPES[array.dtype.type] or tuple(tensor.shape) != array.shape:
        return False
    tensor = tensor.detach().contiguous().reshape(-1)
    return tensor.view(torch.uint8).numpy().tobytes() == array.tobytes()


def share_storage(first: torch.Tensor, second: torch.Tensor) -> bool:
    return first.untyped_storage().data_ptr() == second.untyped_storage().data_ptr()


def test_neither_jax_nor_flax_is_needed():
    code = "import sys, jaxtherapy.storage.torch_format; "
    code += "print('jax' in sys.modules, 'torch' in sys.modules)"
    output = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert output.stdout.split() == ["False", "False"], output.stderr


# ------------------------------------------------------------------------------- Tensors and views


@types
@shapes
def test_ours_to_torch(dtype, shape):
    array = (np.arange(np.prod(shape, dtype=int)) % 3).reshape(shape).astype(dtype)
    tensor = torch_loaded(dumps({"x": array}))["x"]
    assert same_bits(tensor, array)
    assert not tensor.requires_grad and tensor.is_contiguous()
    assert tensor.stride() == torch.empty(shape).stride()


@types
@shapes
def test_torch_to_ours(dtype, shape):
    count = int(np.prod(shape))
    tensor = (torch.arange(count) % 3).reshape(shape).to(DTYPES[dtype])
    array = loads(torch_saved({"x": tensor}))["x"]
    assert array.dtype == dtype and same_bits(tensor, array)


def test_special_numbers():
    bits = np.array([0x7FC00001, 0xFF800000, 0x80000000, 1], np.uint32)
    array = bits.view(np.float32)
    assert same_bits(torch_loaded(dumps(array)), array)
    assert same_bits(torch.from_numpy(array), loads(torch_saved(torch.from_numpy(array))))


def views(base: Any) -> dict[str, Any]:
    """Views of (4, 6), by indexing that arrays and tensors have in common."""
    return {
        "whole": base,
        "transposed": base.T,
        "rows": base[1:3],
        "every second": base[1:, ::2],
        "column": base[:, 4],
        "scalar": base[2, 3:4].reshape(()),
        "new axis": base[:, None, 1:],
    }


@types
def test_views_ours_to_torch(dtype):
    arrays = views((np.arange(24) % 2).reshape(4, 6).astype(dtype))
    tensors = torch_loaded(dumps({**arrays, "again": arrays["whole"]}))
    for name, array in arrays.items():
        assert same_bits(tensors[name], array), name
        assert share_storage(tensors[name], tensors["whole"]) == (name == "whole"), name
    tensors["whole"].fill_(0)
    assert not tensors["again"].any()


@types
def test_views_torch_to_ours(dtype):
    tensors = views((torch.arange(24) % 2).reshape(4, 6).to(DTYPES[dtype]))
    arrays = loads(torch_saved(tensors))
    for name, array in arrays.items():
        assert same_bits(tensors[name], array), name
        assert np.shares_memory(array, arrays["whole"]), name
    arrays["whole"][...] = 0
    assert not any(array.any() for array in arrays.values())


def test_expanded_overlapping_and_reversed():
    expanded = torch.arange(3.0).expand(1000, 3)
    windows = torch.arange(9.0).unfold(0, 3, 1)
    arrays = loads(torch_saved([expanded, windows, expanded.T]))
    for tensor, array in zip([expanded, windows, expanded.T], arrays, strict=True):
        assert same_bits(tensor, array)
        assert same_bits(torch_loaded(dumps(array)), array)
    backwards = np.arange(6.0)[::-1]
    assert same_bits(torch_loaded(dumps(backwards)), backwards)


def test_containers_and_values_both_ways():
    obj = OrderedDict(
        text="größe ☃ 😀\n",
        empty=["", (), [], {}, OrderedDict()],
        numbers=[0, -1, 255, 256, 65536, 2**31 - 1, -(2**31), 2**31, 2**63, -(2**100), 1e-8],
        flags=(True, False, None),
        by_number={0: {"step": 3}, -5: "five"},
        pairs=[(1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
    )
    for result in (torch_loaded(dumps(obj)), loads(torch_saved(obj))):
        assert result == obj and type(result) is OrderedDict
        assert [type(value) for value in result["flags"]] == [bool, bool, type(None)]


def test_parameters_gradients_and_attributes_are_read():
    module = torch.nn.BatchNorm1d(3)
    arrays = loads(torch_saved(module.state_dict()))
    for name, tensor in module.state_dict().items():
        assert same_bits(tensor, arrays[name])
    parameter = torch.nn.Parameter(torch.arange(3.0))
    arrays = loads(torch_saved([parameter, parameter, torch.ones(2, requires_grad=True)]))
    assert same_bits(parameter, arrays[0]) and arrays[0] is arrays[1]
    assert same_bits(torch.ones(2), arrays[2])


def test_many_tensors_and_long_memos():
    tensors = {f"layer {i}": torch.full((2, 3), float(i)) for i in range(1000)}
    arrays = loads(torch_saved(tensors))
    assert all(same_bits(tensor, arrays[name]) for name, tensor in tensors.items())
    assert all(map(same_bits, torch_loaded(dumps(arrays)).values(), arrays.values()))


def test_records_of_any_size_are_found():
    """Padding, sizes and offsets differ with each."""
    for size in [*range(0, 40), 1000, 4095, 4096, 4097]:
        tensors = [torch.arange(size), torch.ones(1)]
        assert all(map(same_bits, tensors, loads(torch_saved(tensors))))
        assert all(map(same_bits, torch_loaded(dumps(loads(torch_saved(tensors)))), [
            np.arange(size), np.ones(1, np.float32)
        ]))  # fmt: skip


@pytest.mark.parametrize(
    ("obj", "message"),
    [
        (torch.nn.Linear(2, 2), "re-save its state_dict"),
        (torch.zeros(3, dtype=torch.complex64), "ComplexFloatStorage"),
        ({"lr": np.float64(3)}, "numpy"),
        (torch.zeros(3).to_sparse(), "_rebuild_sparse_tensor"),
        ({1, 2}, "set"),
        (b"bytes", "encode"),
    ],
)
def test_what_else_torch_writes_is_refused_by_name(obj, message):
    with pytest.raises(WeightsFileError, match=message):
        loads(torch_saved(obj))


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_other_formats_of_torch_are_refused_by_name():
    old = torch_saved({"a": torch.ones(2)}, _use_new_zipfile_serialization=False)
    with pytest.raises(WeightsFileError, match=r"before 1\.6"):
        loads(old)
    with pytest.raises(WeightsFileError, match="protocol"):
        loads(torch_saved({"a": torch.ones(2)}, pickle_protocol=4))
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), buffer)
    with pytest.raises(WeightsFileError, match="TorchScript"):
        loads(buffer.getvalue())


# ---------------------------------------------------------------------------- Policies of Tianshou


def random_observations(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {
        "client_action": random.integers(0, OCTANTS, count),
        "session_number": random.random((count, 1), np.float32),
        "history": random.integers(0, EMPTY_PLACE + 1, (count, PLACES)),
    }


def outputs(actor: Actor, critic: Critic, observation: Any) -> tuple[np.ndarray, np.ndarray]:
    with torch.no_grad():
        logits, _ = actor(observation)
        return logits.softmax(dim=1).numpy(), critic(observation).numpy()


def renewed(state: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """Arrays as an exporter would make them: each parameter once, under both of its names."""
    single = {
        name: value.numpy().copy() for name, value in state.items() if not name.startswith("_")
    }
    return single | {f"_actor_critic.{name}": array for name, array in single.items()}


def test_recorded_policy_in_torch_gives_the_recorded_outputs():
    state = load(DATA / "tianshou_policy.pth")
    recorded = np.load(DATA / "tianshou_outputs.npz")
    policy = make_policy(HIDDEN)
    assert list(policy.state_dict()) == list(state)  # the keys of the contract, in their order
    policy.load_state_dict(as_tensors(state), strict=True)
    probabilities, values = outputs(policy.actor, policy.critic, recorded)
    np.testing.assert_allclose(probabilities, recorded["action_probabilities"], atol=1e-5)
    np.testing.assert_allclose(values, recorded["value"], atol=1e-5)


def test_recorded_files_are_read_as_torch_reads_them():
    for name in "tianshou_policy.pth", "tianshou_checkpoint.pth":
        ours, theirs = load(DATA / name), torch.load(DATA / name, weights_only=True)
        again = torch_loaded(dumps(ours))

        def compare(array: Any, *tensors: Any) -> None:
            for tensor in tensors:
                if isinstance(array, np.ndarray):
                    assert same_bits(tensor, array)
                elif isinstance(array, dict):
                    assert list(tensor) == list(array) and type(tensor) is type(array)
                elif isinstance(array, (list, tuple)):
                    assert len(tensor) == len(array) and type(tensor) is type(array)
                else:
                    assert tensor == array and type(tensor) is type(array)
            if isinstance(array, (dict, list, tuple)):
                for key in array if isinstance(array, dict) else range(len(array)):
                    compare(array[key], *(tensor[key] for tensor in tensors))

        compare(ours, theirs, again)


@pytest.mark.parametrize("hidden", [HIDDEN, 256])
def test_policy_that_we_write_loads_strictly(hidden):
    torch.manual_seed(1)
    source, target = make_policy(hidden), make_policy(hidden)
    contents = dumps(renewed(source.state_dict()))
    state = torch_loaded(contents)
    for name, tensor in state.items():
        if not name.startswith("_"):
            assert share_storage(tensor, state[f"_actor_critic.{name}"])
    assert sum(tensor.numel() for tensor in source.parameters()) * 4 < len(contents)
    assert len(contents) < sum(tensor.numel() for tensor in source.parameters()) * 4 + 30_000
    missing, unexpected = target.load_state_dict(state, strict=True)
    assert not missing and not unexpected
    observation = random_observations(32)
    for one, other in zip(
        outputs(source.actor, source.critic, observation),
        outputs(target.actor, target.critic, observation),
        strict=True,
    ):
        assert (one == other).all()


def test_policy_that_tianshou_writes_shares_storage_here():
    policy = make_policy(HIDDEN)
    state = loads(torch_saved(policy.state_dict()))
    for name in policy.state_dict():
        if not name.startswith("_"):
            assert np.shares_memory(state[name], state[f"_actor_critic.{name}"]), name


# -------------------------------------------------------------------------------- Adam and training


def train_step(policy: Any, seed: int) -> None:
    observation = random_observations(16, seed)
    logits, _ = policy.actor(observation)
    loss = logits.logsumexp(dim=1).mean() + policy.critic(observation).pow(2).mean()
    policy.optim.zero_grad()
    loss.backward()
    policy.optim.step()


def parameters_of(policy: Any) -> np.ndarray:
    return torch.cat([tensor.detach().flatten() for tensor in policy.parameters()]).numpy()


def test_recorded_checkpoint_continues_in_torch():
    path = DATA / "tianshou_checkpoint.pth"
    checkpoints = {
        "torch": torch.load(path, weights_only=True),
        "ours": as_tensors(load(path)),
        "written by us": torch_loaded(dumps(load(path))),
    }
    results = {}
    for name, checkpoint in checkpoints.items():
        policy = make_policy(HIDDEN)
        policy.load_state_dict(checkpoint["model"], strict=True)
        policy.optim.load_state_dict(checkpoint["optim"])
        before = parameters_of(policy)
        for seed in range(3):
            train_step(policy, seed)
        assert policy.optim.state_dict()["state"][0]["step"] == 35
        results[name] = parameters_of(policy)
        assert 1e-5 < np.abs(results[name] - before).max() < 1e-2
    assert (results["torch"] == results["ours"]).all()
    assert (results["torch"] == results["written by us"]).all()


def test_checkpoint_of_arrays_alone_continues_as_if_never_stopped():
    """As an exporter that knows no PyTorch makes it."""
    torch.manual_seed(2)
    policy, resumed = make_policy(HIDDEN), make_policy(HIDDEN)
    for seed in range(5):
        train_step(policy, seed)
    moments = policy.optim.state_dict()["state"]
    checkpoint = {
        "model": renewed(policy.state_dict()),
        "optim": {
            "state": {
                number: {
                    "step": np.asarray(5, np.float32),
                    "exp_avg": moments[number]["exp_avg"].numpy().copy(),
                    "exp_avg_sq": moments[number]["exp_avg_sq"].numpy().copy(),
                }
                for number in range(16)
            },
            "param_groups": policy.optim.state_dict()["param_groups"],
        },
        "epoch": 1,
        "env_step": 512,
        "gradient_step": 5,
    }
    result = torch_loaded(dumps(checkpoint))
    resumed.load_state_dict(result["model"], strict=True)
    resumed.optim.load_state_dict(result["optim"])
    train_step(policy, 5)
    train_step(resumed, 5)
    assert (parameters_of(policy) == parameters_of(resumed)).all()


def test_the_old_stack_learns():
    """One update of Tianshou's PPO over random experience runs and changes every parameter."""
    torch.manual_seed(3)
    random = np.random.default_rng(3)
    policy = make_policy(HIDDEN)
    assert sum(tensor.numel() for tensor in make_policy(256).actor.parameters()) == 175_056
    buffer = VectorReplayBuffer(total_size=64, buffer_num=4)
    for step in range(16):
        now, later = random_observations(4, step), random_observations(4, step + 1)
        ended = np.full(4, step % 8 == 7)
        buffer.add(
            Batch(
                obs=Batch(now),
                obs_next=Batch(later),
                act=random.integers(0, OCTANTS, 4),
                rew=random.normal(size=4),
                terminated=ended,
                truncated=np.zeros(4, bool),
                done=ended,
                info=[{}] * 4,
            ),
            buffer_ids=np.arange(4),
        )
    before = {name: tensor.clone() for name, tensor in policy.state_dict().items()}
    policy.train()
    with policy_within_training_step(policy):
        policy.update(0, buffer, batch_size=16, repeat=2)
    for name, tensor in policy.state_dict().items():
        assert not torch.equal(tensor, before[name]), name
    assert policy.optim.state_dict()["state"][0]["step"] == 8
    assert (torch_loaded(dumps(loads(torch_saved(policy.optim.state_dict()))))["state"][0]["step"]
            == 8)  # fmt: skip


def test_what_the_readme_shows_loads_a_policy(tmp_path, monkeypatch):
    readme = (ROOT / "README.md").read_text()
    (code,) = re.findall(r"^```python\n(policy = torch\.load.*?)^```$", readme, re.M | re.S)
    (tmp_path / "models/quickstart").mkdir(parents=True)
    shutil.copy(DATA / "tianshou_policy.pth", tmp_path / "models/quickstart/policy_best.pth")
    monkeypatch.chdir(tmp_path)
    ppo_policy = make_policy(HIDDEN)
    exec(code, {"torch": torch, "ppo_policy": ppo_policy})
    wanted = load(DATA / "tianshou_policy.pth")["actor.output_layer.bias"]
    np.testing.assert_array_equal(ppo_policy.actor.output_layer.bias.detach(), wanted)
