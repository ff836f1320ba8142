"""One session: order, history, endings. Recorded therapies: ``test_recordings.py``."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtherapy.client import dyad as dyads
from jaxtherapy.client.client import new_client
from jaxtherapy.client.intake import N_POINTS, draw_client
from jaxtherapy.client.octants import S, W
from jaxtherapy.client.params import ClientParams
from jaxtherapy.client.patterns import PATTERNS, pattern_weights
from jaxtherapy.envs.rewards import reward
from jaxtherapy.fast.random_bits import uniforms
from tests.plausibility import assert_all_plausible, goodness_of_fit, independent

N_DYADS = 20_000

respond = jax.jit(dyads.respond)
hold_session = jax.jit(dyads.hold_session)


def client_of(cell=(6, 2), params=None):
    """A client who remembers nothing but one pair, with the utilities 0, 1, …, 63."""
    u = jnp.arange(64, dtype=jnp.float32).reshape(8, 8)
    memory = jnp.full(50, 8 * cell[1] + cell[0], jnp.int8)
    return new_client(u, memory, params or ClientParams())


# --- history -------------------------------------------------------------------------------------


def test_history_scrolls_after_25_sessions():
    note = jax.jit(dyads.note_session)
    rng = np.random.default_rng(0)
    acts = rng.integers(0, 8, (60, 2)).astype(np.int8)
    history = np.full(50, 8, np.int8)
    for session, (client_act, therapist_act) in enumerate(acts):
        history = np.asarray(note(history, session, client_act, therapist_act))
        shown = acts[max(0, session - 24) : session + 1].ravel()
        np.testing.assert_array_equal(history, [*shown, *[8] * (50 - len(shown))])
        assert history.dtype == np.int8
        if session + 1 in (24, 25, 26, 60):
            assert np.sum(history != 8) == min(2 * (session + 1), 50)


def test_memory_takes_the_act_as_heard_and_history_as_enacted():
    dyad = dyads.open_with(client_of(), 5)
    after = respond(dyad, jnp.int8(1), jnp.int8(3), ClientParams())
    np.testing.assert_array_equal(after.history[:3], [5, 1, 8])
    assert after.client.memory[-1] == 8 * 3 + 5
    assert after.heard_act == 3
    assert after.time == 1


def test_exchanges_are_counted_as_enacted_where_somebody_asks():
    params = ClientParams(threshold=1.0, dropout_session=0)
    dyad, counts = dyads.counted(dyads.open_with(client_of(), 5)), np.zeros((8, 8), int)
    rng = np.random.default_rng(0)
    for act, heard in rng.integers(0, 8, (30, 2)):
        counts[dyad.client_act, act] += 1
        dyad = respond(dyad, jnp.int8(act), jnp.int8(heard), params)
        dyad = dyad.replace(client_act=jnp.int8(rng.integers(8)))
        np.testing.assert_array_equal(dyad.exchanges, counts)
    assert dyad.exchanges.dtype == jnp.int16


def test_otherwise_a_dyad_has_no_counts_and_is_the_same():
    plain = dyads.open_with(client_of(), 5)
    assert plain.exchanges is None
    after = respond(plain, jnp.int8(1), jnp.int8(3), ClientParams())
    assert after.exchanges is None
    others = respond(dyads.counted(plain), jnp.int8(1), jnp.int8(3), ClientParams())
    for one, other in zip(
        *map(jax.tree.leaves, (after, others.replace(exchanges=None))), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_a_new_dyad_has_no_past_together():
    params = ClientParams(pattern_weights=pattern_weights(["cold_warm"]))
    dyad = jax.jit(dyads.intake)(jax.random.key(0), params)
    assert dyad.time == 0
    assert dyad.heard_act == 8
    assert dyad.pattern == PATTERNS.index("cold_warm")
    assert dyad.initial_rs == dyad.client.rs
    assert not (dyad.success | dyad.dropped_out)
    np.testing.assert_array_equal(dyad.history, np.full(50, 8))
    np.testing.assert_array_equal(dyad.client.memory, np.full(50, 8 * 2 + 6))


# --- endings -------------------------------------------------------------------------------------


def endings(session, initial_rs, threshold, max_sessions):
    """How a client with RS 50 on a scale from 0 to 63 ends the given session."""
    params = ClientParams(threshold=threshold, max_sessions=max_sessions)
    dyad = dyads.open_with(client_of((6, 2)), 6).replace(time=session - 1, initial_rs=initial_rs)
    after = dyads.respond(dyad, jnp.int8(2), jnp.int8(2), params)
    return {
        "success": after.success,
        "dropout": after.dropped_out,
        "terminated": dyads.terminated(after),
        "truncated": dyads.truncated(after, params),
        "over": dyads.is_over(after, params),
        "reward": reward(after, params),
    }


def test_every_ending():
    """All combinations of session, change of RS, threshold and last session, by the rules."""
    sessions = [1, 8, 9, 10, 11, 12, 20, 30]
    initial_rs = [49.0, 51.0]
    thresholds = [0.5, 0.9]
    max_sessions = [9, 10, 11, 30]
    cases = list(itertools.product(sessions, initial_rs, thresholds, max_sessions))
    columns = [np.array(column) for column in zip(*cases, strict=True)]
    ended = jax.tree.map(np.asarray, jax.jit(jax.vmap(endings))(*columns))
    seen = set()
    for i, (session, initial, threshold, last) in enumerate(cases):
        dropout = session == 10 and initial == 51
        success = threshold == 0.5 and not dropout
        truncated = session >= last and not dropout and not success
        expected = -150 if dropout else 100 + 2 * (last - session) if success else 0
        assert ended["dropout"][i] == dropout
        assert ended["success"][i] == success
        assert ended["terminated"][i] == (dropout or success)
        assert ended["truncated"][i] == truncated
        assert ended["over"][i] == (dropout or success or truncated)
        assert ended["reward"][i] == expected
        seen.add((dropout, success, truncated))
    assert len(seen) == 4


def test_after_success_therapy_may_go_on():
    """Success counts once; its client may relapse and leave; else the sessions run out."""
    params = ClientParams(threshold=0.5, max_sessions=30, stop_at_success=False)
    dyad = dyads.open_with(client_of((6, 2)), 6, stop_at_success=False)
    respond = jax.jit(lambda dyad, rs: dyads.respond(dyad.replace(initial_rs=rs), 2, 2, params))
    first = respond(dyad.replace(time=jnp.int32(7)), 0.0)
    assert first.success and dyads.just_succeeded(first) and not dyads.terminated(first)
    assert dyads.sessions_to_success(first) == 8
    later = respond(first, 0.0)
    assert later.success and not dyads.just_succeeded(later)
    assert dyads.sessions_to_success(later) == 8
    left = respond(later, 63.0)
    assert left.success and left.dropped_out and dyads.terminated(left)
    last = respond(later.replace(time=jnp.int32(29)), 0.0)
    assert dyads.truncated(last, params) and not dyads.terminated(last)
    assert not dyads.relapsed(last, params)
    assert dyads.relapsed(last, params.replace(threshold=0.9))


def test_who_is_as_well_off_as_at_intake_stays():
    """RS recomputed from a memory that looks the same is the same to the last bit.

    Otherwise rounding would make clients drop out at random: dropout asks for less RS, strictly.
    """

    @jax.jit
    @jax.vmap
    def ten_sessions(utility, ratio):
        # The client only ever shows D, hears D, and there is better to be had, so nothing succeeds.
        u = jnp.full((8, 8), -100.0).at[0].set(utility).at[0, 5].set(utility + 1)
        params = ClientParams(
            mechanism="bond_only",
            u_min=u,
            u_max=u,
            threshold=1.0,
            entropy=0.01,
            recency_ratio=ratio,
            pattern_weights=pattern_weights(["conflictual"]),
        )
        dyad = dyads.intake(jax.random.key(0), params)

        def session(dyad, key):
            dyad = dyads.hold_session(key, dyad, jnp.int8(0), params)
            return dyad, (dyad.dropped_out, dyad.client.rs == dyad.initial_rs, dyad.client_act)

        return jax.lax.scan(session, dyad, jax.random.split(jax.random.key(1), 10))[1]

    rng = np.random.default_rng(0)
    utility = rng.uniform(-70, 70, 5_000).astype(np.float32)
    ratio = rng.uniform(1, 5, 5_000).astype(np.float32)
    dropped_out, same, acts = ten_sessions(utility, ratio)
    assert not np.any(acts)
    assert np.all(same)
    assert not np.any(dropped_out)


def test_the_last_act_stays_on_the_table():
    """No next act is drawn once the therapy is over."""
    params = ClientParams(max_sessions=1, threshold=1.0, entropy=1e6)
    dyad = dyads.open_with(client_of(), 3)
    for seed in range(5):
        assert hold_session(jax.random.key(seed), dyad, jnp.int8(0), params).client_act == 3
    params = params.replace(max_sessions=2)
    acts = [
        int(hold_session(jax.random.key(seed), dyad, jnp.int8(0), params).client_act)
        for seed in range(20)
    ]
    assert len(set(acts)) > 2


@pytest.mark.parametrize("number", [0, 1, 7])
def test_clients_of_one_key_share_no_random_number(number):
    """Client k has those from k · n on, n of them."""
    key, params = jax.random.key(5), ClientParams()
    n = N_POINTS + 1
    points = uniforms(key, (number + 1) * n)[number * n :]
    client, pattern = draw_client(points[:-1], params)
    dyad = dyads.intake(key, params, number)
    np.testing.assert_allclose(dyad.client.u, client.u, rtol=1e-6)
    np.testing.assert_array_equal(dyad.client.memory, client.memory)
    assert dyad.pattern == pattern


# --- numbers -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def crowd():
    """Clients who act and are heard by chance, before and after a session with one key for all."""
    params = ClientParams(
        entropy=1e6, threshold=1.0, pattern_weights=pattern_weights(["cold_warm"])
    )
    numbers, acts = jnp.arange(N_DYADS), jnp.full(N_DYADS, S, jnp.int8)
    before = jax.jit(lambda key: dyads.intakes(key, params, numbers))(jax.random.key(0))
    hold = jax.vmap(dyads.hold_session, in_axes=(None, 0, 0, None, 0))
    after = jax.jit(lambda key: hold(key, before, acts, params, numbers))(KEY)
    points = jax.vmap(lambda i: dyads.therapist_point(KEY, i))(numbers)
    return params, before, after, points


KEY = jax.random.key(11)


def test_dyads_that_share_a_key_are_independent(crowd):
    """Hearing, next act and the therapist's point, of a dyad and its neighbour.

    False alarms: 0.1 % over all pairs.
    """
    _, _, after, points = crowd
    draws = {
        "heard": np.asarray(after.heard_act == S).astype(int),
        "act": np.asarray(after.client_act),
        "therapist": np.floor(8 * np.asarray(points)).astype(int),
    }
    size = {"heard": 2, "act": 8, "therapist": 8}
    p_values = {}
    for one, other in itertools.combinations_with_replacement(draws, 2):
        if one != other:
            p_values[one, other] = independent(draws[one], draws[other], size[one], size[other])
        for shift in (1, 2, 3):
            first, second = draws[one][:-shift], draws[other][shift:]
            p_values[one, other, shift] = independent(first, second, size[one], size[other])
    for name in draws:
        counts = np.bincount(draws[name], minlength=size[name])
        p_values[name] = goodness_of_fit(counts, np.ones(size[name]))
    assert_all_plausible(p_values, rate=1e-3)


@pytest.mark.parametrize("number", [0, 1, 2, 999, N_DYADS - 1])
def test_a_number_alone_is_that_number_in_a_crowd(crowd, number):
    params, before, after, points = crowd
    one = jax.tree.map(lambda x: x[number], before)
    alone = hold_session(KEY, one, jnp.int8(S), params, number)
    among = jax.tree.map(lambda x: x[number], after)
    for a, b in zip(jax.tree.leaves(alone), jax.tree.leaves(among), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-4)
    assert (alone.heard_act, alone.client_act) == (among.heard_act, among.client_act)
    assert dyads.therapist_point(KEY, number) == points[number]


def test_a_session_draws_three_numbers_of_its_key_in_order(crowd):
    """The therapist's, hearing, the next act: dyad i has those from 3 i on."""
    params, _, after, points = crowd
    therapist, hearing, acting = uniforms(KEY, 3 * N_DYADS).reshape(-1, 3).T
    np.testing.assert_array_equal(points, therapist)
    np.testing.assert_array_equal(after.heard_act == S, hearing < params.baseline_accuracy)
    # All acts are equally likely, so which eighth a point lies in is the act.
    near_a_border = np.abs(8 * acting - np.round(8 * acting)) < 1e-3
    drawn = np.floor(8 * acting)
    np.testing.assert_array_equal(after.client_act[~near_a_border], drawn[~near_a_border])


