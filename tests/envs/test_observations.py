"""What holds of every view of a dyad."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtherapy.client.client import expected_payoffs, experience, share_of_range
from jaxtherapy.client.dyad import counted, hold_session, intakes
from jaxtherapy.client.params import ClientParams
from jaxtherapy.client.perception import habitual_act
from jaxtherapy.config.settings import PPO
from jaxtherapy.envs.observations import VIEWS, View
from jaxtherapy.networks.encoders import ENCODERS
from tests.client.replay import arrays
from tests.ppo.small import assert_identical as assert_same

every_view = pytest.mark.parametrize("name", tuple(VIEWS))

N_DYADS, N_SESSIONS = 8, 30
PARAMS = arrays(ClientParams(threshold=1.0, max_sessions=40))


@pytest.fixture(scope="module")
def therapies():
    """Dyads before each of so many sessions, (sessions, dyads), their exchanges counted."""

    def session(dyads, key):
        key_act, key = jax.random.split(key)
        acts = jax.random.randint(key_act, (N_DYADS,), 0, 8)
        hold = jax.vmap(hold_session, in_axes=(None, 0, 0, None, 0))
        return hold(key, dyads, acts, PARAMS, jnp.arange(N_DYADS)), dyads

    @jax.jit
    def run():
        begun = jax.vmap(counted)(intakes(jax.random.key(0), PARAMS, jnp.arange(N_DYADS)))
        return jax.lax.scan(session, begun, jax.random.split(jax.random.key(1), N_SESSIONS))[1]

    return run()


def observe(name, therapies):
    view = jax.vmap(jax.vmap(lambda dyad: VIEWS[name].observe(dyad, PARAMS)))
    return jax.jit(view)(therapies)


@every_view
def test_every_view_is_one_documented_file_that_an_encoder_reads(name):
    module = importlib.import_module(f"jaxtherapy.envs.observations.{name}")
    assert module.__doc__
    assert isinstance(module.view, View)
    assert module.view.encoder in ENCODERS


@every_view
def test_every_view_has_finite_numbers_of_one_shape_in_every_session(name, therapies):
    seen = observe(name, therapies)
    assert jax.tree.leaves(seen)
    for path, leaf in jax.tree.leaves_with_path(seen):
        assert leaf.shape[:2] == (N_SESSIONS, N_DYADS), path
        assert leaf.dtype in (jnp.float32, jnp.int32, jnp.int8, jnp.bool_), path
        assert not leaf.weak_type, path
        assert np.all(np.isfinite(leaf)), path


@every_view
def test_every_view_changes_as_therapy_goes_on(name, therapies):
    seen = jax.tree.leaves(observe(name, therapies))
    assert any(np.any(leaf[0] != leaf[-1]) for leaf in seen)
    assert any(np.any(leaf[:, 0] != leaf[:, 1]) for leaf in seen)


@every_view
def test_every_view_can_be_swept_over_clients(name, therapies):
    dyad = jax.tree.map(lambda x: x[3, 0], therapies)
    many = jax.tree.map(lambda x: np.stack([x, x]), PARAMS)
    swept = jax.vmap(VIEWS[name].observe, in_axes=(None, 0))(dyad, many)
    alone = VIEWS[name].observe(dyad, PARAMS)
    for ours, theirs in zip(*map(jax.tree.leaves, (swept, alone)), strict=True):
        np.testing.assert_allclose(
            ours, np.stack([theirs, theirs]), rtol=1e-6
        )  # sums in two orders


HIDDEN_FROM_THERAPISTS = ("client", "heard_act", "initial_rs", "pattern", "success", "dropped_out")


def test_therapists_see_nothing_of_what_a_client_hides(therapies):
    """Only its acts: another person who acts the same looks the same."""
    hidden = {field: getattr(therapies, field) for field in HIDDEN_FROM_THERAPISTS}
    others = jax.tree.map(lambda x: ~x if x.dtype == bool else x + jnp.ones((), x.dtype), hidden)
    for name in {PPO().actor_view, PPO().critic_view, "history_counts"}:
        seen, of_others = (observe(name, x) for x in (therapies, therapies.replace(**others)))
        for one, other in zip(*map(jax.tree.leaves, (seen, of_others)), strict=True):
            np.testing.assert_array_equal(one, other)


def test_all_exchanges_are_counted_also_those_that_recent_history_has_lost(therapies):
    seen = observe("history_counts", therapies)
    assert_same(seen.recent, observe("history", therapies))
    acts = np.asarray(therapies.client_act)
    answers = np.asarray(therapies.history)[..., 1::2]  # the newest session's is the last of them
    counts = np.zeros((N_DYADS, 8, 8))
    for t in range(1, N_SESSIONS):
        for i in range(N_DYADS):
            counts[i, acts[t - 1, i], answers[t, i, min(t, 25) - 1]] += 1
        np.testing.assert_allclose(seen.counts[t], np.log1p(counts) / np.log(26), rtol=1e-5)
    assert counts.sum() == N_DYADS * 29


def test_counts_of_dyads_without_any_are_refused():
    dyad = intakes(jax.random.key(0), PARAMS, jnp.arange(1))
    with pytest.raises(ValueError, match="not counted"):
        VIEWS["history_counts"].observe(dyad, PARAMS)


def test_the_omniscient_view_tells_what_decides_how_therapy_goes_on(therapies):
    seen = jax.tree.map(np.asarray, observe("omniscient", therapies))
    here = 12, 3
    dyad = jax.tree.map(lambda x: np.asarray(x[here]), therapies)
    low, size = dyad.client.u_low, dyad.client.u_high - dyad.client.u_low
    own = {name: x[here] for name, x in seen.items()}
    utilities = (dyad.client.utilities.T - low) / size
    np.testing.assert_allclose(own["utilities"].T, utilities, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(own["answers"], utilities[dyad.client_act], rtol=1e-5, atol=1e-6)
    assert own["client_act"].argmax() == dyad.client_act and own["client_act"].sum() == 1
    np.testing.assert_allclose(own["rs"], (dyad.client.rs - low) / size, rtol=1e-5)
    np.testing.assert_allclose(own["initial_rs"], (dyad.initial_rs - low) / size, rtol=1e-5)
    assert (own["bond"], own["threshold"], own["stays"]) == (dyad.client.bond, 1, 1)
    np.testing.assert_allclose(own["time_left"], 1 - 12 / 40, rtol=1e-6)
    # RS is what the pairs that are remembered are worth.
    np.testing.assert_allclose(own["memory"].sum(), 1, rtol=1e-5)
    worth = np.sum(own["memory"] * own["utilities"].reshape(-1))
    np.testing.assert_allclose(worth, own["rs"], rtol=1e-4)
    payoffs = expected_payoffs(jax.tree.map(jnp.asarray, dyad.client), PARAMS)
    np.testing.assert_allclose(own["payoffs"], (payoffs - low) / size, rtol=1e-4, atol=1e-5)
    assert not seen["stays"][5].any()


def test_the_omniscient_view_takes_each_clients_own_numbers(therapies):
    dyad = jax.tree.map(lambda x: x[12, 3], therapies)
    own = PARAMS.replace(threshold=jnp.float32(0.3), max_sessions=jnp.int32(24))
    seen = VIEWS["omniscient"].observe(dyad, own)
    assert seen["threshold"] == jnp.float32(0.3) and seen["time_left"] == 0.5


def test_consequences_tell_what_each_answer_is_worth_and_how_habitual_it_is(therapies):
    here = 12, 3
    seen = jax.tree.map(lambda x: np.asarray(x[here]), observe("consequences", therapies))
    omniscient = observe("omniscient", therapies)
    known = {name: np.asarray(x[here]) for name, x in omniscient.items()}
    dyad = jax.tree.map(lambda x: x[here], therapies)
    utilities = known["utilities"].reshape(8, 8)  # therapist acts first

    def soft(x, temperature):
        weights = np.exp((x - x.max()) / temperature)
        return weights / weights.sum()

    soon, highest = soft(known["payoffs"], 0.07), utilities.max(axis=1)
    habitual = np.eye(8)[int(habitual_act(dyad.client.memory))]
    frequencies = known["memory"].reshape(8, 8).sum(axis=1)
    answers = known["answers"]
    first = [answers, soft(answers, 0.01), utilities @ soon, highest, soft(highest, 0.01)]
    first = np.stack([*first, frequencies, habitual], axis=1)
    expected = np.concatenate([first, utilities, known["memory"].reshape(8, 8)], axis=1)
    np.testing.assert_allclose(seen.acts, expected, rtol=1e-3, atol=1e-5)
    favourite = utilities.max(axis=0).argmax()
    expected = [
        *(known[name] for name in ("rs", "initial_rs", "bond", "threshold", "time_left", "stays")),
        dyad.client_act == favourite,
        soon[favourite],
        known["payoffs"].max() - known["payoffs"][favourite],
        *known["client_act"],
        *soon,
        *known["payoffs"],
    ]
    np.testing.assert_allclose(seen.therapy, np.array(expected, float), rtol=1e-3, atol=1e-5)


def test_the_outlook_is_what_comes_of_the_same_exchange_again_and_again(therapies):
    dyad = jax.tree.map(lambda x: x[12, 3], therapies)
    seen = np.asarray(observe("outlook", therapies).acts[12, 3])
    now = np.asarray(observe("consequences", therapies).acts[12, 3])
    np.testing.assert_array_equal(seen[:, : now.shape[1]], now)

    @jax.jit
    def after(client_act, act, sessions):
        def exchange(_, client):
            return experience(client, client_act, act, PARAMS)

        client = jax.lax.fori_loop(0, sessions, exchange, dyad.client)
        payoffs = share_of_range(client, expected_payoffs(client, PARAMS))
        return share_of_range(client, client.rs), client.bond, payoffs

    def soft(payoffs, temperature):
        return np.asarray(jax.nn.softmax(payoffs / temperature))

    utilities = np.asarray(share_of_range(dyad.client, dyad.client.utilities))
    for act in range(8):
        expected = []
        for sessions in (4, 12):
            rs, bond, payoffs = after(dyad.client_act, act, sessions)
            soon = soft(payoffs, 0.07)
            expected += [rs, bond, soon @ utilities.max(axis=0), soon @ utilities[act], *soon]
        stays = np.array([soft(after(c, act, 50)[2], 0.035)[c] for c in range(8)])
        worth = stays * utilities[act]
        expected += [worth.max(), stays[dyad.client_act], *worth]
        np.testing.assert_allclose(seen[act, now.shape[1] :], expected, rtol=1e-3, atol=1e-5)
