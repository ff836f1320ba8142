"""PPO (Schulman et al. 2017) on one page: init, collect, advantages, update, train.

Everything is a pure function of a :class:`TrainState` and of leaves (:class:`Settings`), so one
seed, a thousand seeds or a sweep over settings differ only in what is ``vmap``-ped. What shapes
the program is in :class:`~jaxtherapy.config.settings.PPO` and static.
"""

from functools import partial

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, ArrayLike, Bool, Float, Int, Key, PRNGKeyArray, PyTree

from jaxtherapy.client import dyad as dyads
from jaxtherapy.client.expectations import choose_act
from jaxtherapy.config.settings import PPO
from jaxtherapy.envs.outcomes import total_reward
from jaxtherapy.envs.rewards import reward
from jaxtherapy.envs.shaping import shaped_range, shaping
from jaxtherapy.fast.promotion import ordinary
from jaxtherapy.fast.row_replacement import replace_rows
from jaxtherapy.fast.shuffle import random_order
from jaxtherapy.networks.actor_critic import make_networks, with_weights
from jaxtherapy.ppo import losses, teacher
from jaxtherapy.ppo.log import empty_log, extend_log, return_scale
from jaxtherapy.ppo.optimizer import adam
from jaxtherapy.ppo.running_statistics import merge, nothing_seen, statistics_of
from jaxtherapy.ppo.schedules import settings_at
from jaxtherapy.ppo.types import Learner, Losses, Settings, Targets, TrainState, Transition
from jaxtherapy.ppo.views import Seen, look, newcomers


@ordinary
def init(ppo: PPO, settings: Settings, seed: Int[ArrayLike, ""]) -> TrainState:
    """The state before the first update. All that is random in it comes from the seed."""
    key_weights, key_clients, key, eval_key = jax.random.split(jax.random.key(seed), 4)
    settings = settings_at(ppo, settings, jnp.int32(0))
    params = nnx.state(make_networks(ppo, key_weights), nnx.Param)
    return TrainState(
        params=params,
        opt_state=adam(settings.hyperparameters.learning_rate).init(params),
        dyads=newcomers(ppo, key_clients, settings.clients, jnp.arange(ppo.n_envs)),
        key=key,
        eval_key=eval_key,
        return_stats=nothing_seen(),
        log=empty_log(),
        n_updates=jnp.int32(0),
        diverged=jnp.bool_(False),
    )


