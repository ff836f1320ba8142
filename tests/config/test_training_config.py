"""A complete training's settings: defaults, what must fit together, the files of ``configs/``."""

import dataclasses

import pytest

from jaxtherapy.config import ConfigError, TrainingConfig, get_default_config, load_config

CONTRACT_DEFAULTS = {
    "experiment_name": "therapy_ppo",
    "output_dir": "models/{experiment_name}",
    "resume_from": None,
    "patterns": ("cold_stuck", "dominant_stuck", "submissive_stuck", "mixed_random", "cold_warm"),
    "mechanism": "frequency_amplifier",
    "threshold": 0.9,
    "max_sessions": 100,
    "entropy": 0.5,
    "total_timesteps": 500_000,
    "n_envs": 8,
    "seed": 42,
    "learning_rate": 3e-4,
    "batch_size": 64,
    "n_epochs": 10,
    "gamma": 0.99,
    "gae_lambda": 0.95,
    "clip_range": 0.2,
    "ent_coef": 0.01,
    "hidden_size": 256,
    "log_dir": "logs/{experiment_name}",
    "save_freq": 10_000,
    "eval_freq": 5_000,
    "eval_episodes": 100,
    "bond_offset": 0.7,
    "history_weight": 1.0,
    "bond_power": 1.0,
    "smoothing": 0.1,
    "enable_parataxic": True,
    "baseline_accuracy": 0.5,
    "recency_ratio": 2.0,
    "vf_coef": 0.5,
    "max_grad_norm": 0.5,
    "n_seeds": 1,
    "device": "auto",
    "shared_trunk": False,
    "eval_deterministic": False,
    "anticomplement": "pool",
}


@pytest.mark.parametrize("name", CONTRACT_DEFAULTS)
def test_default(name):
    assert getattr(get_default_config(), name) == CONTRACT_DEFAULTS[name]


def test_null_means_what_the_contract_says():
    config = load_config(None, {"bond_alpha": None, "n_steps": None, "max_grad_norm": None})
    assert config.rollout_length == config.batch_size == 64


def test_one_trunk_has_one_view():
    load_config(None, {"shared_trunk": True, "encoder": "history"})
    with pytest.raises(ConfigError, match="shared_trunk needs one view, but actor_view is history"):
        load_config(None, {"shared_trunk": True, "critic_view": "omniscient"})


@pytest.mark.parametrize("name", ["output_dir", "log_dir", "resume_from"])
def test_every_path_may_begin_at_home(name, monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    config = load_config(None, {name: "~/here", "experiment_name": "~"})
    paths = {"output_dir": config.output_path, "log_dir": config.log_path}
    paths["resume_from"] = config.resume_from
    assert str(paths[name]) == "/home/somebody/here"


def test_what_stands_for_the_name_is_no_home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    config = load_config(None, {"output_dir": "{experiment_name}", "experiment_name": "~"})
    assert str(config.output_path) == "~"


def test_every_configuration_of_the_repository_loads(request):
    folder = request.config.rootpath / "configs"
    names = {path.stem for path in folder.glob("*.yaml")}
    assert names >= {
        "quickstart",
        "first_steps",
        "default",
        "test_training",
        "example_experiment",
        "experiment",
        "multi_pattern",
        "rl_vs_complementary",
    }
    for name in names:
        assert load_config(folder / f"{name}.yaml").experiment_name
    defaults = dataclasses.asdict(load_config(folder / "default.yaml"))
    assert defaults == dataclasses.asdict(TrainingConfig())


def test_named_configurations_say_what_they_promise(request):
    folder = request.config.rootpath / "configs"
    test = load_config(folder / "test_training.yaml")
    assert (test.total_timesteps, test.n_envs, test.hidden_size) == (10_000, 2, 128)
    assert (test.batch_size, test.n_epochs, test.max_sessions) == (32, 5, 50)
    rl = load_config(folder / "rl_vs_complementary.yaml")
    assert (rl.patterns, rl.threshold, rl.entropy) == (("cold_stuck",), 0.8, 0.1)
    assert (rl.bond_alpha, rl.bond_offset, rl.baseline_accuracy) == (5, 0.7, 0.5)
    assert rl.total_timesteps == 50_000_000
    quick = load_config(folder / "quickstart.yaml")
    assert (quick.patterns, quick.entropy, quick.max_sessions) == (("cold_stuck",), 0.1, 132)
    clients = (quick.baseline_accuracy, quick.bond_alpha, quick.bond_offset)
    assert clients == (0.4477, 13.4426, 0.5122) and quick.for_evaluation().threshold == 0.9
    assert (quick.actor_view, quick.critic_view) == ("history", "omniscient")
    assert quick.drawn == ("threshold",) and quick.target_success == 0.8
    first = load_config(folder / "first_steps.yaml")
    assert (first.threshold, first.n_envs, first.batch_size) == (0.6, 256, 640)
