"""The Gymnasium environments: its own checks, and that they are the client that the rest knows."""

import subprocess
import sys
import warnings

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import DictInfoToList, RecordEpisodeStatistics
from stable_baselines3.common.env_checker import check_env as check_for_stable_baselines3

import jaxtherapy as jt
from jaxtherapy.client.octants import COMPLEMENT
from jaxtherapy.client.params import clients_of
from jaxtherapy.envs.flat import flatten
from jaxtherapy.gym.programs import therapy_key

ID = "jaxtherapy.gym:jaxtherapy/Therapy-v0"

# Short therapies, so that all three endings happen within a few dozen steps.
SETTINGS = {"threshold": 0.5, "max_sessions": 20, "patterns": ["cold_stuck", "mixed_random"]}

INFO = {
    *("session", "rs", "bond", "client_action", "therapist_action", "heard_action", "success"),
    *("dropped_out", "max_reached", "pattern", "initial_rs", "rs_threshold"),
}


@pytest.fixture(autouse=True)
def warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def one(**given):
    return gymnasium.make(ID, **SETTINGS | given)


def many(n=5, **given):
    return gymnasium.make_vec(ID, num_envs=n, **SETTINGS | given)


# --- what Gymnasium and Stable-Baselines3 check ----------------------------------------------


@pytest.mark.parametrize("flat", [False, True])
def test_the_checkers_find_nothing(flat):
    check_env(one(flat=flat).unwrapped)
    check_for_stable_baselines3(one(flat=flat).unwrapped)


def test_nothing_of_ours_needs_to_be_imported_first():
    told = f"import gymnasium; print(gymnasium.make({ID!r}).observation_space)"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert "client_action" in done.stdout


def test_the_rest_does_not_import_gymnasium():
    told = (
        "import sys, jaxtherapy as jt; jt.simulate, jt.Trainer, jt.write_report; "
        "import jaxtherapy.cli.train; assert 'gymnasium' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", told], check=True)


def test_settings_are_checked_and_may_come_from_a_file(tmp_path):
    with pytest.raises(jt.ConfigError, match="threshold is 2, must be"):
        one(threshold=2)
    with pytest.raises(jt.ConfigError, match="n_envs is no setting of clients; these are: thresh"):
        one(n_envs=2)
    with pytest.raises(jt.ConfigError, match=r"unknown setting 'threshhold'.*threshold"):
        many(threshhold=2)
    file = tmp_path / "config.yaml"
    jt.save_config(jt.TrainingConfig(max_sessions=7, threshold=0.99), file)
    env = gymnasium.make(ID, config=file, dropout_session=0)
    env.reset(seed=0)
    assert [env.step(0)[3] for _ in range(7)] == [False] * 6 + [True]


# --- one client ------------------------------------------------------------------------------


def test_the_first_therapy_of_a_seed_is_the_one_that_is_simulated():
    clients = clients_of(**SETTINGS)
    for seed, number in ((3, 0), (3, 1)):
        env = one()
        seen, _ = env.reset(seed=seed)
        for _ in range(number):
            seen, _ = env.reset()
        acts, over = [], False
        while not over:
            acts.append(int(COMPLEMENT[seen["client_action"]]))
            seen, _, *ends, info = env.step(acts[-1])
            over = any(ends)
        dyad, course = jt.simulate_course(
            therapy_key(np.uint32(seed), number), clients, jt.therapists.complementary, 1, 20
        )
        assert acts == course.therapist_act[course.held].tolist()
        assert info["session"] == len(acts) == dyad.time[0]
        assert (info["success"], info["dropped_out"]) == (dyad.success[0], dyad.dropped_out[0])
        np.testing.assert_allclose(info["rs"], dyad.client.rs[0], rtol=1e-5)


def test_observation_and_info_are_those_of_the_model():
    env = one()
    seen, told = env.reset(seed=1)
    assert seen["history"].tolist() == [8] * 50 and seen["session_number"] == [0]
    assert set(told) == INFO and told["session"] == 0 and told["therapist_action"] == 8
    asked = int(seen["client_action"])
    seen, reward, terminated, truncated, told = env.step(3)
    assert seen["history"].tolist() == [asked, 3] + [8] * 48
    np.testing.assert_allclose(seen["session_number"], 1 / 20)
    assert (told["client_action"], told["therapist_action"]) == (asked, 3)
    assert set(told) == INFO and reward == 0 and not terminated and not truncated
    assert {type(each) for each in told.values()} == {int, float, bool}


def test_the_flat_observation_says_the_same():
    env, flat = one(), one(flat=True)
    for each in (env, flat):
        each.reset(seed=1)
    for act in (0, 3, 7):
        seen, numbers = env.step(act)[0], flat.step(act)[0]
    assert numbers.shape == (409,)
    assert numbers[:8].argmax() == seen["client_action"] and numbers[8] == seen["session_number"][0]
    places = numbers[9:].reshape(50, 8)
    assert places[:6].argmax(1).tolist() == seen["history"][:6].tolist()
    assert places[:6].sum() == places.sum() == 6


def test_flattening_is_one_function_for_numpy_and_jax():
    seen = jax.vmap(lambda key: jt.TherapyEnv().reset(key)[0])(jax.random.split(jax.random.key(0)))
    on_host = jax.tree.map(np.asarray, seen)
    np.testing.assert_array_equal(jax.jit(flatten)(seen), flatten(on_host))


