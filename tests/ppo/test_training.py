"""Whole iterations: seeds, sweeps, divergence, the log, and that something is learnt."""

from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxtherapy.client.octants import COMPLEMENT, D, W
from jaxtherapy.config import TrainingConfig
from jaxtherapy.config.settings import PPO
from jaxtherapy.ppo import ppo as ppos
from jaxtherapy.ppo.log import empty_log
from jaxtherapy.ppo.optimizer import adam_state, with_adam_state
from jaxtherapy.ppo.running_statistics import RunningStatistics, nothing_seen
from jaxtherapy.ppo.types import Losses, make_settings
from tests.plausibility import assert_all_plausible
from tests.ppo.small import (
    MAX_SESSIONS,
    SETTINGS,
    SMALL,
    advantages,
    assert_close,
    assert_identical,
    collect,
    differ,
    evaluate,
    init,
    numpy,
    raw,
    train,
    with_clients,
    with_constant_policy,
    with_hyper,
)

SEEDS = np.array([3, 5, 11, *range(20, 33)], np.int32)
COMPANY = np.array([8, 5, 2, *range(40, 53)], np.int32)


@pytest.fixture(scope="module")
def begun():
    return init(SMALL, SETTINGS, 5)


@pytest.fixture(scope="module")
def trained(begun):
    """After one, two and three updates, one by one."""
    states = [begun]
    for _ in range(3):
        states.append(train(SMALL, SETTINGS, states[-1], 1))
    return states


def of(tree, i):
    return jax.tree.map(lambda x: x[i], tree)


# --- iterations -------------------------------------------------------------------------------


def test_three_updates_at_once_are_three_one_by_one(begun, trained):
    assert_identical(train(SMALL, SETTINGS, begun, 3), trained[3])


def test_an_update_with_clients_who_go_on_after_success_keeps_the_states_shapes():
    clients = SETTINGS.clients.replace(stop_at_success=False)
    settings = SETTINGS.replace(clients=clients)
    state = jax.eval_shape(partial(ppos.init, SMALL), settings, 5)
    after = jax.eval_shape(partial(ppos.train, SMALL), settings, state, 2)
    assert state.dyads.success_time.shape == (SMALL.n_envs,)
    assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, state)


def test_no_update_changes_nothing(begun):
    assert_identical(train(SMALL, SETTINGS, begun, 0), begun)


def test_counters(trained):
    for n, state in enumerate(trained):
        assert state.n_updates == n
        assert state.log.n_updates == n
        assert adam_state(state.opt_state).count == n * SMALL.gradient_steps_per_update
        assert state.return_stats.count == n * SMALL.steps_per_update
        assert not state.diverged


def test_every_update_changes_weights_key_and_clients(trained):
    for before, after in pairwise(trained):
        for name in ("params", "opt_state", "key", "dyads", "return_stats"):
            assert differ(getattr(before, name), getattr(after, name)), name
        assert_identical(before.eval_key, after.eval_key)


def test_return_statistics_are_kept_across_updates(trained):
    """Each update adds its own returns to those of all before."""
    before, after = trained[1], trained[2]
    collected, rollout, last_obs = collect(SMALL, SETTINGS, before)
    merged, *_ = advantages(SMALL, SETTINGS, collected, rollout, last_obs)
    assert_close(after.return_stats, merged.return_stats)
    # And not only its own.
    alone, *_ = advantages(
        SMALL, SETTINGS, collected.replace(return_stats=begun_stats()), rollout, last_obs
    )
    assert abs(float(alone.return_stats.std) - float(after.return_stats.std)) > 0.1


def begun_stats():
    return nothing_seen()


# --- the log ----------------------------------------------------------------------------------


