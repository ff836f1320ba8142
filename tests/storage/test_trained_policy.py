"""A trained therapist, loaded, saved and asked."""

import importlib
import shutil

import jax
import numpy as np
import pytest

from jaxtherapy.client.dyad import intake
from jaxtherapy.client.params import ClientParams
from jaxtherapy.client.simulation import simulate
from jaxtherapy.errors import RunError
from jaxtherapy.storage import trained_policy as weights
from tests.training import tiny

H = tiny.TINY["hidden_size"]


def test_a_policy_comes_back_and_plays(undisturbed, tmp_path):
    folder = undisturbed / "models/tiny"
    policy = weights.load_policy(folder)
    assert policy.experiment == folder and policy.ppo.hidden_size == H
    same = weights.load_policy(str(folder / "policy_best.pth"))
    assert same.ppo == policy.ppo
    weights.save_policy(tmp_path / "copy.pth", policy)
    assert (tmp_path / "copy.pth").read_bytes() == (folder / "policy_best.pth").read_bytes()
    alone = weights.load_policy(tmp_path / "copy.pth")
    assert alone.experiment is None
    key, clients = jax.random.key(1), ClientParams(max_sessions=5)
    ended = [
        simulate(key, clients, each.therapist(deterministic=True), 20) for each in (policy, alone)
    ]
    jax.tree.map(np.testing.assert_array_equal, *[jax.tree.leaves(each.client) for each in ended])


def test_a_policy_says_what_its_experiment_does(undisturbed, tmp_path):
    shutil.copytree(undisturbed / "models/tiny", tmp_path / "a")
    path = tmp_path / "a/config.yaml"
    text = path.read_text().replace("eval_deterministic: false", "eval_deterministic: true")
    path.write_text(text)
    assert weights.load_policy(tmp_path / "a").ppo.eval_deterministic
    path.write_text("of: another program\n")
    assert not weights.load_policy(tmp_path / "a").ppo.eval_deterministic


def test_what_is_no_policy_is_refused_with_one_line(undisturbed, tmp_path):
    for seed in (3, 4):
        shutil.copytree(undisturbed / "models/tiny", tmp_path / f"two/seed_{seed}")
    cases = {"two": "2 seeds; choose one, such as", "none.pth": "does not exist", "": "not exist"}
    for name, expected in cases.items():
        with pytest.raises(RunError, match=expected) as error:
            weights.load_policy(tmp_path / name)
        assert "\n" not in str(error.value)


def test_a_policy_is_a_function_and_its_memory(undisturbed):
    policy, clients = weights.load_policy(undisturbed / "models/tiny"), ClientParams(max_sessions=5)
    dyad = intake(jax.random.key(0), clients)
    memory = policy.begin(clients)
    memory, act = policy.act(jax.random.key(1), memory, policy.see(dyad, clients))
    assert 0 <= act < 8
    one, other = (
        simulate(jax.random.key(1), clients, each, 20) for each in (policy, policy.therapist())
    )
    np.testing.assert_array_equal(one.time, other.time)


def test_weights_are_read_and_written_as_safetensors(undisturbed, tmp_path):
    safetensors = importlib.import_module("safetensors.numpy")
    policy = weights.load_policy(undisturbed / "models/tiny")
    weights.save_policy(tmp_path / "policy.safetensors", policy)
    by_others = safetensors.load_file(tmp_path / "policy.safetensors")
    again = weights.load_policy(tmp_path / "policy.safetensors").weights
    assert by_others.keys() == again.keys() == policy.weights.keys()
    for name, array in policy.weights.items():
        np.testing.assert_array_equal(by_others[name], array)
        np.testing.assert_array_equal(again[name], array)


@pytest.mark.parametrize("damage", [lambda b: b[:-9], lambda b: b"\xff" * 64, lambda b: b""])
def test_damaged_safetensors_are_refused_with_one_line(undisturbed, tmp_path, damage):
    path = tmp_path / "policy.safetensors"
    weights.save_policy(path, weights.load_policy(undisturbed / "models/tiny"))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(RunError, match="is damaged, or no safetensors file of floats") as error:
        weights.load_policy(path)
    assert "\n" not in str(error.value)