def test_steps_before_a_reset_are_refused():
    with pytest.raises(gymnasium.error.ResetNeeded):
        one().unwrapped.step(0)
    with pytest.raises(RuntimeError, match="reset"):
        many().step(np.zeros(5, int))


@pytest.mark.parametrize("act", [8, -1, 300, 2.5, True, "2", None])
def test_acts_that_are_none_are_refused(act):
    env, envs = one(), many(2)
    for each in (env, envs):
        each.reset(seed=0)
    with pytest.raises(ValueError, match=r"must be whole numbers from 0 to 7"):
        env.step(act)
    with pytest.raises(ValueError, match=r"must be whole numbers from 0 to 7"):
        envs.step([act, act])
    with pytest.raises(ValueError, match=r"shape \(1,\), must be \(\)"):
        env.step([2])


@pytest.mark.parametrize("mode", ["ansi", "rgb_array"])
def test_a_therapy_is_drawn(mode):
    env = one(render_mode=mode)
    env.reset(seed=0)
    first = env.render()
    env.step(2)
    second = env.render()
    if mode == "ansi":
        assert "session 1 of 20" in second and "2 W (T)" in second and "success at 0.50" in second
        assert "(T)" not in first and first.count("[C]") == 1
    else:
        assert first.shape == second.shape == (480, 400, 3) and first.dtype == np.uint8
        assert (first != second).any()


# --- many clients ----------------------------------------------------------------------------


@pytest.mark.parametrize("flat", [False, True])
def test_many_are_one_and_one_and_one(flat):
    """For several therapies of each, as Gymnasium's own vector environment has them."""
    n, n_steps = 5, 60
    theirs = SyncVectorEnv([lambda: one(flat=flat)] * n, autoreset_mode=AutoresetMode.SAME_STEP)
    ours = many(n, flat=flat)
    assert ours.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    assert ours.single_observation_space == theirs.single_observation_space
    assert ours.observation_space == theirs.observation_space
    assert_same(ours.reset(seed=11), theirs.reset(seed=11))
    acts = np.random.default_rng(0).integers(0, 8, (n_steps, n))
    acts[:, 3:] = 2  # warmth succeeds
    ends = np.zeros(3, int)
    for each in acts:
        here, there = ours.step(each), theirs.step(each)
        assert_same(here, there)
        assert here[0] in ours.observation_space
        if "final_info" in here[4]:
            final = here[4]["final_info"]
            kinds = final["success"], final["dropped_out"], final["max_reached"]
            ends += [each.sum() for each in kinds]
            np.testing.assert_array_equal(final["max_reached"], here[3])
    assert (ends > 0).all()  # or this proves little
    assert_same(ours.reset(), theirs.reset())


def assert_same(here, there):
    if isinstance(here, dict):
        spared = {f"_{name}" for name in INFO} if "_rs" not in here else set()
        assert here.keys() == there.keys() - spared  # what all have needs no mask
        here, there = list(here.values()), [there[key] for key in here]
    if isinstance(here, tuple | list) or getattr(here, "dtype", None) == np.dtype(object):
        for a, b in zip(here, there, strict=True):
            assert_same(a, b)
    elif here is None:
        assert there is None
    else:
        np.testing.assert_allclose(here, there, rtol=1e-5, atol=1e-5)


def test_seeds_may_be_named_one_by_one():
    envs = many(3)
    first = envs.reset(seed=[7, 5, 7])[1]["initial_rs"]
    assert first[0] == first[2] != first[1]
    np.testing.assert_allclose(envs.reset(seed=5)[1]["initial_rs"][::2], first[1::-1], rtol=1e-6)
    with pytest.raises(ValueError, match="2 seeds for 3 clients"):
        envs.reset(seed=[1, 2])
    with pytest.raises(ValueError, match=r"must be \(3,\)"):
        envs.step([1, 2])
    for wrong in ([-1, 2, 3], [1.5, 2, 3], "abc"):
        with pytest.raises(ValueError, match="must be whole numbers from 0 on"):
            envs.reset(seed=wrong)


def test_what_many_clients_can_not_do_is_told():
    with pytest.raises(ValueError, match=r"gymnasium\.make draws one"):
        many(3, render_mode="ansi")
    with pytest.raises(ValueError, match="num_envs is 0, must be at least 1"):
        many(0)


def test_gymnasium_s_wrappers_take_it():
    # No therapy ends with its first session: the wrapper leaves the first reward out of the sum.
    envs = DictInfoToList(RecordEpisodeStatistics(many(3, threshold=0.95)))
    envs.reset(seed=0)
    rng, returns = np.random.default_rng(0), []
    for _ in range(40):
        _, rewards, terminated, truncated, told = envs.step(rng.integers(0, 8, 3))
        for i in np.flatnonzero(terminated | truncated):
            returns.append((told[i]["episode"]["r"], rewards[i]))
            assert set(told[i]["final_info"]) == INFO
    assert returns and all(summed == paid for summed, paid in returns)


def test_what_is_given_may_be_written_to():
    envs = many(3)
    seen, told = envs.reset(seed=0)
    for _ in range(20):
        seen, rewards, terminated, truncated, told = envs.step(np.zeros(3, int))
        for array in (*seen.values(), rewards, terminated, truncated, told["rs"]):
            assert array.flags.writeable
