"""Every setting reaches the pure core in the type it is compiled for; what actor and critic see."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtherapy.client import dyad as dyads
from jaxtherapy.client.params import STATIC, ClientParams, client_params
from jaxtherapy.client.patterns import PATTERNS
from jaxtherapy.client.utilities import NAMED_MATRICES, U_MAX, U_MIN
from jaxtherapy.config import TrainingConfig
from jaxtherapy.config.settings import PPO
from jaxtherapy.ppo.types import make_settings
from jaxtherapy.ppo.views import look
from tests.views import BOND_VIEW, with_view

GIVEN = tuple(tuple(0.1 * i - j / 3 for j in range(8)) for i in range(8))


def test_every_leaf_is_an_array():
    """A Python number would be compiled in; another value would then compile anew."""
    for config in (TrainingConfig(), TrainingConfig(bond_alpha=None, max_grad_norm=None)):
        for path, leaf in jax.tree.leaves_with_path(make_settings(config)):
            assert isinstance(leaf, jax.Array | np.ndarray | np.generic), path
            assert leaf.dtype in (jnp.float32, jnp.int32, jnp.bool_), path
            assert not jax.typeof(leaf).weak_type, path


def test_all_configurations_fit_one_program():
    """Same structure, shapes and types, whatever the values, except for the mechanism."""

    def signature(config):
        leaves, structure = jax.tree.flatten(make_settings(config))
        return structure, [jax.typeof(leaf) for leaf in leaves]

    default = signature(TrainingConfig())
    others = (
        TrainingConfig(utility_matrix=GIVEN, patterns=("conflictual",), max_grad_norm=None),
        TrainingConfig(utility_matrix="cold_trap", bond_alpha=None, anticomplement="exact"),
        TrainingConfig(threshold=1, enable_parataxic=False, history_weight=0, gamma=1),
    )
    for config in others:
        assert signature(config) == default


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("threshold", 0.75),
        ("max_sessions", 37),
        ("entropy", 0.25),
        ("bond_alpha", 3.5),
        ("bond_offset", 0.625),
        ("history_weight", 1.5),
        ("bond_power", 2.5),
        ("smoothing", 0.375),
        ("recency_ratio", 3.25),
        ("enable_parataxic", False),
        ("baseline_accuracy", 0.125),
        ("dropout_session", 7),
        ("success_reward", 33.0),
        ("reward_per_session_saved", 1.5),
        ("dropout_reward", -20.0),
        ("mechanism", "bond_only"),
        ("stop_at_success", False),
    ],
)
def test_settings_of_clients_arrive_under_their_names(name, value):
    clients = client_params(TrainingConfig(**{name: value}))
    assert getattr(clients, name) == value
    # And nothing else changes.
    default = client_params(TrainingConfig())
    changed = clients.replace(**{name: getattr(default, name)})
    jax.tree.map(np.testing.assert_array_equal, changed, default)


@pytest.mark.parametrize(
    "name",
    ["learning_rate", "gamma", "gae_lambda", "clip_range", "ent_coef", "vf_coef", "max_grad_norm"],
)
def test_hyperparameters_arrive_under_their_names(name):
    settings = make_settings(TrainingConfig(**{name: 0.1875}))
    default = make_settings(TrainingConfig())
    assert getattr(settings.hyperparameters, name) == 0.1875
    restored = {name: getattr(default.hyperparameters, name)}
    changed = settings.replace(hyperparameters=settings.hyperparameters.replace(**restored))
    jax.tree.map(np.testing.assert_array_equal, changed, default)


def test_defaults_of_the_configuration_are_those_of_the_client():
    """Except for the patterns: a training mixes the five that need help."""
    ours, theirs = client_params(TrainingConfig()), ClientParams()
    for field in dataclasses.fields(ClientParams):
        if field.name in STATIC:
            assert getattr(ours, field.name) == getattr(theirs, field.name)
        elif field.name != "pattern_weights":
            np.testing.assert_allclose(
                getattr(ours, field.name), getattr(theirs, field.name), rtol=1e-6
            )
    named = {name for name, w in zip(PATTERNS, ours.pattern_weights, strict=True) if w > 0}
    assert named == set(TrainingConfig().patterns)
    np.testing.assert_allclose(np.sum(ours.pattern_weights), 1, rtol=1e-6)


def test_a_repeated_pattern_weighs_more():
    config = TrainingConfig(patterns=("cold_warm", "conflictual", "cold_warm"))
    expected = {"cold_warm": 2 / 3, "conflictual": 1 / 3}
    ours = dict(zip(PATTERNS, client_params(config).pattern_weights.tolist(), strict=True))
    for name in PATTERNS:
        assert ours[name] == pytest.approx(expected.get(name, 0), abs=1e-6)


def test_null_means_what_the_help_says():
    config = TrainingConfig(bond_alpha=None, max_grad_norm=None, n_steps=None, batch_size=48)
    settings = make_settings(config)
    assert settings.clients.bond_alpha == 5
    assert settings.hyperparameters.max_grad_norm == np.inf
    assert PPO.of(config).rollout_length == 48
    assert PPO.of(TrainingConfig(n_steps=7, batch_size=48)).rollout_length == 7


def test_anticomplement():
    assert not client_params(TrainingConfig()).exact_anticomplement
    assert client_params(TrainingConfig(anticomplement="exact")).exact_anticomplement


def test_utilities_are_drawn_unless_given():
    clients = client_params(TrainingConfig())
    np.testing.assert_array_equal(clients.u_min, U_MIN.astype(np.float32))
    np.testing.assert_array_equal(clients.u_max, U_MAX.astype(np.float32))


@pytest.fixture(scope="module")
def utilities():
    """The matrices of a few clients."""
    return jax.jit(
        lambda clients: jax.vmap(lambda key: dyads.intake(key, clients).client.u)(
            jax.random.split(jax.random.key(0), 3)
        )
    )


@pytest.mark.parametrize("matrix", [*NAMED_MATRICES, GIVEN], ids=[*NAMED_MATRICES, "given"])
def test_named_and_given_matrices_are_exact(matrix, utilities):
    """To the last bit: RS is compared with a threshold made from the same cells."""
    exact = np.array(NAMED_MATRICES.get(matrix, matrix) if isinstance(matrix, str) else matrix)
    clients = client_params(TrainingConfig(utility_matrix=matrix))
    for u in utilities(clients):
        np.testing.assert_array_equal(u, exact.astype(np.float32))


def test_structure_of_the_program():
    given = dict(
        n_envs=3,
        n_steps=20,
        batch_size=16,
        n_epochs=4,
        eval_episodes=11,
        eval_deterministic=True,
        hidden_size=24,
        shared_trunk=True,
        precision="bfloat16",
    )
    config = TrainingConfig(**given)
    ppo = PPO.of(config)
    assert ppo == PPO(**given)
    assert ppo.steps_per_update == config.steps_per_update == 60
    assert hash(ppo) == hash(PPO.of(config))  # static under jit: equal ones share a program
    assert PPO.of(TrainingConfig()) == PPO()


# --- what is seen ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clients():
    return client_params(TrainingConfig())


def test_one_view_for_both_is_looked_at_once(clients):
    seen = look(PPO(), dyads.intakes(jax.random.key(0), clients, jnp.arange(3)), clients)
    assert seen.own_critic is None
    assert seen.critic is seen.actor
    assert seen.actor.history.shape == (3, 50)


def test_a_view_of_its_own_for_the_critic(monkeypatch, clients):
    with_view(monkeypatch, bond=BOND_VIEW)
    some = dyads.intakes(jax.random.key(0), clients, jnp.arange(3))
    seen = look(PPO(critic_view="bond"), some, clients)
    np.testing.assert_array_equal(seen.critic["bond"], some.client.bond)
    assert seen.actor.history.shape == (3, 50)
