"""Therapists from files, names and users' modules; what is wrong is said in one line."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxtherapy.client import dyad as dyads
from jaxtherapy.client.params import ClientParams
from jaxtherapy.config.settings import PPO
from jaxtherapy.errors import RunError
from jaxtherapy.evaluation import candidates, policies
from jaxtherapy.networks.actor_critic import make_networks
from jaxtherapy.storage import policies as weights
from tests.conftest import DATA
from tests.evaluation.experiments import write_experiment, write_log, write_policy


def test_a_folder_means_all_its_seeds(tmp_path):
    folder = write_experiment(tmp_path / "study", seeds=(9, 10, 11))
    write_log(folder / "logs" / "study_seed10_progress.csv")
    found = policies.find_all([folder], "best")
    assert [policy.seed for policy in found] == [9, 10, 11]
    assert {policy.group for policy in found} == {"study"}
    told = candidates.assemble(found, ["complementary"], [], None)
    assert [each.id for each in told.therapists] == [
        "study/seed_9",
        "study/seed_10",
        "study/seed_11",
        "complementary",
    ]
    assert [len(group.therapists) for group in told.groups] == [3, 1]
    assert [each.log is not None for each in told.therapists] == [False, True, False, False]
    # Seeds share a program: one family of the policies, one of the baseline.
    families = [each.family for each in told.candidates]
    assert [each.family for each in told.everyone] == [*families, told.untrained]
    assert families[0] is families[1] is families[2] and families[3] is told.untrained


def test_single_files_know_their_experiment(tmp_path):
    folder = write_experiment(tmp_path / "one")
    found = policies.find_all([folder / "policy_best.pth", folder, folder], "best")
    assert [policy.group for policy in found] == ["one/policy_best", "one", "one #2"]
    assert all(policy.experiment == folder and policy.seed == 42 for policy in found)
    loose = policies.find_all([DATA / "tianshou_policy.pth"], "best")[0]
    assert (loose.group, loose.experiment, loose.seed) == ("tianshou_policy", None, None)


def test_the_names_of_baselines_are_theirs(tmp_path):
    """A file called complementary.pth is not the reference."""
    for name in ("complementary", "random", "mine"):
        write_policy(tmp_path / f"{name}.pth")
    paths = [tmp_path / f"{name}.pth" for name in ("complementary", "random", "mine")]
    found = policies.find_all(paths, "best", candidates.BASELINES)
    assert [policy.group for policy in found] == ["complementary #2", "random #2", "mine"]
    told = candidates.assemble(found, ["complementary", "random"], [], None)
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
        policies.find_all([tmp_path / path], "final")


def answer(therapist, dyad, params):
    """Its first act."""
    view = therapist.see(dyad, params)
    return therapist.act(jax.random.key(0), therapist.begin(params), view)[1]


def test_policies_of_different_widths_answer_from_their_own_weights(tmp_path):
    """Against a forward pass in NumPy from the file, for the most likely act."""
    write_policy(tmp_path / "narrow.pth", hidden_size=4)
    write_policy(tmp_path / "wide.pth", hidden_size=7)
    write_policy(tmp_path / "other.pth", hidden_size=4, seed=3)
    paths = [tmp_path / f"{name}.pth" for name in ("narrow", "wide", "other")]
    told = candidates.assemble(policies.find_all(paths, "best"), [], [], deterministic=True)
    families = [each.family for each in told.candidates]
    assert families[0] is families[2] is not families[1]
    history = np.arange(50, dtype=np.int8) % 9
    params = ClientParams()
    client = dyads.intake(jax.random.key(0), params)
    for path, each in zip(paths, told.candidates, strict=True):
        therapist = each.family(each.weights)
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
            assert answer(therapist, dyad, params) == logits.argmax()


USERS = """
import jax, jax.numpy as jnp, numpy as np, sys
from jaxtherapy.client import Therapist
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
def calls_back(key, observation):
    def fails(act):
        raise ZeroDivisionError("my own fault")
    shape = jax.ShapeDtypeStruct((), jnp.int32)
    return jax.pure_callback(fails, shape, observation.client_action, vmap_method="sequential")
def calls_back_alone(key, observation):
    shape = jax.ShapeDtypeStruct((), jnp.int32)
    return jax.pure_callback(lambda act: act, shape, observation.client_action)
def exits(key, observation):
    sys.exit(3)
def counting(key, memory, observation):
    return memory + 1, (memory + observation.client_action) % 8