def test_the_log_tells_of_the_episodes_that_ended(trained):
    """Over all updates since the log was emptied, recomputed from the rollouts themselves."""
    rewards, lengths, success, dropped_out = [], [], 0, 0
    for n, state in enumerate(trained[:-1]):
        _, rollout, _ = collect(SMALL, SETTINGS, state)
        rollout = numpy(rollout)
        ended = rollout.terminated | rollout.truncated
        rewards.extend(rollout.reward[ended].astype(float))
        lengths.extend(rollout.length[ended])
        success += np.sum(rollout.reward > 0)
        dropped_out += np.sum(rollout.reward < 0)

        log = trained[n + 1].log
        assert log.reward.count == log.length.count == len(rewards)
        np.testing.assert_allclose(log.reward.mean, np.mean(rewards), rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(log.reward.std, np.std(rewards), rtol=1e-4)
        np.testing.assert_allclose(log.length.mean, np.mean(lengths), rtol=1e-5)
        np.testing.assert_allclose(log.length.std, np.std(lengths), rtol=1e-4)
        assert (log.success, log.dropped_out) == (success, dropped_out)
    assert success > 2
    assert dropped_out > 0
    assert len(rewards) > success + dropped_out  # some were truncated
    assert max(lengths) == MAX_SESSIONS


def test_the_log_adds_up_losses(trained):
    """Sums over updates: the host divides by their number."""
    emptied = trained[1].replace(log=empty_log())
    alone = train(SMALL, SETTINGS, emptied, 1)
    assert_identical(alone.replace(log=None), trained[2].replace(log=None))
    assert alone.log.n_updates == 1
    for name in Losses._fields:
        both = getattr(trained[2].log.losses, name)
        first, second = (getattr(state.log.losses, name) for state in (trained[1], alone))
        np.testing.assert_allclose(both, first + second, rtol=1e-6, atol=1e-7)
    report = alone.log.losses
    assert 2.0 < report.entropy <= np.log(8) + 1e-5
    assert report.grad_norm > 0
    assert report.value_loss > 0
    assert report.explained_variance != 0


# --- divergence -------------------------------------------------------------------------------


def poison(params):
    leaves, structure = jax.tree.flatten(params)
    return jax.tree.unflatten(structure, [leaves[0].at[0].set(np.nan), *leaves[1:]])


def test_a_step_that_explodes_did_not_happen(trained):
    """The last good state stays, to the bit, marked."""
    state = trained[1]
    after = train(SMALL, with_hyper(SETTINGS, learning_rate=1e30), state, 5)
    assert after.diverged
    assert_identical(after.replace(diverged=state.diverged), state)
    assert all(np.all(np.isfinite(x)) for x in raw((after.params, after.opt_state)))
    # With a sane rate it goes on from there as if nothing had been tried.
    retried = train(SMALL, SETTINGS, after.replace(diverged=state.diverged), 1)
    assert_identical(retried, trained[2])


def test_nothing_is_tried_after_divergence(trained):
    marked = trained[1].replace(diverged=jnp.bool_(True))
    assert_identical(train(SMALL, SETTINGS, marked, 2), marked)


@pytest.mark.parametrize("what", ["weights", "moments"])
def test_poison_is_noticed(trained, what):
    state = trained[1]
    if what == "weights":
        state = state.replace(params=poison(state.params))
    else:
        adam = adam_state(state.opt_state)
        adam = adam._replace(mu=poison(adam.mu))
        state = state.replace(opt_state=with_adam_state(state.opt_state, adam))
    after = train(SMALL, SETTINGS, state, 3)
    assert after.diverged
    assert after.n_updates == state.n_updates
    assert_identical(after.replace(diverged=state.diverged), state)


ONE_GRADIENT_STEP = PPO(**{**vars(SMALL), "n_epochs": 1, "batch_size": SMALL.steps_per_update})
"""So that no later loss tells of weights that are not finite."""


@jax.jit
def step_and_its_parts(settings, state):
    """A training step, and what it decides by."""
    ppo = ONE_GRADIENT_STEP
    after, targets, explained = ppos.advantages(ppo, settings, *ppos.collect(ppo, settings, state))
    after, report = ppos.update(ppo, settings, after, targets)
    parts = {
        "weights": after.params,
        "losses": report._replace(explained_variance=explained),
        "return statistics": after.return_stats,
    }
    return ppos.train_step(ppo, settings, state), parts


LARGEST = jnp.float32(np.finfo(np.float32).max)


@pytest.mark.parametrize("part", ["none", "weights", "losses", "return statistics"])
def test_one_part_that_is_not_finite_is_enough(trained, part):
    settings, state = SETTINGS, trained[1]
    if part == "weights":
        settings = with_hyper(SETTINGS, learning_rate=np.inf)
    elif part == "losses":  # gradients whose squares overflow: by their norm, they are clipped to 0
        settings = with_hyper(SETTINGS, vf_coef=1e25)
    elif part == "return statistics":
        # The next returns are too far from this mean.
        stats = RunningStatistics(jnp.float32(1e6), jnp.float32(1e18), LARGEST)
        state = state.replace(return_stats=stats)
    after, parts = step_and_its_parts(settings, state)
    finite = {name: all(np.all(np.isfinite(x)) for x in raw(tree)) for name, tree in parts.items()}
    assert [name for name in parts if not finite[name]] == [part] * (part != "none")
    assert after.diverged == (part != "none")
    assert differ(after.params, state.params) == (part == "none")


# --- seeds ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def init_seeds():
    return jax.jit(lambda seeds: jax.vmap(partial(ppos.init, SMALL, SETTINGS))(seeds))


# One program for seeds and sweeps: as many lanes as there are seeds or variants.
train_lanes = jax.jit(jax.vmap(partial(ppos.train, SMALL), in_axes=(0, 0, None)))


def in_every_lane(tree):
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (len(SEEDS), *x.shape)), tree)