# --- dropout -------------------------------------------------------------------------------------


@pytest.mark.parametrize("session", [0, 1, 3, 10, 30])
def test_the_session_after_which_clients_leave_is_a_setting(session):
    """The one session it is; 0: none."""
    params = ClientParams(threshold=0.9, dropout_session=session)
    dyad = dyads.open_with(client_of((6, 2)), 6).replace(initial_rs=jnp.float32(51))
    left = [
        number + 1
        for number in range(40)
        if respond(
            dyad.replace(time=jnp.int32(number)), jnp.int8(2), jnp.int8(2), params
        ).dropped_out
    ]
    assert left == ([session] if session else [])


# --- chance --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def beginnings():
    """Two sessions of clients whose acts are drawn uniformly, whatever they feel."""
    params = ClientParams(entropy=1e6, threshold=1.0, baseline_accuracy=0.3)

    @jax.jit
    @jax.vmap
    def begin(key, weights):
        mixed = params.replace(pattern_weights=weights)
        first = dyads.intake(jax.random.fold_in(key, 0), mixed)
        second = dyads.hold_session(jax.random.fold_in(key, 1), first, jnp.int8(S), mixed)
        third = dyads.hold_session(jax.random.fold_in(key, 2), second, jnp.int8(S), mixed)
        return first, second, third

    keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(0), i))(jnp.arange(3 * N_DYADS))
    # A third of the dyads each: any pattern, only the uniform one, only (C, W).
    weights = np.repeat(
        [
            pattern_weights(names).astype(np.float32)
            for names in (PATTERNS, ["mixed_random"], ["cold_warm"])
        ],
        N_DYADS,
        axis=0,
    )
    states = jax.tree.map(np.asarray, begin(keys, weights))
    return [
        jax.tree.map(lambda leaf, part=part: leaf[part * N_DYADS : (part + 1) * N_DYADS], states)
        for part in range(3)
    ]


