"""What every mechanism, pattern, baseline, observation and encoder has to offer.

A file that is added to one of these folders is tested here without another line.
"""

import importlib
import io
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from rich.console import Console

from jaxtherapy.client.baselines import BASELINES
from jaxtherapy.client.dyad import counted, hold_session, intake, intakes
from jaxtherapy.client.mechanisms import MECHANISMS
from jaxtherapy.client.params import ClientParams
from jaxtherapy.client.patterns import _CHOICES as PATTERNS
from jaxtherapy.client.therapists import as_therapist
from jaxtherapy.config import TrainingConfig
from jaxtherapy.config.settings import PPO
from jaxtherapy.discovery import Choices
from jaxtherapy.envs.observations import VIEWS
from jaxtherapy.errors import RunError
from jaxtherapy.networks.actor_critic import make_networks
from jaxtherapy.networks.encoders import ENCODERS, Encoder
from jaxtherapy.storage.progress_log import COLUMNS
from jaxtherapy.training.loggers import LOGGERS, Row, Run

N_DYADS = 24
CONSTANT = [name for name in BASELINES if name.startswith("constant_")]


def clients_of(**changes):
    return jax.tree.map(jnp.asarray, ClientParams(**changes))


@jax.jit
def _held(dyads, n_sessions, params):
    def hold(session, dyads):
        key = jax.random.key(session)
        acts = jax.random.randint(key, (N_DYADS,), 0, 8)
        one = lambda i, dyad, act: hold_session(key, dyad, act, params, i)  # noqa: E731
        return jax.vmap(one)(jnp.arange(N_DYADS), dyads, acts)

    return jax.lax.fori_loop(1, n_sessions + 1, hold, dyads)


@jax.jit
def _begun(params):
    return jax.vmap(counted)(intakes(jax.random.key(0), params, jnp.arange(N_DYADS)))


def after_sessions(n_sessions, params):
    """Dyads after so many sessions with a therapist that does anything."""
    return _held(_begun(params), jnp.int32(n_sessions), params)


@cache
def early_and_late():
    """Dyads in their first session, and as many in later ones."""
    early, late = (after_sessions(n, clients_of()) for n in (0, 15))
    return jax.tree.map(lambda x, y: jnp.concatenate([x, y]), early, late)


def single(tree, i=0):
    return jax.tree.map(lambda x: x[i], tree)


@pytest.mark.parametrize("choices", [MECHANISMS, PATTERNS, VIEWS, ENCODERS, BASELINES])
def test_every_choice_is_documented(choices):
    package = choices._package if isinstance(choices, Choices) else choices._files._package
    for name in choices if isinstance(choices, Choices) else choices._files:
        assert importlib.import_module(f"{package}.{name}").__doc__


def description(view):
    return jax.tree.map(lambda x: (x.shape, x.dtype), view)