def train_seeds(states, n_updates):
    """All of them under the same settings."""
    return train_lanes(in_every_lane(SETTINGS), states, n_updates)


@pytest.fixture(scope="module")
def together(init_seeds):
    return init_seeds(SEEDS)


def test_a_seed_begins_alone_as_among_others(begun, together):
    among = of(together, 1)
    # Keys and whatever is drawn from them exactly; orthogonal matrices and RS to rounding.
    assert_identical((among.key, among.eval_key), (begun.key, begun.eval_key))
    assert_identical(among.dyads.client.memory, begun.dyads.client.memory)
    assert_identical(among.dyads.client_act, begun.dyads.client_act)
    assert_close(among, begun, rtol=1e-5, atol=1e-6)


def test_seeds_begin_differently(together):
    for name in ("key", "eval_key", "params", "dyads"):
        leaves = [raw(of(getattr(together, name), i)) for i in range(3)]
        for one, other in ((0, 1), (0, 2), (1, 2)):
            assert differ(leaves[one], leaves[other]), name
    keys = np.concatenate(
        [np.asarray(jax.random.key_data(k)) for k in (together.key, together.eval_key)]
    )
    assert len(np.unique(keys, axis=0)) == 2 * len(SEEDS)


def test_a_seed_learns_alone_as_among_others(trained, together):
    """To rounding: sums are taken in another order."""
    after = train_seeds(together, 2)
    among, alone = of(after, 1), trained[2]
    assert_identical(among.key, alone.key)
    assert_identical(among.dyads.history, alone.dyads.history)
    assert_identical(among.log.reward.count, alone.log.reward.count)
    assert_close(among.params, alone.params, rtol=1e-3, atol=1e-4)
    assert_close(among.log, alone.log, rtol=1e-3, atol=1e-3)


def test_seeds_do_not_touch_each_other(init_seeds, together):
    """Other company: not a bit changes."""
    company = init_seeds(COMPANY)
    assert_identical(of(company, 1), of(together, 1))
    one, other = train_seeds(together, 2), train_seeds(company, 2)
    assert_identical(of(one, 1), of(other, 1))
    assert differ(of(one, 0).params, of(other, 0).params)


def test_a_seed_that_diverges_leaves_the_others_alone(together):
    first = poison(of(together.params, 0))
    params = jax.tree.map(lambda x, bad: x.at[0].set(bad), together.params, first)
    sick = together.replace(params=params)
    after, healthy = train_seeds(sick, 2), train_seeds(together, 2)
    np.testing.assert_array_equal(after.diverged, np.arange(len(SEEDS)) == 0)
    np.testing.assert_array_equal(after.n_updates, [0, *[2] * (len(SEEDS) - 1)])
    assert_identical(of(after.replace(diverged=sick.diverged), 0), of(sick, 0))
    for i in (1, 2):
        assert_identical(of(after, i), of(healthy, i))


def test_seeds_in_company_and_alone_learn_equally_well(init_seeds):
    """In distribution, after rounding has driven them apart. False alarms: 1e-3."""
    alone = [init(SMALL, SETTINGS, seed) for seed in range(200, 226)]
    alone = [jax.block_until_ready(train(SMALL, SETTINGS, state, 8)) for state in alone]
    batches = [np.arange(100 + i, 100 + i + len(SEEDS), dtype=np.int32) for i in (0, len(SEEDS))]
    # One at a time: two programs at once can wait for each other for ever on a CPU.
    begun = [jax.block_until_ready(init_seeds(seeds)) for seeds in batches]
    batches = [jax.block_until_ready(train_seeds(states, 8)) for states in begun]
    company = [of(batch, i) for batch in batches for i in range(len(SEEDS))]
    rewards, entropies = (
        [[measure(state) for state in states] for states in (alone, company)]
        for measure in (
            lambda state: float(evaluate(SMALL, SETTINGS, state).reward_mean),
            lambda state: float(state.log.losses.entropy),
        )
    )
    p_values = {
        "reward": float(stats.ks_2samp(*rewards).pvalue),
        "entropy": float(stats.ks_2samp(*entropies).pvalue),
    }
    assert len(set(rewards[0])) > 10 and len(set(entropies[0])) > 20  # there is something to tell
    assert_all_plausible(p_values, rate=1e-3)


