"""What is collected is what happened: replayed from the transitions themselves."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtherapy.client import dyad as dyads
from jaxtherapy.client.dyad import HISTORY_PADDING, HISTORY_SIZE
from jaxtherapy.ppo.types import Transition
from tests.plausibility import assert_all_plausible, goodness_of_fit
from tests.ppo.small import (
    MAX_SESSIONS,
    SETTINGS,
    SMALL,
    assert_identical,
    collect,
    differ,
    init,
    log_softmax,
    logits_of,
    numpy,
    with_clients,
    with_constant_policy,
)

N_ENVS, N_STEPS = SMALL.n_envs, 2 * SMALL.n_steps


@pytest.fixture(scope="module")
def begun():
    return init(SMALL, SETTINGS, 4)


@pytest.fixture(scope="module")
def played(begun):
    """Two rollouts in a row as one long one, what follows it, and the state at the end."""
    state, first, between = collect(SMALL, SETTINGS, begun)
    state, second, last_obs = collect(SMALL, SETTINGS, state)
    # The second rollout goes on where the first one stopped.
    assert_identical(between, jax.tree.map(lambda x: x[0], second.obs))
    both = jax.tree.map(lambda *x: np.concatenate(x), numpy(first), numpy(second))
    return both, numpy(last_obs), state


def as_history(acts):
    newest = np.ravel(acts)[-HISTORY_SIZE:]
    padding = np.full(HISTORY_SIZE - len(newest), HISTORY_PADDING)
    return np.concatenate([newest, padding])


def replay(rollout, last_obs, max_sessions):
    """Asserts that every observation tells the sessions of its own episode so far, and no other."""
    n_steps, n_envs = rollout.reward.shape
    ended = rollout.terminated | rollout.truncated
    following = jax.tree.map(
        lambda x, last: np.concatenate([x[1:], last[None]]), rollout.obs.actor, last_obs.actor
    )
    for env in range(n_envs):
        episode = []
        for t in range(n_steps):
            here = t, env
            obs, final, following_obs = (
                jax.tree.map(lambda x, here=here: x[here], tree)
                for tree in (rollout.obs.actor, rollout.final_obs, following)
            )
            np.testing.assert_array_equal(obs.history, as_history(episode))
            np.testing.assert_allclose(obs.session_number, [len(episode) / max_sessions], rtol=1e-6)

            episode.append((obs.client_action, rollout.action[here]))
            np.testing.assert_array_equal(final.history, as_history(episode))
            np.testing.assert_allclose(
                final.session_number, [len(episode) / max_sessions], rtol=1e-6
            )
            assert rollout.length[here] == len(episode)
            if ended[here]:
                # Nobody acts after the end, so the last act stays on the table.
                assert final.client_action == obs.client_action
                episode = []
            else:
                assert_identical(final, following_obs)
    assert np.all((rollout.action >= 0) & (rollout.action < 8))


def test_all_three_endings_occur(played):
    """Or the tests below would test nothing."""
    rollout, *_ = played
    assert np.sum(rollout.success) >= 2
    assert np.sum(rollout.terminated & ~rollout.success) >= 2
    assert np.sum(rollout.truncated) >= 2
    # Two clients that leave in the same session take the path of replacing several at once.
    assert np.sum(rollout.terminated | rollout.truncated, axis=1).max() >= 2


def test_new_clients_are_made_of_random_numbers_of_their_own(begun):
    """All therapies end at once: the clients that follow come from a key that nothing else has."""
    ppo = replace(SMALL, n_steps=1)
    last = jnp.full(N_ENVS, MAX_SESSIONS - 1, jnp.int32)
    state, rollout, _ = collect(ppo, SETTINGS, begun.replace(dyads=begun.dyads.replace(time=last)))
    assert np.all(rollout.terminated | rollout.truncated)
    key_of_sessions, key_of_intakes = jax.random.split(jax.random.split(begun.key)[1], (1, 2))[0]

    def fresh(key):
        of_one = partial(dyads.intake, key, SETTINGS.clients)
        return jax.jit(jax.vmap(of_one))(jnp.arange(N_ENVS)).client.u

    np.testing.assert_allclose(state.dyads.client.u, fresh(key_of_intakes), rtol=1e-6)
    assert np.all(np.asarray(state.dyads.client.u) != fresh(key_of_sessions))


def test_a_step_is_one_session_of_every_dyad_by_key_and_number(begun):
    """The therapist's point and the session, drawn one by one outside of the rollout."""
    ppo = replace(SMALL, n_steps=1)
    for start in (begun, begun.replace(key=jax.random.key(77))):
        state, rollout, _ = collect(ppo, SETTINGS, start)
        key = jax.random.split(jax.random.split(start.key)[1], (1, 2))[0, 0]
        logits = logits_of(start.params, rollout.obs.actor)[0]
        for number in range(N_ENVS):
            before, after = (
                jax.tree.map(lambda x, i=number: x[i], s.dyads) for s in (start, state)
            )
            point = dyads.therapist_point(key, number)
            act = np.searchsorted(np.cumsum(np.exp(log_softmax(logits[number]))), point)
            assert rollout.action[0, number] == act
            held = dyads.hold_session(key, before, jnp.int8(act), SETTINGS.clients, number)
            assert not (rollout.terminated | rollout.truncated)[0, number]
            np.testing.assert_array_equal(after.history, held.history)
            np.testing.assert_array_equal(after.client.memory, held.client.memory)
            assert after.client_act == held.client_act


def test_the_therapist_sees_the_sessions_of_its_episode(played):
    rollout, last_obs, _ = played
    replay(rollout, last_obs, MAX_SESSIONS)