# --- mechanisms -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", MECHANISMS)
@pytest.mark.parametrize("extreme", [{}, {"bond_alpha": 1e3}, {"history_weight": 0.0}], ids=str)
def test_a_mechanism_amplifies_utilities(name, extreme):
    params = clients_of(mechanism=name, **extreme)
    clients = after_sessions(3, params).client

    def amplification(client, params):
        return MECHANISMS[name](client, params)

    many = jax.jit(jax.vmap(amplification, in_axes=(0, None)))(clients, params)
    if many is None:
        return
    assert many.shape in ((N_DYADS, 8), (N_DYADS, 8, 8))
    assert many.dtype == jnp.float32
    assert np.isfinite(many).all()
    alone = jax.jit(amplification)(single(clients, 3), params)  # of one client alone
    np.testing.assert_allclose(many[3], alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", MECHANISMS)
def test_clients_of_a_mechanism_act(name):
    dyads = after_sessions(12, clients_of(mechanism=name))
    assert np.isfinite(dyads.client.rs).all()
    assert len(set(dyads.client_act.tolist())) > 1


# --- patterns -------------------------------------------------------------------------------


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("name", PATTERNS)
def test_a_pattern_is_a_distribution(name, exact):
    table = PATTERNS[name](exact)
    assert table.shape == (8, 8)
    assert table.dtype == np.float64
    assert (table >= 0).all()
    assert table.sum() == pytest.approx(1, abs=1e-12)


# --- baselines ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in BASELINES if name not in CONSTANT[1:]])
def test_a_baseline_answers_every_client(name):
    patients = early_and_late()
    params, therapist = clients_of(), as_therapist(BASELINES[name])
    keys = jax.random.split(jax.random.key(1), 2 * N_DYADS)

    def answer(memory, key, dyad):
        return therapist.act(key, memory, therapist.see(dyad, params))

    answers = jax.jit(jax.vmap(answer))

    before = jax.tree.map(jnp.asarray, therapist.begin(params))
    memories = jax.tree.map(lambda x: jnp.stack([x] * 2 * N_DYADS), before)
    for _ in range(2):  # with what it remembers of the first time
        kept, acts = answers(memories, keys, patients)
        assert (acts == answers(memories, keys, patients)[1]).all(), "not pure"
        assert acts.shape == (2 * N_DYADS,)
        assert jnp.issubdtype(acts.dtype, jnp.integer)
        assert ((acts >= 0) & (acts < 8)).all()
        assert description(kept) == description(memories), "the memory keeps its shapes"
        memories = kept
    one = jax.eval_shape(answer, before, keys[0], single(patients))[0]
    assert description(one) == description(before)


# --- observations ---------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[0, 1, 12, 30], ids="after {} sessions".format)
def dyads(request):
    return after_sessions(request.param, clients_of())


def seen_by(name, dyads):
    return jax.jit(jax.vmap(lambda dyad: VIEWS[name].observe(dyad, clients_of())))(dyads)


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_has_one_shape_and_numbers_that_networks_can_read(name, dyads):
    params = clients_of()
    seen = seen_by(name, dyads)
    first = jax.eval_shape(
        lambda: VIEWS[name].observe(counted(intake(jax.random.key(0), params)), params)
    )
    assert description(single(seen)) == description(first)
    assert jax.tree.leaves(seen)
    for leaf in map(np.asarray, jax.tree.leaves(seen)):
        assert np.isfinite(leaf).all()
        if np.issubdtype(leaf.dtype, np.floating):
            assert np.abs(leaf).max() <= 10, "numbers should be of the order of 1"


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_tells_dyads_apart(name, dyads):
    seen = seen_by(name, dyads)
    rows = np.concatenate([np.reshape(x, (N_DYADS, -1)) for x in jax.tree.leaves(seen)], axis=1)
    assert len(np.unique(rows, axis=0)) > 1


@pytest.mark.parametrize("name", VIEWS)
def test_actor_and_critic_are_made_for_a_view(name, dyads):
    ppo, seen = PPO(hidden_size=8, actor_view=name, critic_view=name), seen_by(name, dyads)

    def outputs():
        networks = make_networks(ppo, jax.random.key(0))
        return networks.actor(seen), networks.critic(seen)

    logits, values = jax.eval_shape(outputs)
    assert (logits.shape, values.shape) == ((N_DYADS, 8), (N_DYADS,))


# --- encoders -------------------------------------------------------------------------------


def views_of(encoder):
    """The views that name it; the ordinary one if none does."""
    return [name for name in VIEWS if VIEWS[name].encoder == encoder] or ["history"]


ENCODED = [(encoder, view) for encoder in ENCODERS for view in views_of(encoder)]


def encoder_and_views(encoder, view):
    seen = seen_by(view, early_and_late())
    shape = jax.eval_shape(lambda: single(seen))
    return ENCODERS[encoder](8, shape, "float32", nnx.Rngs(0)), seen


@pytest.mark.parametrize(("encoder", "view"), ENCODED)
def test_an_encoder_takes_any_leading_axes(encoder, view):
    network, seen = encoder_and_views(encoder, view)
    assert isinstance(network, Encoder)
    features = network(seen)
    assert features.shape == (2 * N_DYADS, 8)
    assert features.dtype == jnp.float32
    assert np.isfinite(features).all()
    one = network(single(seen, 3))
    cube = network(jax.tree.map(lambda x: x.reshape(2, 3, N_DYADS // 3, *x.shape[1:]), seen))
    np.testing.assert_allclose(one, features[3], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(cube.reshape(2 * N_DYADS, 8), features, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(jax.vmap(network)(seen), features, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("encoder", "view"), ENCODED)
def test_a_prepared_encoder_is_the_same_function(encoder, view):
    network, seen = encoder_and_views(encoder, view)
    np.testing.assert_allclose(network.prepared()(seen), network(seen), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("encoder", "view"), ENCODED)
def test_everything_that_an_encoder_sees_counts(encoder, view):
    network, seen = encoder_and_views(encoder, view)
    features, leaves = network(seen), jax.tree.leaves(seen)
    for place, leaf in enumerate(leaves):
        mixed = [*leaves[:place], jnp.roll(leaf, 1, axis=0), *leaves[place + 1 :]]
        if (mixed[place] != leaf).any():
            other = network(jax.tree.unflatten(jax.tree.structure(seen), mixed))
            assert np.abs(other - features).max() > 1e-6, f"leaf {place} changes nothing"


@pytest.mark.parametrize(("encoder", "view"), ENCODED)
def test_all_weights_of_an_encoder_learn(encoder, view):
    network, seen = encoder_and_views(encoder, view)
    grads = nnx.grad(lambda network: jnp.sum(network(seen) ** 2))(network)
    for path, grad in nnx.to_flat_state(nnx.state(grads)):
        assert np.isfinite(grad[...]).all(), path
        assert np.abs(grad[...]).max() > 0, path


# --- loggers --------------------------------------------------------------------------------


def evaluation(step):
    row = Row({"epoch": 1.0, "step": float(step), "duration": 0.5} | dict.fromkeys(COLUMNS, 0.25))
    row.by_seed, row.is_best, row.time_left = {7: dict(row)}, True, 1.0
    row["learning_rate"] = 3e-4
    return row


@pytest.mark.parametrize("name", LOGGERS)
def test_a_logger_is_told_and_closed(name, folder):
    """Also where there is no folder, and where a run breaks off before its first evaluation."""
    config = TrainingConfig(seed=7)
    for steps in ((), (64, 128)):
        try:
            LOGGERS[name]
        except RunError as error:  # an extra that tests don't have
            assert f"pip install 'jaxtherapy[{name}]'" in str(error)
            return
        run = Run(config, None, Console(file=io.StringIO()), lambda job: job())
        logger = LOGGERS[name](run)
        for step in steps:
            row = evaluation(step)
            logger.log(step, row)
            assert row == evaluation(step), "a row is everybody's"
        getattr(logger, "close", lambda: None)()
    for path in folder.rglob("*"):
        assert path.is_dir() or path.stat().st_size, f"{path} is empty after two evaluations"
