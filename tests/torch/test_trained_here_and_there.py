"""Therapists trained by JAX go on in PyTorch, and the other way round.

The JAX side runs in a process of its own, with the Python that JAXTHERAPY_PYTHON names.
"""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from old_stack import Actor, Critic, make_policy

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
HIDDEN = 32
LEARNING_RATE = 3e-4


def jax_python(*arguments: str, folder: Path) -> None:
    python = os.environ.get("JAXTHERAPY_PYTHON", str(ROOT / ".venv" / "bin" / "python"))
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment["PYTHONPATH"] = str(ROOT)
    subprocess.run([python, *arguments], cwd=folder, env=environment, check=True, timeout=600)


def jax_outputs(path: Path) -> dict[str, np.ndarray]:
    target = path.with_suffix(".npz")
    script = str(ROOT / "tests" / "torch" / "jax_side.py")
    jax_python(script, str(path), str(target), folder=path.parent)
    with np.load(target) as outputs:
        return dict(outputs)


@pytest.fixture(scope="module", params=["two trunks", "shared trunk"])
def trained(request, tmp_path_factory):
    """A folder with what a short JAX training exports."""
    folder = tmp_path_factory.mktemp("jax")
    flags = (
        f"--hidden-size {HIDDEN} --total-timesteps 256 --n-envs 4 --n-steps 16 --batch-size 32 "
        "--n-epochs 2 --eval-episodes 4 --max-sessions 10 --device cpu "
        "--output-dir out --log-dir log"
    )
    shared = ["--shared-trunk"] if request.param == "shared trunk" else []
    jax_python("-m", "jaxtherapy.train", *flags.split(), *shared, folder=folder)
    return folder / "out"


def modules(state: dict[str, torch.Tensor], hidden: int) -> torch.nn.ModuleDict:
    networks = torch.nn.ModuleDict({"actor": Actor(hidden), "critic": Critic(hidden)})
    networks.load_state_dict({k: v for k, v in state.items() if not k.startswith("_")}, strict=True)
    return networks


def torch_outputs(networks, outputs) -> tuple[np.ndarray, np.ndarray]:
    obs = {
        "client_action": torch.from_numpy(outputs["client_action"]),
        "session_number": torch.from_numpy(outputs["session_number"]),
        "history": torch.from_numpy(outputs["history"]),
    }
    with torch.no_grad():
        logits = networks["actor"](obs)
        logits = logits[0] if isinstance(logits, tuple) else logits
        probabilities = torch.softmax(logits, -1).numpy()
        return probabilities, networks["critic"](obs).numpy().reshape(-1)


def check_same_outputs(path: Path, state: dict[str, torch.Tensor], hidden: int) -> None:
    outputs = jax_outputs(path)
    probabilities, values = torch_outputs(modules(state, hidden), outputs)
    np.testing.assert_allclose(probabilities, outputs["probabilities"], atol=1e-5)
    np.testing.assert_allclose(values, outputs["values"], atol=1e-5)


@pytest.mark.parametrize("name", ["policy_best.pth", "policy_final.pth"])
def test_policies_load_strictly_and_act_the_same(trained, name):
    state = torch.load(trained / name, weights_only=True)
    check_same_outputs(trained / name, state, HIDDEN)
    policy = make_policy(hidden_size=HIDDEN)
    policy.load_state_dict(state, strict=True)
    for key, tensor in policy.state_dict().items():
        assert torch.equal(tensor, state[key])


def test_adam_continues_in_pytorch_as_it_would_here(trained):
    checkpoint = torch.load(trained / "checkpoint_256.pth", weights_only=True)
    assert set(checkpoint) == {"model", "optim", "epoch", "env_step", "gradient_step"}
    networks = modules(checkpoint["model"], HIDDEN)
    names = [name for name, _ in networks.named_parameters()]
    parameters = dict(networks.named_parameters())
    if len(checkpoint["optim"]["param_groups"][0]["params"]) < len(names):  # a shared trunk
        names = [n for n in names if not n.startswith("critic.preprocess")]
    adam = torch.optim.Adam([parameters[name] for name in names], lr=LEARNING_RATE)
    adam.load_state_dict(checkpoint["optim"])
    assert adam.param_groups[0]["lr"] == LEARNING_RATE
    for name in names:
        parameters[name].grad = torch.sin(parameters[name].detach())
    adam.step()
    expected = jax_outputs(trained / "checkpoint_256.pth")
    for name in names:
        np.testing.assert_allclose(
            parameters[name].detach().numpy(), expected[f"stepped/{name}"], atol=1e-6, err_msg=name
        )


def test_what_tianshou_trained_acts_the_same_here_and_adam_continues(tmp_path):
    recorded = torch.load(DATA / "tianshou_checkpoint.pth", weights_only=True)
    path = tmp_path / "recorded.pth"
    path.write_bytes((DATA / "tianshou_checkpoint.pth").read_bytes())
    check_same_outputs(path, recorded["model"], 64)
    networks = modules(recorded["model"], 64)
    adam = torch.optim.Adam(networks.parameters(), lr=LEARNING_RATE)
    adam.load_state_dict(recorded["optim"])
    for parameter in networks.parameters():
        parameter.grad = torch.sin(parameter.detach())
    adam.step()
    expected = jax_outputs(path)
    for name, parameter in networks.named_parameters():
        np.testing.assert_allclose(
            parameter.detach().numpy(), expected[f"stepped/{name}"], atol=1e-6, err_msg=name
        )


def test_round_trip_through_convert(trained, tmp_path):
    source = trained / "checkpoint_256.pth"
    jax_python("-m", "jaxtherapy.convert", str(source), "imported", folder=tmp_path)
    jax_python("-m", "jaxtherapy.convert", "imported", "back.pth", folder=tmp_path)
    before = torch.load(source, weights_only=True)
    after = torch.load(tmp_path / "back.pth", weights_only=True)
    assert after["gradient_step"] == before["gradient_step"]
    assert (after["epoch"], after["env_step"]) == (before["epoch"], before["env_step"])
    for name, tensor in before["model"].items():
        assert torch.equal(tensor, after["model"][name])
    for number, moments in before["optim"]["state"].items():
        for key, tensor in moments.items():
            assert torch.equal(tensor, after["optim"]["state"][number][key])
