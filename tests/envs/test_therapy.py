"""The gymnax face of the client: conventions, and that every parameter can be swept."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxtherapy as jt
from jaxtherapy.client import client as clients
from jaxtherapy.client import dyad as dyads
from jaxtherapy.client.params import STATIC, ClientParams
from jaxtherapy.envs.flat import flatten
from jaxtherapy.envs.therapy import TherapyEnv
from tests.client.replay import arrays

ENV = TherapyEnv()
N_ENVS, N_STEPS = 16, 70

# Short therapies, so that all three endings happen within a few dozen steps.
PARAMS = arrays(ClientParams(threshold=0.7, max_sessions=20))

INFO = {
    "session",
    "rs",
    "bond",
    "client_action",
    "therapist_action",
    "heard_action",
    "success",
    "dropped_out",
    "max_reached",
    "pattern",
    "initial_rs",
    "rs_threshold",
}


def first(tree):
    return jax.tree.map(lambda leaf: leaf[0], tree)


def assert_trees_equal(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(a, b)


@jax.jit
def roll_out(key, params):
    """``N_STEPS`` steps of ``N_ENVS`` environments with random acts, auto-reset and all."""
    key_reset, key_steps = jax.random.split(key)
    reset = jax.vmap(ENV.reset, in_axes=(0, None))
    observation, state = reset(jax.random.split(key_reset, N_ENVS), params)

    def step(carry, key):
        observation, state = carry
        key_act, key_step = jax.random.split(key)
        acts = jax.random.randint(key_act, (N_ENVS,), 0, ENV.num_actions)
        keys = jax.random.split(key_step, N_ENVS)
        stepped = jax.vmap(ENV.step, in_axes=(0, 0, 0, None))(keys, state, acts, params)
        assert len(stepped) == 6
        # The environment should add nothing to a session but the split of the key.
        held = jax.vmap(dyads.hold_session, in_axes=(0, 0, 0, None))(
            jax.vmap(jax.random.split)(keys)[:, 0], state, acts, params
        )
        return stepped[:2], {
            "held": held,
            "held_terminated": dyads.terminated(held),
            "held_truncated": dyads.truncated(held, params),
            "before": observation,
            "state_before": state,
            "act": acts,
            "observation": stepped[0],
            "state": stepped[1],
            "reward": stepped[2],
            "terminated": stepped[3],
            "truncated": stepped[4],
            "info": stepped[5],
        }

    return jax.lax.scan(step, (observation, state), jax.random.split(key_steps, N_STEPS))[1]


@pytest.fixture(scope="module")
def steps():
    return jax.tree.map(np.asarray, roll_out(jax.random.key(0), PARAMS))


# --- conventions ---------------------------------------------------------------------------------


def test_spaces_contain_what_is_returned(steps):
    space = ENV.observation_space(PARAMS)
    assert set(space.spaces) == {"client_action", "session_number", "history"}
    for name in ("before", "observation"):
        seen = steps[name]
        for key, part in space.spaces.items():
            values = getattr(seen, key)
            assert values.shape[2:] == part.shape
            assert values.dtype == part.dtype
        flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), seen)
        assert np.all(jax.vmap(space.contains)(flat))
    assert steps["observation"].session_number.dtype == np.float32
    assert steps["observation"].history.shape == (N_STEPS, N_ENVS, 50)


def test_samples_have_the_shape_of_observations(steps):
    sample = ENV.observation_space(PARAMS).sample(jax.random.key(0))
    for key, values in sample.items():
        seen = getattr(steps["observation"], key)
        assert (values.shape, values.dtype) == (seen.shape[2:], seen.dtype)


def test_state_space_contains_the_state(steps):
    flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), steps["state"])
    assert np.all(jax.vmap(ENV.state_space(PARAMS).contains)(flat))


def test_acts_are_the_octants():
    assert ENV.action_space(PARAMS).n == ENV.action_space().n == ENV.num_actions == 8
    assert ENV.name == "jaxtherapy"


def test_default_params_are_the_defaults():
    assert_trees_equal(ENV.default_params, ClientParams())


def test_scalars_are_scalars(steps):
    for name, dtype in (("reward", np.float32), ("terminated", bool), ("truncated", bool)):
        assert steps[name].shape == (N_STEPS, N_ENVS)
        assert steps[name].dtype == dtype


def test_ends_are_told_apart(steps):
    info, terminated, truncated = steps["info"], steps["terminated"], steps["truncated"]
    assert set(info) >= INFO
    assert not np.any(terminated & truncated)
    np.testing.assert_array_equal(terminated, info["success"] | info["dropped_out"])
    np.testing.assert_array_equal(truncated, info["max_reached"])
    np.testing.assert_array_equal(truncated, (info["session"] == 20) & ~terminated)
    assert not np.any(info["success"] & info["dropped_out"])
    assert np.all(info["session"][info["dropped_out"]] == 10)
    # All three endings happen, or the rest of this file proves little.
    assert info["success"].any()
    assert info["dropped_out"].any()
    assert truncated.any()
    expected = np.where(info["success"], 100.0 + 2.0 * (20 - info["session"]), 0.0)
    np.testing.assert_array_equal(steps["reward"], np.where(info["dropped_out"], -150, expected))


def test_final_observation_is_that_of_the_ended_therapy(steps):
    over = steps["terminated"] | steps["truncated"]
    info, last = steps["info"], steps["info"]["final_observation"]
    np.testing.assert_allclose(last.session_number[..., 0] * 20, info["session"], rtol=1e-6)
    # The last exchange is in it, and no further act was drawn once it was over.
    place = 2 * (info["session"] - 1)
    at = lambda offset: np.take_along_axis(last.history, place[..., None] + offset, 2)[..., 0]  # noqa: E731
    np.testing.assert_array_equal(at(0), steps["before"].client_action)
    np.testing.assert_array_equal(at(1), steps["act"])
    np.testing.assert_array_equal(last.client_action[over], steps["before"].client_action[over])
    # Where nothing ended it is simply the observation.
    ongoing = jax.tree.map(lambda leaf: leaf[~over], (last, steps["observation"]))
    assert_trees_equal(*ongoing)


def test_auto_reset_brings_a_new_client(steps):
    over = steps["terminated"] | steps["truncated"]
    new = jax.tree.map(lambda leaf: leaf[over], steps["observation"])
    assert np.all(new.session_number == 0)
    assert np.all(new.history == 8)
    before, after = steps["state_before"].client.u, steps["state"].client.u
    assert np.all((before != after).all(axis=(2, 3))[over])
    assert np.all((before == after).all(axis=(2, 3))[~over])
    assert np.all(steps["state"].time[over] == 0)
    np.testing.assert_array_equal(steps["state"].initial_rs[over], steps["state"].client.rs[over])
    matrices = after[over].reshape(-1, 64)
    assert len(np.unique(matrices, axis=0)) == len(matrices)


def test_info_tells_what_stays_hidden(steps):
    info, state, over = steps["info"], steps["state"], steps["terminated"] | steps["truncated"]
    np.testing.assert_array_equal(info["client_action"], steps["before"].client_action)
    np.testing.assert_array_equal(info["therapist_action"], steps["act"])
    np.testing.assert_array_equal(info["rs"][~over], state.client.rs[~over])
    np.testing.assert_array_equal(info["bond"][~over], state.client.bond[~over])
    np.testing.assert_array_equal(info["heard_action"][~over], state.heard_act[~over])
    np.testing.assert_array_equal(info["pattern"], steps["state_before"].pattern)
    np.testing.assert_array_equal(info["initial_rs"], steps["state_before"].initial_rs)
    np.testing.assert_array_equal(info["terminated"], steps["terminated"])
    np.testing.assert_array_equal(info["truncated"], steps["truncated"])
    u = steps["state_before"].client.u
    low, high = u.min(axis=(2, 3)), u.max(axis=(2, 3))
    np.testing.assert_allclose(info["rs_threshold"], low + 0.7 * (high - low), rtol=1e-5)


def test_observations_hide_the_client(steps):
    assert steps["before"]._fields == ("client_action", "session_number", "history")


def test_keys_decide(steps):
    assert_trees_equal(steps, jax.tree.map(np.asarray, roll_out(jax.random.key(0), PARAMS)))
    other = roll_out(jax.random.key(1), PARAMS)
    assert np.all(other["state"].client.u != steps["state"].client.u)


def test_a_step_is_a_session(steps):
    held, info = steps["held"], steps["info"]
    over = steps["terminated"] | steps["truncated"]
    np.testing.assert_array_equal(steps["terminated"], steps["held_terminated"])
    np.testing.assert_array_equal(steps["truncated"], steps["held_truncated"])
    np.testing.assert_array_equal(info["final_observation"].history, held.history)
    np.testing.assert_array_equal(info["final_observation"].client_action, held.client_act)
    np.testing.assert_array_equal(info["heard_action"], held.heard_act)
    np.testing.assert_array_equal(steps["state"].client.memory[~over], held.client.memory[~over])
    np.testing.assert_allclose(info["rs"], held.client.rs, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(info["bond"], held.client.bond, rtol=1e-5)


def test_params_may_be_left_out():
    observation, state = ENV.reset(jax.random.key(0))
    assert observation.session_number == 0
    assert ENV.step(jax.random.key(1), state, 2)[5]["session"] == 1
    assert ENV.is_terminal(state, PARAMS) == ENV.is_terminated(state, PARAMS)
    assert_trees_equal(ENV.observe(None, state, None, PARAMS), observation)


# --- sweeps --------------------------------------------------------------------------------------

SWEEPS = {
    "pattern_weights": np.eye(7, dtype=np.float32)[[3, 5, 6]],
    "exact_anticomplement": np.array([False, True, True]),
    "u_min": np.random.default_rng(0).uniform(-50, 0, (3, 8, 8)).astype(np.float32),
    "u_max": np.random.default_rng(1).uniform(70, 90, (3, 8, 8)).astype(np.float32),
    "threshold": np.array([0.1, 0.5, 1.0], np.float32),
    "max_sessions": np.array([1, 5, 100], np.int32),
    "entropy": np.array([1e-6, 1.0, 1e6], np.float32),
    "bond_alpha": np.array([0.0, 5.0, 1000.0], np.float32),
    "bond_offset": np.array([0.0, 0.5, 1.0], np.float32),
    "history_weight": np.array([0.0, 1.0, 10.0], np.float32),
    "bond_power": np.array([0.0, 1.0, 3.0], np.float32),
    "smoothing": np.array([0.0, 0.1, 10.0], np.float32),
    "recency_ratio": np.array([1.0, 2.0, 1e3], np.float32),
    "enable_parataxic": np.array([False, True, True]),
    "baseline_accuracy": np.array([0.0, 0.5, 1.0], np.float32),
    "dropout_session": np.array([0, 1, 10], np.int32),
    "success_reward": np.array([-1.0, 0.0, 100.0], np.float32),
    "reward_per_session_saved": np.array([0.0, 2.0, -3.0], np.float32),
    "dropout_reward": np.array([-150.0, 0.0, 10.0], np.float32),
}

# The mechanism that uses every one of them.
SWEPT = arrays(ClientParams(mechanism="bond_weighted_conditional_amplifier", bond_offset=0.5))


def one_step(key, params):
    """A new client and one step, with everything that any parameter has a say in."""
    key_reset, key_step = jax.random.split(key)
    observation, state = ENV.reset_env(key_reset, params)
    stepped = ENV.step_env(key_step, state, jnp.int32(3), params)
    truncated = ENV.is_truncated(stepped[1], params)
    return observation, state, stepped, truncated, clients.expected_payoffs(state.client, params)


one_by_one = jax.jit(one_step)
side_by_side = jax.jit(jax.vmap(one_step))


def test_sweeps_cover_every_leaf():
    fields = {field.name for field in dataclasses.fields(ClientParams)}
    assert set(SWEEPS) == fields - {*STATIC}


@pytest.mark.parametrize("name", SWEEPS)
def test_every_leaf_can_be_swept(name):
    """Environments that differ in one leaf are those of the loop over its values."""
    values = {name: SWEEPS[name]}
    # Batched over it alone, it can be traced; one program for all leaves computes.
    in_axes = jax.tree.map(lambda _: None, SWEPT).replace(**{name: 0})
    alone = jax.vmap(one_step, in_axes=(None, in_axes))
    told = jax.eval_shape(alone, jax.random.key(3), SWEPT.replace(**values))
    keys = jnp.repeat(jax.random.key(3), 3)
    batched = jax.tree.map(lambda leaf: np.stack([leaf] * 3), SWEPT).replace(**values)
    swept = side_by_side(keys, batched)
    assert jax.tree.map(jnp.shape, swept) == jax.tree.map(jnp.shape, told)
    for i, value in enumerate(SWEEPS[name]):
        alone = one_by_one(jax.random.key(3), SWEPT.replace(**{name: value}))
        for ours, theirs in zip(jax.tree.leaves(swept), jax.tree.leaves(alone), strict=True):
            if np.issubdtype(theirs.dtype, np.floating):
                np.testing.assert_allclose(ours[i], theirs, rtol=1e-4, atol=1e-3)
            else:
                np.testing.assert_array_equal(ours[i], theirs)


def test_keys_and_all_leaves_swept_at_once():
    """Environments of different parameters side by side, as in a population of clients."""
    batched = SWEPT.replace(**SWEEPS)
    keys = jax.random.split(jax.random.key(4), 3)
    swept = side_by_side(keys, batched)
    for i in range(3):
        alone = one_by_one(keys[i], jax.tree.map(lambda leaf, i=i: leaf[i], batched))
        np.testing.assert_allclose(swept[1].client.rs[i], alone[1].client.rs, rtol=1e-4)
        np.testing.assert_array_equal(swept[1].client.memory[i], alone[1].client.memory)
        np.testing.assert_array_equal(swept[1].client_act[i], alone[1].client_act)


# --- for gymnax's users --------------------------------------------------------------------------


def test_make_gives_environment_and_params():
    env, params = jt.make("Therapy-v0", patterns=["cold_stuck"], threshold=0.6)
    assert isinstance(env, TherapyEnv) and params.threshold == np.float32(0.6)
    assert params.max_steps_in_episode == 100
    assert params.pattern_weights.tolist() == [1, 0, 0, 0, 0, 0, 0]
    assert jt.make(config="configs/first_steps.yaml")[1].threshold == np.float32(0.6)
    with pytest.raises(
        ValueError, match="unknown environment 'CartPole-v1'; there is 'Therapy-v0'"
    ):
        jt.make("CartPole-v1")
    with pytest.raises(jt.ConfigError, match="n_envs is no setting of clients"):
        jt.make("Therapy-v0", n_envs=3)


def test_gymnax_0_has_five_values_and_one_end():
    env, wrapped = ENV, jt.Gymnax0Wrapper(ENV)
    space = wrapped.observation_space(PARAMS)
    assert space.shape == (409,) and wrapped.num_actions == 8
    key, act = jax.random.key(0), jnp.int32(2)
    seen, state = wrapped.reset(key, PARAMS)
    assert space.contains(seen)
    ends = set()
    for number in range(20):
        key_step = jax.random.fold_in(key, number)
        *_, reward, terminated, truncated, info = env.step(key_step, state, act, PARAMS)
        seen, state, paid, done, told = wrapped.step(key_step, state, act, PARAMS)
        assert done == (terminated | truncated) and paid == reward
        assert told["truncated"] == truncated and seen.shape == (409,)
        np.testing.assert_array_equal(told["final_observation"], flatten(info["final_observation"]))
        ends.add(bool(done))
    assert ends == {False, True}
