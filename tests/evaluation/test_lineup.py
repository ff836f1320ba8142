"""Therapists from files, names and users' modules; what is wrong is said in one line."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtherapy.client import dyad as dyads
from jaxtherapy.client.params import ClientParams
from jaxtherapy.errors import RunError
from jaxtherapy.evaluation import therapists as lineups
from jaxtherapy.storage import policies as weights
from tests.conftest import DATA
from tests.evaluation.experiments import write_experiment, write_policy


def test_a_folder_means_all_its_seeds(tmp_path):
    folder = write_experiment(tmp_path / "study", seeds=(9, 10, 11))
    (folder / "logs").mkdir()
    (folder / "logs" / "study_seed10_progress.csv").touch()
    found = lineups.find_all([folder], "best")
    assert [policy.seed for policy in found] == [9, 10, 11]
    assert {policy.group for policy in found} == {"study"}
    told = lineups.assemble(found, ["complementary"], [], None)
    assert [each.id for each in told.therapists] == [
        "study/seed_9",
        "study/seed_10",
        "study/seed_11",
        "complementary",
    ]
    assert [len(group.therapists) for group in told.groups] == [3, 1]
    assert [each.log is not None for each in told.therapists] == [False, True, False, False]
    # Seeds share a program: one branch for the policies, one for the baseline.
    assert len(told.branches) == 2 and [p.branch for p in told.players] == [0, 0, 0, 1]


def test_single_files_know_their_experiment(tmp_path):
    folder = write_experiment(tmp_path / "one")
    found = lineups.find_all([folder / "policy_best.pth", folder, folder], "best")
    assert [policy.group for policy in found] == ["one/policy_best", "one", "one #2"]
    assert all(policy.experiment == folder and policy.seed == 42 for policy in found)
    loose = lineups.find_all([DATA / "tianshou_policy.pth"], "best")[0]
    assert (loose.group, loose.experiment, loose.seed) == ("tianshou_policy", None, None)


def test_the_names_of_baselines_are_theirs(tmp_path):
    """A file called complementary.pth is not the reference."""
    for name in ("complementary", "random", "mine"):
        write_policy(tmp_path / f"{name}.pth")
    paths = [tmp_path / f"{name}.pth" for name in ("complementary", "random", "mine")]
    found = lineups.find_all(paths, "best")
    assert [policy.group for policy in found] == ["complementary #2", "random #2", "mine"]
    told = lineups.assemble(found, ["complementary", "random"], [], None)
    ids = ["complementary #2", "random #2", "mine", "complementary", "random"]
    assert [each.id for each in told.therapists] == ids
    assert [group.id for group in told.groups] == ids
    assert told.therapists[told.position("complementary")].kind == "baseline"


@pytest.mark.parametrize(
    ("path", "complaint"),
    [("nowhere", "does not exist"), ("empty", "policy_final.pth does not exist")],
)
def test_nothing_to_find(tmp_path, path, complaint):
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match=complaint):
        lineups.find_all([tmp_path / path], "final")


def test_policies_of_different_widths_answer_from_their_own_weights(tmp_path):
    """Against a forward pass in NumPy from the file, for the most likely act."""
    write_policy(tmp_path / "narrow.pth", hidden_size=4)
    write_policy(tmp_path / "wide.pth", hidden_size=7)
    write_policy(tmp_path / "other.pth", hidden_size=4, seed=3)
    paths = [tmp_path / f"{name}.pth" for name in ("narrow", "wide", "other")]
    told = lineups.assemble(lineups.find_all(paths, "best"), [], [], deterministic=True)
    assert [player.branch for player in told.players] == [0, 1, 0]
    history = np.arange(50, dtype=np.int8) % 9
    params = ClientParams()
    client = dyads.intake(jax.random.key(0), params)
    for path, player in zip(paths, told.players, strict=True):
        therapist = told.branches[player.branch](player.weights)
        arrays = {k[6:]: v for k, v in weights.read(path).weights.items() if k.startswith("actor.")}
        for act in range(8):
            dyad = client.replace(client_act=jnp.int8(act), history=jnp.asarray(history))
            features = np.concatenate(
                [
                    arrays["preprocess.client_action_embed.weight"][act],
                    [0.0],
                    arrays["preprocess.history_embed.weight"][history].ravel(),
                ]
            )
            for layer in ("preprocess.mlp.0", "preprocess.mlp.2"):
                features = np.maximum(
                    0, arrays[f"{layer}.weight"] @ features + arrays[f"{layer}.bias"]
                )
            logits = arrays["output_layer.weight"] @ features + arrays["output_layer.bias"]
            assert therapist(jax.random.key(0), dyad, params) == logits.argmax()


USERS = """
import jax, jax.numpy as jnp
def contrary(key, observation):
    return (observation.client_action + 4) % 8
def omniscient(key, dyad, params):
    return jnp.argmax(dyad.client.u[dyad.client_act])
def tempered(key, observation, temperature=1.0, *, sign=1):
    return (observation.client_action + jnp.int32(temperature)) % 8
def one_argument(key):
    return 0
def floating(key, observation):
    return jnp.float32(1)
def in_python(key, observation):
    return 1 if observation.client_action == 3 else 2


def broken(key, observation):
    return observation.mood
a_number = 3
"""


@pytest.fixture
def users(tmp_path, monkeypatch):
    (tmp_path / "users_own_therapists.py").write_text(USERS)
    monkeypatch.syspath_prepend(tmp_path)
    return "users_own_therapists"


def test_users_functions_of_observation_or_of_everything(users):
    params = jax.tree.map(jnp.asarray, ClientParams())
    dyad = dyads.intake(jax.random.key(0), params)
    contrary = lineups.load_therapist(f"{users}:contrary")
    assert contrary(jax.random.key(0), dyad, params) == (dyad.client_act + 4) % 8
    omniscient = lineups.load_therapist(f"{users}:omniscient")
    assert omniscient(jax.random.key(0), dyad, params) == dyad.client.u[dyad.client_act].argmax()
    tempered = lineups.load_therapist(f"{users}:tempered")  # a default is no third parameter
    assert tempered(jax.random.key(0), dyad, params) == (dyad.client_act + 1) % 8
    told = lineups.assemble([], ["random"], [f"{users}:contrary"], None)
    assert [each.kind for each in told.therapists] == ["custom", "baseline"]
    assert [player.trusted for player in told.players] == [False, True]


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("no_colon", "module:function"),
        ("no_such_module_anywhere:f", "can't be imported: ModuleNotFoundError"),
        ("users_own_therapists:missing", "can't be imported: AttributeError"),
        ("users_own_therapists:a_number", "can't be imported: TypeError"),
        ("users_own_therapists:one_argument", "needs 1 arguments"),
        ("users_own_therapists:floating", "whole number"),
        ("users_own_therapists:broken", "fails: AttributeError"),
        ("users_own_therapists:in_python", "jnp.where instead of if"),
    ],
)
def test_what_is_no_therapist_is_refused(users, name, complaint):
    with pytest.raises(RunError, match=complaint) as caught:
        lineups.load_therapist(name)
    assert "\n" not in str(caught.value)