# --- sweeps -----------------------------------------------------------------------------------

# Each far enough from the default to show in the first update.
VARIANTS = {
    "default": SETTINGS,
    "learning_rate": with_hyper(SETTINGS, learning_rate=1e-3),
    "gamma": with_hyper(SETTINGS, gamma=0.5),
    "gae_lambda": with_hyper(SETTINGS, gae_lambda=0.5),
    "clip_range": with_hyper(SETTINGS, clip_range=1e-3),
    "ent_coef": with_hyper(SETTINGS, ent_coef=1.0),
    "vf_coef": with_hyper(SETTINGS, vf_coef=2.0),
    "max_grad_norm": with_hyper(SETTINGS, max_grad_norm=1e-7),
    "no max_grad_norm": with_hyper(SETTINGS, max_grad_norm=np.inf),
    "threshold": with_clients(SETTINGS, threshold=0.7),
    "entropy": with_clients(SETTINGS, entropy=5.0),
    "max_sessions": with_clients(SETTINGS, max_sessions=7),
    "baseline_accuracy": with_clients(SETTINGS, baseline_accuracy=1.0),
    "dropout_session": with_clients(SETTINGS, dropout_session=5),
    "success_reward": with_clients(SETTINGS, success_reward=10.0),
    # Early enough that someone leaves in this rollout.
    "dropout_reward": with_clients(SETTINGS, dropout_session=5, dropout_reward=150.0),
}


@pytest.fixture(scope="module")
def swept(trained):
    """One update under each variant, in one call."""
    settings = jax.tree.map(lambda *x: jnp.stack(x), *VARIANTS.values())
    assert len(VARIANTS) == len(SEEDS)
    return train_lanes(settings, in_every_lane(trained[1]), 1)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_sweep_is_its_separate_runs(trained, swept, name):
    """Every hyperparameter and every number of the clients is a leaf that vmap can sweep."""
    among = of(swept, list(VARIANTS).index(name))
    alone = train(SMALL, VARIANTS[name], trained[1], 1)
    assert_identical(among.dyads.history, alone.dyads.history)
    assert_close(among.params, alone.params, rtol=1e-3, atol=1e-4)
    assert_close(among.log, alone.log, rtol=1e-3, atol=1e-3)
    if name != "default":
        assert differ(alone.params, trained[2].params), "the setting had no effect"


# --- learning ---------------------------------------------------------------------------------


def simple_clients(utilities, threshold):
    """Who value one thing, hear well, and are content after a few good answers."""
    return make_settings(
        TrainingConfig(
            utility_matrix=tuple(map(tuple, utilities.tolist())),
            patterns=("conflictual",),
            enable_parataxic=False,
            threshold=threshold,
            max_sessions=MAX_SESSIONS,
            learning_rate=3e-3,
        )
    )


WARMTH = np.tile(np.eye(8)[W], (8, 1))
UNDERSTANDING = np.eye(8)[COMPLEMENT] * (np.arange(8) != D)[:, None]  # a bad past: D, D


@pytest.mark.parametrize("seed", [0, 1])
def test_learns_the_one_good_answer(seed):
    settings = simple_clients(WARMTH, threshold=0.08)
    best = 100 + 2 * (MAX_SESSIONS - 4)  # it takes four good answers
    state = init(SMALL, settings, seed)
    assert evaluate(SMALL, settings, state).reward_mean < 60
    state = train(SMALL, settings, state, 60)
    result = evaluate(SMALL, settings, state)
    assert result.success_rate == 1
    assert result.reward_mean > best - 4
    # The training itself says so, too.
    log = train(SMALL, settings, state.replace(log=empty_log()), 2).log
    assert log.reward.mean > best - 8
    assert log.losses.entropy / 2 < 1.0


def test_learns_to_answer_what_it_hears():
    """The good answer depends on the client's act: no constant therapist gets far."""
    settings = simple_clients(UNDERSTANDING, threshold=0.03)
    state = init(SMALL, settings, 0)
    constant = max(
        evaluate(
            SMALL,
            settings,
            state.replace(params=with_constant_policy(state.params, 50 * np.eye(8)[act])),
        ).reward_mean
        for act in range(8)
    )
    assert constant < 90
    result = evaluate(SMALL, settings, train(SMALL, settings, state, 250))
    assert result.reward_mean > 112  # of 120 at best