with_memory = Therapist(counting, begin=lambda params: jnp.int32(5))
growing = Therapist(lambda key, memory, view: (jnp.append(memory, 1), 2), lambda _: jnp.zeros(1))
"""


@pytest.fixture
def users(tmp_path, monkeypatch):
    (tmp_path / "users_own_therapists.py").write_text(USERS)
    monkeypatch.syspath_prepend(tmp_path)
    return "users_own_therapists"


def test_users_functions_of_observation_or_of_everything(users):
    params = jax.tree.map(jnp.asarray, ClientParams())
    dyad = dyads.intake(jax.random.key(0), params)
    contrary = candidates.load_therapist(f"{users}:contrary")
    assert answer(contrary, dyad, params) == (dyad.client_act + 4) % 8
    omniscient = candidates.load_therapist(f"{users}:omniscient")
    assert answer(omniscient, dyad, params) == dyad.client.u[dyad.client_act].argmax()
    tempered = candidates.load_therapist(f"{users}:tempered")  # a default is no third parameter
    assert answer(tempered, dyad, params) == (dyad.client_act + 1) % 8
    told = candidates.assemble([], ["random"], [f"{users}:contrary"], None)
    assert [each.kind for each in told.therapists] == ["custom", "baseline"]
    assert [each.trusted for each in told.candidates] == [False, True]


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
        ("users_own_therapists:calls_back", "fails: ZeroDivisionError: my own fault"),
        ("users_own_therapists:calls_back_alone", "fails: NotImplementedError"),
        ("users_own_therapists:exits", "fails: SystemExit: 3"),
        ("users_own_therapists:growing", "memory in the shapes and types it had"),
    ],
)
def test_what_is_no_therapist_is_refused(users, capfd, name, complaint):
    with pytest.raises(RunError, match=complaint) as caught:
        candidates.load_therapist(name)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_users_therapists_may_have_a_memory(users):
    params = jax.tree.map(jnp.asarray, ClientParams())
    dyad = dyads.intake(jax.random.key(0), params)
    therapist = candidates.load_therapist(f"{users}:with_memory")
    assert answer(therapist, dyad, params) == (dyad.client_act + 5) % 8


def test_a_shared_trunk_is_read_as_one(tmp_path):
    params = nnx.state(make_networks(PPO(hidden_size=4, shared_trunk=True), jax.random.key(0)))
    weights.write(tmp_path / "one.pth", weights.state_dict(weights.to_named_arrays(params)))
    ppo, read = policies.read_policy(tmp_path / "one.pth", None)
    assert ppo.shared_trunk
    jax.tree.map(np.testing.assert_array_equal, read, params)


def test_weights_that_overflow_are_refused(tmp_path):
    """Finite, every one of them; what they answer is not."""
    write_policy(tmp_path / "huge.pth")
    arrays = weights.read(tmp_path / "huge.pth").weights
    arrays["actor.preprocess.mlp.0.weight"] = np.full((4, 417), 1e30, np.float32)
    arrays["actor.preprocess.mlp.2.weight"] = np.full((4, 4), 1e30, np.float32)
    weights.write(tmp_path / "huge.pth", weights.state_dict(arrays))
    with pytest.raises(RunError, match="answers overflow"):
        policies.read_policy(tmp_path / "huge.pth", None)


def test_names_that_cannot_be_shown_are_refused(tmp_path):
    write_policy(tmp_path / "a\x1b[31mb.pth")
    with pytest.raises(RunError, match="can't be shown; rename it") as caught:
        policies.find_all([tmp_path / "a\x1b[31mb.pth"], "best")
    assert str(caught.value).isprintable()


def test_the_log_is_that_of_the_experiment_itself(tmp_path, monkeypatch):
    """Not the one of an experiment of the same name where the command is run."""
    there = tmp_path / "elsewhere/models/a"
    write_experiment(there, output_dir="models/{experiment_name}", log_dir="logs/a")
    (there / "checkpoint_512.pth").touch()
    own, other = (tmp_path / place / "logs/a/a_progress.csv" for place in ("elsewhere", "here"))
    for log, step in ((own, 512), (other, 99)):
        write_log(log, [step])
    monkeypatch.chdir(tmp_path / "here")
    assert policies.find_policies(there, "best")[0].log == str(own)
    own.unlink()
    assert policies.find_policies(there, "best")[0].log is None
    write_log(other, [512])
    assert policies.find_policies(there, "best")[0].log is not None
