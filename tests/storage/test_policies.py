"""Names, orientation and sharing of the exported weights, and what is refused on reading."""

import warnings
from types import SimpleNamespace

import jax
import numpy as np
import optax
import pytest

from jaxtherapy.config import load_config
from jaxtherapy.config.settings import PPO
from jaxtherapy.errors import RunError
from jaxtherapy.networks.actor_critic import param_shapes
from jaxtherapy.ppo.types import make_settings
from jaxtherapy.storage import policies as weights
from jaxtherapy.storage import torch_format as torch_weights
from tests.ppo.small import init

H = 8
SHAPES = {
    "preprocess.client_action_embed.weight": (8, 16),
    "preprocess.history_embed.weight": (9, 8),
    "preprocess.mlp.0.weight": (H, 417),
    "preprocess.mlp.0.bias": (H,),
    "preprocess.mlp.2.weight": (H, H),
    "preprocess.mlp.2.bias": (H,),
    "output_layer.weight": None,
    "output_layer.bias": None,
}


@pytest.fixture(scope="module", params=[False, True], ids=["two trunks", "shared trunk"])
def state(request):
    ppo = PPO(n_envs=1, n_steps=1, hidden_size=H, shared_trunk=request.param)
    settings = make_settings(load_config(None))
    return jax.tree.map(lambda x: x[None], init(ppo, settings, np.int32(1)))


def test_state_dict_has_the_contracts_keys_shapes_and_twins(state):
    arrays = weights.to_named_arrays(jax.tree.map(lambda x: x[0], state.params))
    contents = weights.state_dict(arrays)
    names = [f"{network}.{name}" for network in ("actor", "critic") for name in SHAPES]
    assert list(contents) == names + [f"_actor_critic.{name}" for name in names]
    for network, n_out in (("actor", 8), ("critic", 1)):
        for name, shape in SHAPES.items():
            expected = shape or ((n_out, H) if name.endswith("weight") else (n_out,))
            assert contents[f"{network}.{name}"].shape == expected
            assert contents[f"{network}.{name}"].dtype == np.float32
            twin = contents[f"_actor_critic.{network}.{name}"]
            assert twin is contents[f"{network}.{name}"]


def test_named_arrays_come_back(state):
    params = jax.tree.map(lambda x: x[0], state.params)
    back = weights.from_named_arrays(weights.to_named_arrays(params), params)
    assert jax.tree.structure(back) == jax.tree.structure(params)
    jax.tree.map(np.testing.assert_array_equal, back, params)


def test_checkpoint_numbers_parameters_actor_then_critic(state, tmp_path):
    contents = weights.of_state(state, 0, 1e-3, epoch=3, env_step=7)
    shared = (
        contents["model"]["critic.preprocess.mlp.0.bias"]
        is (contents["model"]["actor.preprocess.mlp.0.bias"])
    )
    (group,) = contents["optim"]["param_groups"]
    assert group["params"] == list(range(10 if shared else 16))
    first, last = (
        contents["optim"]["state"][0],
        contents["optim"]["state"][len(group["params"]) - 1],
    )
    assert first["exp_avg"].shape == (8, 16) and last["exp_avg"].shape == (1,)
    weights.write(tmp_path / "c.pth", contents)
    read = weights.read(tmp_path / "c.pth")
    assert (read.epoch, read.env_step, read.hidden_size) == (3, 7, H)
    assert read.shared_trunk == shared
    assert read.adam.count == 0


def damage(contents, path, value):
    *parents, last = path
    for key in parents:
        contents = contents[key]
    if value is None:
        del contents[last]
    else:
        contents[last] = value


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (["model", "actor.output_layer.bias"], None, "no tensor 'actor.output_layer.bias'"),
        (
            ["model", "actor.output_layer.bias"],
            np.zeros(9, np.float32),
            "shape (9,), needed is (8,)",
        ),
        (["model", "actor.output_layer.bias"], np.zeros(8, np.int64), "needed is a float type"),
        (["model", "actor.output_layer.bias"], np.full(8, np.nan, np.float32), "not finite"),
        (["model", "actor.preprocess.mlp.0.bias"], np.zeros((2, 2), np.float32), "hidden units"),
        (["model"], [1, 2], "no state dict under 'model'"),
        (["epoch"], "many", "no usable number under 'epoch'"),
        (["env_step"], -1, "no usable number under 'env_step'"),
        (["epoch"], 2**31, "no usable number under 'epoch'"),
        (["epoch"], True, "no usable number under 'epoch'"),
        (["model", "actor.output_layer.bias"], np.full(8, 1e300), "not finite"),
        (["optim"], {"state": 3}, "no optimiser's state dict"),
        (["optim", "state", 2], None, "no Adam moments"),
        (["optim", "state", 0, "exp_avg"], np.zeros(3, np.float32), "exp_avg of actor"),
        (["optim", "state", 0, "exp_avg_sq"], -np.ones((8, 16), np.float32), "negative"),
        (["optim", "state", 0, "step"], np.array(5, np.float32), "step counts"),
        *(
            (["optim", "state", 0, "step"], value, "no usable Adam step count for actor.prep")
            for value in ("abc", {}, [1, [2]], [], (), True, -1, 2**31, 2**70, float("nan"))
        ),
        *(
            (["optim", "state", 0, "step"], np.array(value), "no usable Adam step count for actor")
            for value in (True, [], [0.0, 0.0], np.inf, -1.0, 2**40)
        ),
        (["optim", "state", 0, "step"], np.array(2.5), "no whole number"),
        (["optim", "state", 0, "step"], 2.5, "no whole number"),
        (["optim", "state", 0, "step"], None, "no usable Adam step count"),
    ],
)
def test_files_that_are_no_therapist_are_refused_with_one_line(
    state, tmp_path, path, value, expected
):
    contents = torch_weights.loads(
        torch_weights.dumps(weights.of_state(state, 0, 1e-3, epoch=1, env_step=1))
    )
    damage(contents, path, value)
    weights.write(tmp_path / "bad.pth", contents)
    with pytest.raises(RunError) as error, warnings.catch_warnings():
        warnings.simplefilter("error")  # a second line
        weights.read(tmp_path / "bad.pth")
    assert expected in str(error.value) and "bad.pth" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_step_count_of_none_is_refused(state, tmp_path):
    contents = weights.of_state(state, 0, 1e-3, epoch=1, env_step=1)
    for entry in contents["optim"]["state"].values():
        entry["step"] = None
    weights.write(tmp_path / "bad.pth", contents)
    with pytest.raises(RunError, match="no usable Adam step count"):
        weights.read(tmp_path / "bad.pth")