def collect(ppo: PPO, settings: Settings, state: TrainState) -> tuple[TrainState, Transition, Seen]:
    """Plays ``rollout_length`` sessions with each of ``n_envs`` clients: the state after them, the
    transitions with leading axes (steps, envs), and what is seen then."""
    clients, number = settings.clients, jnp.arange(ppo.n_envs)
    actor = with_weights(ppo, state.params).actor.prepared()

    def session(carry: PyTree, keys: Key[Array, "2"]) -> tuple[PyTree, Transition]:
        (before, memory), (key, key_intakes) = carry, keys
        obs = look(ppo, before, clients)
        logits = actor(obs.actor)
        points = jax.vmap(partial(dyads.therapist_point, key))(number)
        action = jax.vmap(choose_act)(points, logits)
        hold = jax.vmap(dyads.hold_session, in_axes=(None, 0, 0, None, 0))
        after = hold(key, before, action, clients, number)
        terminated, truncated = dyads.terminated(after), dyads.truncated(after, clients)
        memory, told = teacher.advice(ppo, key, before, clients, memory)
        transition = Transition(
            obs=obs,
            action=action,
            log_prob=losses.log_prob(logits, action),
            reward=reward(after, clients),
            terminated=terminated,
            truncated=truncated,
            final_obs=look(ppo, after, clients).critic,
            length=after.time,
            success=after.success,
            dropped_out=after.dropped_out,
            shaping=shaping(settings.hyperparameters, before, after, clients),
            advice=told,
            total=None if clients.stop_at_success else total_reward(after, clients),
        )
        # An intake costs as much as several sessions, and few therapies end at the same time.
        fresh, slots = partial(newcomers, ppo, key_intakes, clients), max(1, ppo.n_envs // 32)
        return (replace_rows(terminated | truncated, fresh, after, slots), memory), transition

    key, key_rollout = jax.random.split(state.key)
    keys = jax.random.split(key_rollout, (ppo.rollout_length, 2))
    (after, _), rollout = jax.lax.scan(session, (state.dyads, teacher.begin(ppo, clients)), keys)
    return state.replace(dyads=after, key=key), rollout, look(ppo, after, clients)


def advantages(
    ppo: PPO, settings: Settings, state: TrainState, rollout: Transition, last: Seen
) -> tuple[TrainState, Targets, Float[Array, ""]]:
    """The state with updated return statistics; values, advantages and returns of a rollout, one
    row per transition; and the explained variance.

    A truncated session is followed by its own final observation, not by the next client's first.
    Returns are divided by the scale *after* this rollout: the first successes would meet one that
    has never seen any. Values end where outcomes do; bootstrapped, they could feed on each other.
    """
    critic = with_weights(ppo, state.params).critic.prepared()
    flatten = partial(jax.tree.map, lambda x: x.reshape(-1, *x.shape[2:]))
    append = partial(jax.tree.map, lambda x, y: jnp.concatenate([x, y[None]]))
    all_values = critic(append(rollout.obs.critic, last.critic))
    values, final_obs = all_values[:-1], flatten(rollout.final_obs)
    next_values = replace_rows(
        rollout.truncated.reshape(-1),
        lambda index: critic(jax.tree.map(lambda x: x[index], final_obs)),
        all_values[1:].reshape(-1),
        slots=max(1, ppo.steps_per_update // 64),
    ).reshape(values.shape)
    hyper, scale = settings.hyperparameters, return_scale(state.return_stats)
    payable = shaped_range(hyper, settings.clients)
    points, next_points = [jnp.clip(each * scale, *payable) for each in (values, next_values)]
    ends = rollout.terminated, rollout.truncated
    advantage = losses.generalized_advantages(
        rollout.shaped_reward, points, next_points, *ends, hyper.gamma, hyper.gae_lambda
    )
    returns = advantage + points
    return_stats = merge(state.return_stats, statistics_of(returns))
    targets = Targets(
        obs=rollout.obs,
        action=rollout.action,
        log_prob=rollout.log_prob,
        value=values,
        advantage=advantage,
        returns=returns / return_scale(return_stats),
        advice=rollout.advice,
    )
    explained = losses.explained_variance(points, returns)
    return state.replace(return_stats=return_stats), flatten(targets), explained


def update(
    ppo: PPO, settings: Settings, state: TrainState, targets: Targets
) -> tuple[TrainState, Losses]:
    """``n_epochs`` passes over the shuffled minibatches; the last one takes in a remainder."""
    hyper = settings.hyperparameters
    optimizer = adam(hyper.learning_rate)
    n_equal = ppo.n_minibatches - (ppo.steps_per_update % ppo.batch_size > 0)

    def loss(params: PyTree, batch: Targets) -> tuple[Float[Array, ""], Losses]:
        return losses.loss(hyper, with_weights(ppo, params), batch)

    def minibatch(learner: Learner, index: Int[Array, " batch"]) -> tuple[Learner, Losses]:
        params, opt_state = learner
        batch = jax.tree.map(lambda rows: rows[index], targets)
        grads, report = jax.grad(loss, has_aux=True)(params, batch)
        norm = optax.tree.norm(grads)
        grads = optax.tree.scale(jnp.minimum(1.0, hyper.max_grad_norm / norm), grads)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), report._replace(grad_norm=norm)

    def epoch(learner: Learner, key: PRNGKeyArray) -> tuple[Learner, Losses]:
        order = random_order(key, ppo.steps_per_update)
        equal, last = jnp.split(order, [n_equal * ppo.batch_size])
        learner, reports = jax.lax.scan(minibatch, learner, equal.reshape(n_equal, ppo.batch_size))
        if last.size:
            learner, report = minibatch(learner, last)
            reports = jax.tree.map(jnp.append, reports, report)
        return learner, jax.tree.map(jnp.mean, reports)

    key, key_epochs = jax.random.split(state.key)
    before, keys = (state.params, state.opt_state), jax.random.split(key_epochs, ppo.n_epochs)
    (params, opt_state), by_epoch = jax.lax.scan(epoch, before, keys)
    report = jax.tree.map(jnp.mean, by_epoch)
    return state.replace(params=params, opt_state=opt_state, key=key), report


def train_step(ppo: PPO, settings: Settings, state: TrainState) -> TrainState:
    """One iteration of PPO. Where it produces a number that is not finite, the state stays the
    last good one, marked as diverged."""
    settings = settings_at(ppo, settings, state.n_updates)
    collected, rollout, last = collect(ppo, settings, state)
    after, targets, explained = advantages(ppo, settings, collected, rollout, last)
    after, report = update(ppo, settings, after, targets)
    log = extend_log(state.log, rollout, report._replace(explained_variance=explained))
    after = after.replace(log=log, n_updates=state.n_updates + 1)
    # One number that is finite only if all weights, losses and gradients are.
    health = optax.tree.norm(after.params) + sum(report) + explained + after.return_stats.std
    healthy = jnp.isfinite(health)
    kept = jax.tree.map(partial(jnp.where, healthy), after, state)
    return kept.replace(diverged=~healthy)


@ordinary
def train(
    ppo: PPO, settings: Settings, state: TrainState, n_updates: Int[ArrayLike, ""]
) -> TrainState:
    """``n_updates`` iterations (not static: one program serves any number), or until divergence."""
    last = state.n_updates + n_updates

    def unfinished(state: TrainState) -> Bool[Array, ""]:
        return (state.n_updates < last) & ~state.diverged

    return jax.lax.while_loop(unfinished, partial(train_step, ppo, settings), state)
