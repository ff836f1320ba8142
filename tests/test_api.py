"""The front door: everything in it can be had, does its work, and costs nothing before."""

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import jax
import pytest

import jaxtherapy as jt
from tests.training import tiny

FILE = Path(jt.__file__)
DATA = Path(__file__).parent / "data"
COMMANDS = {"train", "evaluate", "report", "curves", "play", "convert", "coded"}


@pytest.mark.parametrize("name", jt.__all__)
def test_every_name_is_there_and_documented(name):
    assert name in dir(jt)
    assert getattr(jt, name).__doc__
    assert f"`{name}" in jt.__doc__ or name == "__version__"


def test_nothing_else_is_there():
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = jt.Nothing


def test_editors_see_the_same_names_from_the_same_modules():
    block = next(node for node in ast.parse(FILE.read_text()).body if isinstance(node, ast.If))
    seen = {}
    for line in block.body:
        (name,) = line.names
        assert name.asname == name.name
        has = getattr(importlib.import_module(line.module), name.name, None)
        seen[name.name] = has.__name__ if inspect.ismodule(has) else line.module
    assert seen == jt._NAMES


def test_no_name_is_also_a_command():
    assert not COMMANDS & set(jt.__all__)
    for command in COMMANDS:
        assert importlib.import_module(f"jaxtherapy.{command}") is getattr(jt, command)


def loaded_after(code):
    """Names of the modules loaded by a fresh process that ran this."""
    code += "\nimport sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_heavy():
    ours = {name for name in loaded_after("import jaxtherapy") if name.startswith("jaxtherapy")}
    assert ours == {"jaxtherapy", "jaxtherapy.discovery"}


@pytest.mark.parametrize(
    "code",
    [
        "import jaxtherapy",
        "import jaxtherapy as jt; dir(jt)",
        "from jaxtherapy import TrainingConfig, load_config; TrainingConfig()",
        "from jaxtherapy import ConfigError, RunError",
        "import jaxtherapy.storage.torch_format",
    ],
)
def test_settings_and_files_of_weights_need_no_jax(code):
    assert not {"jax", "flax", "numpyro", "matplotlib", "rich"} & loaded_after(code)


def test_training_needs_no_gymnax():
    assert "gymnax" not in loaded_after("import jaxtherapy as jt; jt.Trainer; jt.simulate")


def test_without_gymnax_its_environment_says_in_one_line_what_to_install():
    code = "import sys; sys.modules['gymnax'] = None; import jaxtherapy as jt; jt.TherapyEnv"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last == "ImportError: TherapyEnv needs gymnax: pip install 'jaxtherapy[gymnax]'"


def test_settings_are_written_and_read(tmp_path):
    config = jt.TrainingConfig(threshold=0.6, patterns=("cold_stuck",))
    jt.save_config(config, tmp_path / "config.yaml")
    assert jt.load_config(tmp_path / "config.yaml") == config
    with pytest.raises(jt.ConfigError, match="threshold"):
        jt.TrainingConfig(threshold=2)


def test_clients_are_simulated():
    clients = jt.ClientParams(threshold=0.6, max_sessions=20)
    dyads = jt.simulate(jax.random.key(0), clients, jt.therapists.complementary, 20)
    last, course = jt.simulate_course(
        jax.random.key(0), clients, jt.BASELINES["complementary"], 20, n_sessions=20
    )
    assert course.held.shape == (20, 20)
    assert (dyads.success == last.success).all()


def test_a_therapist_with_a_memory_is_simulated():
    def act(key, sessions, view):
        return sessions + 1, sessions % 8

    therapist = jt.Therapist(act, begin=lambda params: jax.numpy.int32(0))
    clients = jt.client_params(jt.TrainingConfig(max_sessions=9))
    _, course = jt.simulate_course(jax.random.key(1), clients, therapist, 3, n_sessions=9)
    held = int(course.held[:, 0].sum())
    assert course.therapist_act[:held, 0].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 0][:held]


def test_the_environment_is_stepped():
    env = jt.TherapyEnv()
    clients = jt.ClientParams()
    observation, state = env.reset(jax.random.key(0), clients)
    answer = env.step(jax.random.key(1), state, observation.client_action, clients)
    assert answer[0].history.shape == (50,)


def halve(run, row):
    """A callback: a smaller learning rate, then the end."""
    if run.step >= 160:
        return jt.Change(stop="enough")
    return jt.Change(settings={"learning_rate": run.config.learning_rate / 2})


@pytest.fixture(scope="module")
def trained():
    """A tiny training that touches no disk."""
    config = jt.TrainingConfig(**tiny.TINY | {"device": "cpu"})
    return jt.Trainer(config, save=False, callback=halve, loggers=()).run()


def test_a_therapist_is_trained_without_a_folder(trained):
    assert isinstance(trained, jt.TrainingResult)
    assert trained.folder is None
    assert trained.log["step"].tolist() == [80, 160]


def test_a_callback_changes_settings_and_stops(trained):
    assert trained.status == "stopped"
    assert trained.config.learning_rate == jt.TrainingConfig().learning_rate / 2


def test_a_policy_is_loaded_saved_and_simulated(tmp_path):
    policy = jt.load_policy(DATA / "tianshou_policy.pth")
    jt.save_policy(tmp_path / "policy.pth", policy)
    again = jt.load_policy(tmp_path / "policy.pth")
    clients = jt.ClientParams(threshold=0.5, max_sessions=12)
    one, other = (
        jt.simulate(jax.random.key(0), clients, each.therapist(), 8) for each in (policy, again)
    )
    assert (one.time == other.time).all()


def test_therapists_are_compared():
    clients = jt.ClientParams(threshold=0.5, max_sessions=12)
    therapists = {"mine": jt.therapists.mirror, "complementary": "complementary"}
    told = jt.compare_therapists(therapists, clients, n_episodes=20)
    assert [each.id for each in told.therapists] == ["mine", "complementary"]
    assert {each.therapist for each in told.differences} == {"mine"}