@pytest.mark.parametrize(
    "step", [7, 7.0, np.array(7), np.array([7]), np.array(7.0, np.float32), np.array([[7.0]])]
)
def test_step_counts_of_any_real_type(state, tmp_path, step):
    contents = weights.of_state(state, 0, 1e-3, epoch=2**31 - 1, env_step=1)
    for entry in contents["optim"]["state"].values():
        entry["step"] = step
    weights.write(tmp_path / "c.pth", contents)
    read = weights.read(tmp_path / "c.pth")
    assert (read.adam.count, read.epoch) == (7, 2**31 - 1)


def test_half_and_double_precision_are_read_as_float32(state, tmp_path):
    model = weights.of_state(state, 0, 1e-3, epoch=1, env_step=1)["model"]
    for dtype in (np.float16, np.float64):
        weights.write(tmp_path / "p.pth", {k: v.astype(dtype) for k, v in model.items()})
        read = weights.read(tmp_path / "p.pth")
        for name, array in read.weights.items():
            assert array.dtype == np.float32
            np.testing.assert_array_equal(array, model[name].astype(dtype).astype(np.float32))


# --- other views and encoders -------------------------------------------------------------------


@pytest.fixture
def everything(monkeypatch):
    """A view of the client's hidden state, which only a simulation knows."""
    from jaxtherapy.envs.observations import VIEWS, View

    def see(dyad, params):
        return {"rs": dyad.client.rs, "memory": dyad.client.memory}

    view = View(see)
    get = type(VIEWS).__getitem__
    monkeypatch.setattr(
        type(VIEWS),
        "__getitem__",
        lambda all, name: view if name == "everything" else get(all, name),
    )


def ppo_with(**changes):
    """Past the check of names: the view is in no file."""
    ppo = PPO(n_envs=1, n_steps=1, hidden_size=H)
    for name, value in changes.items():
        object.__setattr__(ppo, name, value)
    return ppo


OTHERS = {
    "privileged critic": {"critic_view": "everything"},
    "privileged actor": {"actor_view": "everything"},
    "both": {"actor_view": "everything", "critic_view": "everything"},
    "both, a shared trunk": {
        "actor_view": "everything",
        "critic_view": "everything",
        "shared_trunk": True,
    },
    "another encoder": {"encoder": "flat"},
}


@pytest.mark.parametrize("changes", OTHERS.values(), ids=OTHERS.keys())
def test_other_networks_stand_under_their_own_paths_and_come_back(everything, tmp_path, changes):
    ppo = ppo_with(**changes)
    rng = np.random.default_rng(0)
    shapes = param_shapes(ppo)
    params, mu, nu = (
        jax.tree.map(lambda x: np.float32(rng.uniform(1, 2, x.shape)), shapes) for _ in range(3)
    )
    learnt = params, (optax.ScaleByAdamState(np.int32(1), mu, nu),)
    learnt = jax.tree.map(lambda x: x[None], learnt)
    state = SimpleNamespace(params=learnt[0], opt_state=learnt[1])
    contents = weights.of_state(state, 0, 1e-3, epoch=3, env_step=7, ppo=ppo)
    ordinary = weights.expected_shapes(H)
    for network in ("actor", "critic"):
        is_own = changes.get(f"{network}_view", "history") != "history" or "encoder" in changes
        names = {name for name in contents["model"] if name.startswith(network)}
        assert (f"{network}.output_layer.kernel" in names) == is_own
        assert (names <= ordinary.keys()) != is_own
    # The old stack's load_state_dict is strict: it refuses what lacks a name, and any other name.
    assert not set(contents["model"]) >= ordinary.keys()
    weights.write(tmp_path / "c.pth", contents)
    read = weights.read(tmp_path / "c.pth")
    assert read.hidden_size == H and read.shared_trunk == changes.get("shared_trunk", False)
    assert (read.epoch, read.env_step, read.adam.count) == (3, 7, 1)
    for named, expected in (
        (read.weights, params),
        (read.adam.mean, mu),
        (read.adam.mean_of_squares, nu),
    ):
        back = weights.from_named_arrays(named, params)
        jax.tree.map(np.testing.assert_array_equal, back, expected)


def test_another_view_with_the_ordinary_encoder_is_no_ordinary_network(state):
    params = jax.tree.map(lambda x: x[0], state.params)
    other = ppo_with(actor_view="everything", encoder="history")
    assert "actor.output_layer.kernel" in weights.to_named_arrays(params, other)


def test_weights_of_other_networks_are_refused_with_one_line(state):
    params = jax.tree.map(lambda x: x[0], state.params)
    arrays = weights.to_named_arrays(params, ppo_with(actor_view="everything"))
    del arrays["actor.preprocess.hidden_1.kernel"]
    with pytest.raises(RunError, match=r"no actor\.preprocess\.hidden_1\.kernel .*config\.yaml"):
        weights.from_named_arrays(arrays, params)