def test_histories_longer_than_the_therapist_remembers():
    """No one succeeds or leaves, so that 32 sessions make one episode: the 25 newest are seen."""
    settings = with_clients(SETTINGS, threshold=1.0, max_sessions=100, enable_parataxic=False)
    _, rollout, last_obs = numpy_rollout(collect(SMALL, settings, init(SMALL, settings, 0)))
    assert rollout.length.max() > 26
    replay(rollout, last_obs, 100)


def numpy_rollout(result):
    state, rollout, last_obs = result
    return state, numpy(rollout), numpy(last_obs)


def test_endings_and_rewards(played):
    rollout, *_ = played
    assert not np.any(rollout.terminated & rollout.truncated)
    assert not np.any(rollout.success & ~rollout.terminated)
    over = rollout.length == MAX_SESSIONS
    np.testing.assert_array_equal(rollout.truncated, over & ~rollout.terminated)
    dropped_out = rollout.terminated & ~rollout.success
    assert np.all(rollout.length[dropped_out] == 10)
    expected = np.select(
        [dropped_out, rollout.success], [-150, 100 + 2 * (MAX_SESSIONS - rollout.length)], 0
    )
    np.testing.assert_array_equal(rollout.reward, expected)


def test_after_an_end_comes_a_fresh_client(begun, played):
    _, _, state = played
    rollout, last_obs, _ = played
    ended = rollout.terminated | rollout.truncated
    following = np.concatenate(
        [rollout.obs.actor.session_number[1:], last_obs.actor.session_number[None]]
    )
    np.testing.assert_array_equal(following[ended], 0)
    histories = np.concatenate([rollout.obs.actor.history[1:], last_obs.actor.history[None]])
    assert np.all(histories[ended] == HISTORY_PADDING)

    dyads = numpy(state.dyads)
    sessions = np.round(last_obs.actor.session_number[:, 0] * MAX_SESSIONS)
    np.testing.assert_array_equal(dyads.time, sessions)
    assert not np.any(dyads.success | dyads.dropped_out)
    # Everyone who came later is someone else: no client stands twice, none of the first is left.
    everyone = np.concatenate([dyads.client.u, begun.dyads.client.u]).reshape(2 * N_ENVS, -1)
    assert np.all(ended.any(axis=0))
    assert len(np.unique(everyone, axis=0)) == 2 * N_ENVS


def test_clients_who_leave_together_are_followed_by_different_ones():
    """All of them after one session, with fewer slots than clients to replace."""
    settings = with_clients(SETTINGS, max_sessions=1)
    state = init(SMALL, settings, 2)
    everyone = [state.dyads.client.u]
    for _ in range(2):
        state, rollout, _ = collect(SMALL, settings, state)
        everyone.append(state.dyads.client.u)
        assert np.all(rollout.terminated | rollout.truncated)
        assert np.all(rollout.length == 1)
    # Neither the same one for all, nor the same ones again.
    everyone = np.concatenate(everyone).reshape(3 * N_ENVS, -1)
    assert len(np.unique(everyone, axis=0)) == 3 * N_ENVS
    # What clients do first differs, too, all along the rollout.
    acts = np.asarray(rollout.obs.actor.client_action)
    assert np.all([len(np.unique(acts[:, env])) > 2 for env in range(N_ENVS)])


def test_log_probabilities_are_those_of_the_acts(begun, played):
    rollout, *_ = played
    log_probs = log_softmax(logits_of(begun.params, rollout.obs.actor))
    chosen = np.take_along_axis(log_probs, rollout.action[..., None].astype(int), axis=-1)[..., 0]
    np.testing.assert_allclose(rollout.log_prob, chosen, atol=1e-5)


def test_acts_are_drawn_from_the_policy(begun):
    """False alarms: 0.1 %."""
    p = np.array([0.3, 0.0, 0.1, 0.05, 0.25, 0.1, 0.2, 0.0])
    logits = np.where(p > 0, np.log(np.maximum(p, 1e-30)), -1e9)
    state = begun.replace(params=with_constant_policy(begun.params, logits))
    counts = np.zeros(8)
    for _ in range(10):
        state, rollout, _ = collect(SMALL, SETTINGS, state)
        action = np.asarray(rollout.action).astype(int)
        counts += np.bincount(action.ravel(), minlength=8)
        np.testing.assert_allclose(rollout.log_prob, np.log(p[action]), rtol=1e-5)
    assert_all_plausible({"acts": goodness_of_fit(counts, p)}, rate=0.001)


def test_randomness_comes_from_the_key_alone_and_is_used_once(begun):
    first, rollout, _ = collect(SMALL, SETTINGS, begun)
    again, same, _ = collect(SMALL, SETTINGS, begun)
    assert_identical((first, rollout), (again, same))
    other_key = begun.replace(key=jax.random.key(99))
    _, other, _ = collect(SMALL, SETTINGS, other_key)
    assert np.any(rollout.action != other.action)
    # The same clients once more with the key that is left: other things happen.
    _, following, _ = collect(SMALL, SETTINGS, begun.replace(key=first.key))
    assert np.any(rollout.action != following.action)
    # Clients do not share their luck: no two envs do the same throughout.
    assert len(np.unique(np.asarray(rollout.action), axis=1).T) == N_ENVS


def test_collecting_changes_nothing_else(begun):
    after, rollout, _ = collect(SMALL, SETTINGS, begun)
    assert_identical(after.replace(dyads=begun.dyads, key=begun.key), begun)
    assert differ(after.dyads, begun.dyads)
    assert isinstance(rollout, Transition)
    assert rollout.reward.shape == (SMALL.n_steps, SMALL.n_envs)
    assert rollout.obs.actor.history.shape == (SMALL.n_steps, SMALL.n_envs, HISTORY_SIZE)
    assert rollout.obs.actor.history.dtype == jnp.int8