def octile(u):
    """Which eighth of its sample each utility lies in."""
    return np.argsort(np.argsort(u)) * 8 // len(u)


def test_matrix_memory_pattern_and_acts_are_independent(beginnings):
    """False alarms: 0.1 % over all pairs of draws."""
    (any_pattern, _, _), (first, second, third), _ = beginnings
    draws = {
        "u[0, 0]": octile(first.client.u[:, 0, 0]),
        "u[7, 7]": octile(first.client.u[:, 7, 7]),
        "oldest client act": first.client.memory[:, 0] % 8,
        "oldest therapist act": first.client.memory[:, 0] // 8,
        "newest client act": first.client.memory[:, -1] % 8,
        "newest therapist act": first.client.memory[:, -1] // 8,
        "first act": first.client_act,
        "second act": second.client_act,
        "third act": third.client_act,
    }
    p_values = {
        (one, other): independent(draws[one], draws[other], 8, 8)
        for one, other in itertools.combinations(draws, 2)
    }
    for name, values in draws.items():
        p_values[name, "uniform"] = goodness_of_fit(np.bincount(values, minlength=8), np.ones(8))
        p_values[name, "next dyad"] = independent(values[:-1], values[1:], 8, 8)
    pattern = any_pattern.pattern
    p_values["pattern", "uniform"] = goodness_of_fit(np.bincount(pattern), np.ones(7))
    p_values["pattern", "u"] = independent(pattern, octile(any_pattern.client.u[:, 3, 4]), 7, 8)
    p_values["pattern", "act"] = independent(pattern, any_pattern.client_act, 7, 8)
    assert_all_plausible(p_values, rate=1e-3)


def test_hearing_is_a_coin_of_its_own(beginnings):
    """Clients used to W hear S or W; false alarms: 0.1 % over all pairs of draws."""
    _, _, (first, second, third) = beginnings
    heard = {}
    for name, state in (("first", second), ("second", third)):
        assert set(np.unique(state.heard_act)) == {W, S}
        heard[name] = state.heard_act == S
    p_values = {
        f"{name} at 0.3": goodness_of_fit(np.bincount(accurate), [0.7, 0.3])
        for name, accurate in heard.items()
    }
    p_values["first, second"] = independent(heard["first"], heard["second"], 2, 2)
    for name, accurate in heard.items():
        p_values[f"{name}, next dyad"] = independent(accurate[:-1], accurate[1:], 2, 2)
        for other, acts in (
            ("first act", first.client_act),
            ("second act", second.client_act),
            ("third act", third.client_act),
            ("u", octile(first.client.u[:, 1, 1])),
        ):
            p_values[f"{name}, {other}"] = independent(accurate, acts, 2, 8)
    assert_all_plausible(p_values, rate=1e-3)
