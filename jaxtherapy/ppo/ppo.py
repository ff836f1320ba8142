"""PPO (Schulman et al. 2017) in five steps: collect, advantages, shuffle, update, evaluate.

Everything is a pure function of a :class:`TrainState` and of leaves (:class:`Settings`), so one
seed, a thousand seeds or a sweep over settings differ only in what is ``vmap``-ped. What shapes
the program is in :class:`PPO` and static.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx, struct
from jaxtyping import Array, Bool, Float, Int, Int8, PRNGKeyArray, PyTree

from jaxtherapy.client import dyad as dyads
from jaxtherapy.client.client import ClientParams
from jaxtherapy.client.dyad import Dyad, Observation
from jaxtherapy.client.expectations import choose_act
from jaxtherapy.client.simulation import simulate
from jaxtherapy.envs.rewards import reward
from jaxtherapy.fast import apart
from jaxtherapy.fast.random_bits import random_bits, uniforms
from jaxtherapy.fast.row_replacement import replace_rows
from jaxtherapy.networks import Actor, ActorCritic, Precision, make_therapy_networks
from jaxtherapy.ppo import losses
from jaxtherapy.ppo.optimizer import clipped_adam, map_weights, pack, unpack
from jaxtherapy.ppo.running_statistics import Moments, merge, moments_of, no_moments


@dataclass(frozen=True)
class PPO:
    """Shapes and structure of the program. Hashable, static under ``jit``."""

    n_envs: int = 8
    n_steps: int = 64
    batch_size: int = 64
    n_epochs: int = 10
    eval_episodes: int = 100
    eval_deterministic: bool = False
    hidden_size: int = 256
    shared_trunk: bool = False
    precision: Precision = "auto"
    networks_apart: bool = False
    """Whether actor and critic learn on a device each (see :mod:`jaxtherapy.fast.apart`)."""

    @property
    def steps_per_update(self) -> int:
        """Transitions collected for each update."""
        return self.n_envs * self.n_steps

    @property
    def n_minibatches(self) -> int:
        """Per epoch. The last one takes in a remainder, so that no transition is dropped."""
        return max(1, self.steps_per_update // self.batch_size)

    @property
    def gradient_steps_per_update(self) -> int:
        """Optimiser steps of each update."""
        return self.n_epochs * self.n_minibatches


class Hyperparameters(struct.PyTreeNode):
    """PPO's numbers; every one is a leaf."""

    learning_rate: Float[Array, ""]
    gamma: Float[Array, ""]
    gae_lambda: Float[Array, ""]
    clip_range: Float[Array, ""]
    ent_coef: Float[Array, ""]
    vf_coef: Float[Array, ""]
    max_grad_norm: Float[Array, ""]


class Settings(struct.PyTreeNode):
    """All that can be swept: who the clients are and how the therapist learns."""

    clients: ClientParams
    hyperparameters: Hyperparameters


class Transition(NamedTuple):
    """One session, as the learner keeps it."""

    obs: Observation
    action: Int8[Array, "..."]
    log_prob: Float[Array, "..."]
    reward: Float[Array, "..."]
    terminated: Bool[Array, "..."]
    truncated: Bool[Array, "..."]
    final_obs: Observation
    length: Int[Array, "..."]
    success: Bool[Array, "..."]


class Targets(NamedTuple):
    """What a rollout teaches, one row per transition. Values and returns in units of the scale."""

    obs: Observation
    action: Int8[Array, "..."]
    log_prob: Float[Array, "..."]
    value: Float[Array, "..."]
    advantage: Float[Array, "..."]
    returns: Float[Array, "..."]


class Losses(NamedTuple):
    """What practitioners watch, averaged over the minibatches of an update."""

    policy_loss: Float[Array, ""]
    value_loss: Float[Array, ""]
    entropy: Float[Array, ""]
    approx_kl: Float[Array, ""]
    clip_fraction: Float[Array, ""]
    grad_norm: Float[Array, ""]
    explained_variance: Float[Array, ""]


class TrainLog(NamedTuple):
    """What happened since the last row of the log."""

    reward: Moments
    length: Moments
    success: Float[Array, ""]
    dropped_out: Float[Array, ""]
    losses: Losses
    n_updates: Int[Array, ""]


class TrainState(struct.PyTreeNode):
    """The complete state of one training: from it, training goes on bit for bit.

    Within :func:`train`, with networks apart, ``opt_state`` is this device's own, packed.
    """

    params: PyTree
    opt_state: PyTree
    dyads: Dyad
    key: PRNGKeyArray
    eval_key: PRNGKeyArray
    return_stats: Moments
    log: TrainLog
    n_updates: Int[Array, ""]
    diverged: Bool[Array, ""]


class EvalResult(NamedTuple):
    """Outcomes of the evaluation episodes."""

    reward_mean: Float[Array, ""]
    reward_std: Float[Array, ""]
    length_mean: Float[Array, ""]
    success_rate: Float[Array, ""]
    dropout_rate: Float[Array, ""]
    sessions_to_success: Float[Array, ""]


# --- set-up ---------------------------------------------------------------------------------


def make_networks(ppo: PPO, key: PRNGKeyArray) -> ActorCritic:
    """The actor-critic with the initial weights that belong to ``key``."""
    return ActorCritic(
        *make_therapy_networks(
            ppo.hidden_size,
            shared_trunk=ppo.shared_trunk,
            precision=ppo.precision,
            rngs=nnx.Rngs(params=key),
        )
    )


def with_weights(ppo: PPO, params: PyTree) -> ActorCritic:
    """The actor-critic with given weights; nothing is computed to build it."""
    return nnx.merge(_structure(ppo), params)


@cache
def _structure(ppo: PPO) -> nnx.GraphDef[ActorCritic]:
    return nnx.graphdef(_shapes(ppo))


def param_shapes(ppo: PPO) -> PyTree:
    """Shapes and dtypes of ``TrainState.params``, to read weights into."""
    return nnx.state(_shapes(ppo), nnx.Param)


@cache
def _structure_of_one(ppo: PPO) -> nnx.GraphDef[Actor]:
    return nnx.graphdef(_shapes(ppo).actor)


def _shapes(ppo: PPO) -> ActorCritic:
    networks: ActorCritic = nnx.eval_shape(lambda: make_networks(ppo, jax.random.key(0)))
    return networks


def empty_log() -> TrainLog:
    """Nothing has happened since the last row."""
    zero = jnp.float32(0)
    return TrainLog(no_moments(), no_moments(), zero, zero, no_losses(), jnp.int32(0))


def no_losses() -> Losses:
    """Nothing to report."""
    return Losses(*[jnp.float32(0)] * len(Losses._fields))


def init(ppo: PPO, settings: Settings, seed: Int[Array, ""]) -> TrainState:
    """The state before the first update. All that is random in it comes from the seed."""
    keys = _keys(seed)
    hyper = settings.hyperparameters
    params = nnx.state(make_networks(ppo, keys[0]), nnx.Param)
    return TrainState(
        params=params,
        opt_state=clipped_adam(hyper.learning_rate, hyper.max_grad_norm).init(params),
        dyads=dyads.intakes(keys[1], settings.clients, jnp.arange(ppo.n_envs)),
        key=keys[2],
        eval_key=keys[3],
        return_stats=no_moments(),
        log=empty_log(),
        n_updates=jnp.int32(0),
        diverged=jnp.bool_(False),
    )


def _keys(seed: Int[Array, ""]) -> PRNGKeyArray:
    """Of the weights, the first clients, training and evaluation."""
    return jax.random.split(jax.random.key(seed), 4)


def evaluation_key(seed: Int[Array, ""]) -> PRNGKeyArray:
    """The key of a seed's evaluation clients."""
    return _keys(seed)[3]


# --- 1. collect -----------------------------------------------------------------------------


def collect(
    ppo: PPO, settings: Settings, state: TrainState
) -> tuple[TrainState, Transition, Observation]:
    """Plays ``n_steps`` sessions with each of ``n_envs`` clients.

    Returns:
        The state, the transitions with leading axes (n_steps, n_envs), and the observations that
        follow the last of them.
    """
    clients = settings.clients
    actor = with_weights(ppo, state.params).actor.prepared()
    observe = jax.vmap(lambda dyad: dyads.observe(dyad, clients))

    def session(before: Dyad, keys: PRNGKeyArray) -> tuple[Dyad, Transition]:
        key, key_intakes = keys
        points = uniforms(key, 3 * ppo.n_envs).reshape(ppo.n_envs, 3)
        obs = observe(before)
        logits = actor(obs)
        action = jax.vmap(choose_act)(points[:, 0], logits)
        log_prob = _log_prob(logits, action)
        after = jax.vmap(lambda p, dyad, act: dyads.hold_session_at(p, dyad, act, clients))(
            points[:, 1:], before, action
        )
        terminated = dyads.terminated(after)
        truncated = dyads.truncated(after, clients)
        transition = Transition(
            obs=obs,
            action=action,
            log_prob=log_prob,
            reward=reward(after, clients),
            terminated=terminated,
            truncated=truncated,
            final_obs=observe(after),
            length=after.time,
            success=after.success,
        )
        # An intake costs as much as several sessions, and few therapies end at the same time.
        following = replace_rows(
            terminated | truncated,
            partial(dyads.intakes, key_intakes, clients),
            after,
            slots=max(1, ppo.n_envs // 32),
        )
        return following, transition

    key, key_rollout = jax.random.split(state.key)
    keys = jax.random.split(key_rollout, (ppo.n_steps, 2))
    after, rollout = jax.lax.scan(session, state.dyads, keys)
    return state.replace(dyads=after, key=key), rollout, observe(after)


def _log_prob(logits: Float[Array, "n 8"], action: Int8[Array, " n"]) -> Float[Array, " n"]:
    chosen = action[:, None].astype(jnp.int32)
    return jnp.take_along_axis(jax.nn.log_softmax(logits), chosen, axis=1)[:, 0]


# --- 2. advantages --------------------------------------------------------------------------


def return_scale(return_stats: Moments) -> Float[Array, ""]:
    """The unit of values: the running standard deviation of returns, at least one reward point.

    The floor keeps values from being measured in units of nothing before the first therapy ends.
    """
    return jnp.maximum(return_stats.std, 1.0)


def advantages(
    ppo: PPO, settings: Settings, state: TrainState, rollout: Transition, last_obs: Observation
) -> tuple[TrainState, Targets, Float[Array, ""]]:
    """Values, advantages and returns of a rollout, flattened to one row per transition.

    Returns are divided by the scale *after* this rollout has entered it: the first successes
    (rewards of hundreds) would otherwise meet a scale that has never seen one.

    Returns:
        The state with updated return statistics, the targets, and the explained variance.
    """
    hyper = settings.hyperparameters
    critic = with_weights(ppo, state.params).critic.prepared()
    obs = jax.tree.map(lambda x, last: jnp.concatenate([x, last[None]]), rollout.obs, last_obs)
    all_values = critic(obs)
    values = all_values[:-1]

    final_obs = _flatten(rollout.final_obs)
    next_values = replace_rows(
        rollout.truncated.reshape(-1),
        lambda index: critic(jax.tree.map(lambda x: x[index], final_obs)),
        all_values[1:].reshape(-1),
        slots=max(1, ppo.steps_per_update // 64),
    ).reshape(values.shape)

    scale = return_scale(state.return_stats)
    advantage = losses.generalized_advantages(
        rollout.reward,
        values * scale,
        next_values * scale,
        rollout.terminated,
        rollout.truncated,
        hyper.gamma,
        hyper.gae_lambda,
    )
    returns = advantage + values * scale
    return_stats = merge(state.return_stats, moments_of(returns))
    targets = Targets(
        obs=rollout.obs,
        action=rollout.action,
        log_prob=rollout.log_prob,
        value=values,
        advantage=advantage,
        returns=returns / return_scale(return_stats),
    )
    explained = losses.explained_variance(values * scale, returns)
    return state.replace(return_stats=return_stats), _flatten(targets), explained


def _flatten(rows: PyTree) -> PyTree:
    """Merges the axes of steps and environments."""
    return jax.tree.map(lambda x: x.reshape(x.shape[0] * x.shape[1], *x.shape[2:]), rows)


# --- 3. shuffle -----------------------------------------------------------------------------


def shuffle(
    ppo: PPO, key: PRNGKeyArray
) -> tuple[Int[Array, "minibatches batch"], Int[Array, " last"]]:
    """Every row index exactly once: equal minibatches, and a last one that takes a remainder.

    The last minibatch is empty when ``batch_size`` divides the rollout; otherwise it holds
    ``batch_size`` rows and the remainder, as Tianshou merges them.
    """
    order = random_order(key, ppo.steps_per_update)
    divides = ppo.steps_per_update % ppo.batch_size == 0
    n_equal = ppo.n_minibatches if divides else ppo.n_minibatches - 1
    n_rows = n_equal * ppo.batch_size
    return order[:n_rows].reshape(n_equal, -1 if n_equal else 0), order[n_rows:]


def random_order(key: PRNGKeyArray, n: int) -> Int[Array, " n"]:
    """``0 … n − 1`` in random order.

    Sorted by random numbers whose last digits are the numbers themselves: one sort of one array, a
    sixth of the time of ``jax.random.permutation``. Numbers whose other digits are equal stand in
    order of size: among 8,192 one pair of neighbours in 128 or fewer, and it matters only where a
    border of minibatches parts them. More numbers would leave too few digits.
    """
    n_digits = (n - 1).bit_length()
    if n_digits > 13:
        return jax.random.permutation(key, n)
    number = jnp.arange(n, dtype=jnp.uint32)
    digits = random_bits(jax.random.key_data(key), number)
    ordered = jnp.sort(digits >> n_digits << n_digits | number)
    return (ordered & (2**n_digits - 1)).astype(jnp.int32)


# --- 4. update ------------------------------------------------------------------------------


def loss(
    ppo: PPO, hyper: Hyperparameters, params: PyTree, batch: Targets
) -> tuple[Float[Array, ""], Losses]:
    """``policy loss + vf_coef · value loss − ent_coef · entropy`` of one minibatch."""
    logits, values = with_weights(ppo, params)(batch.obs)
    of_actor, actor_report = actor_loss(hyper, logits, batch)
    of_critic, critic_report = critic_loss(hyper, values, batch)
    return of_actor + of_critic, jax.tree.map(jnp.add, actor_report, critic_report)


def actor_loss(
    hyper: Hyperparameters, logits: Float[Array, "batch 8"], batch: Targets
) -> tuple[Float[Array, ""], Losses]:
    """``policy loss − ent_coef · entropy``, and its share of the report."""
    policy = losses.clipped_policy_loss(
        _log_prob(logits, batch.action),
        batch.log_prob,
        losses.normalize(batch.advantage),
        hyper.clip_range,
    )
    entropy = losses.categorical_entropy(logits)
    report = no_losses()._replace(
        policy_loss=policy.loss,
        entropy=entropy,
        approx_kl=policy.approx_kl,
        clip_fraction=policy.clip_fraction,
    )
    return policy.loss - hyper.ent_coef * entropy, report


def critic_loss(
    hyper: Hyperparameters, values: Float[Array, " batch"], batch: Targets
) -> tuple[Float[Array, ""], Losses]:
    """``vf_coef · value loss``, and its share of the report."""
    value_loss = losses.clipped_value_loss(values, batch.value, batch.returns, hyper.clip_range)
    return hyper.vf_coef * value_loss, no_losses()._replace(value_loss=value_loss)


def gradients(
    ppo: PPO, hyper: Hyperparameters, params: PyTree, batch: Targets
) -> tuple[PyTree, Losses]:
    """Of :func:`loss`."""
    return jax.grad(partial(loss, ppo, hyper), has_aux=True)(params, batch)


def gradients_of_one(
    ppo: PPO, hyper: Hyperparameters, params: PyTree, batch: Targets
) -> tuple[PyTree, Losses]:
    """The part of :func:`gradients` that this device's network has; see :mod:`.apart`."""

    def network(params: PyTree) -> Float[Array, "batch 8"]:
        return nnx.merge(_structure_of_one(ppo), params).prepared()(batch.obs)

    outputs, pull_back = jax.vjp(network, params)
    of_outputs, report = jax.lax.cond(
        apart.has_actor(),
        jax.grad(lambda x: actor_loss(hyper, x, batch), has_aux=True),
        jax.grad(lambda x: critic_loss(hyper, x[:, 0], batch), has_aux=True),
        outputs,
    )
    return pull_back(of_outputs)[0], report


def update(
    ppo: PPO, settings: Settings, state: TrainState, targets: Targets
) -> tuple[TrainState, Losses]:
    """``n_epochs`` passes over the shuffled minibatches."""
    key, key_epochs = jax.random.split(state.key)
    if ppo.networks_apart:
        learn = partial(_learn, ppo, settings, gradients_of_one, apart.global_norm)
        before = apart.own(state.params), state.opt_state
        (params, opt_state), reports = learn(before, state.params["actor"], targets, key_epochs)
        params = apart.together(params, state.params)
        norm = reports.grad_norm / 2  # each of the two reports all of it
        reports = jax.lax.psum(reports._replace(grad_norm=norm), apart.NETWORKS)
    else:
        learn = partial(_learn, ppo, settings, gradients, optax.tree.norm)
        before = map_weights(pack, (state.params, state.opt_state), state.params)
        after, reports = learn(before, state.params, targets, key_epochs)
        params, opt_state = map_weights(partial(unpack, like=state.params), after, after[0])
    return state.replace(params=params, opt_state=opt_state, key=key), reports


def _learn(
    ppo: PPO,
    settings: Settings,
    gradients_of: Callable[..., tuple[PyTree, Losses]],
    global_norm: Callable[[PyTree], Float[Array, ""]],
    before: tuple[PyTree, PyTree],
    like: PyTree,
    targets: Targets,
    key: PRNGKeyArray,
) -> tuple[tuple[PyTree, PyTree], Losses]:
    """All gradient steps of an update, from and to packed weights and their optimiser's state;
    ``like`` tells the shapes."""
    hyper = settings.hyperparameters
    adam = clipped_adam(hyper.learning_rate, hyper.max_grad_norm)

    def minibatch(
        carry: tuple[PyTree, PyTree], index: Int[Array, " batch"]
    ) -> tuple[tuple[PyTree, PyTree], Float[Array, " losses"]]:
        params, opt_state = carry
        batch = jax.tree.map(lambda rows: rows[index], targets)
        grads, report = gradients_of(ppo, hyper, unpack(params, like), batch)
        grads = pack(grads)
        norm = global_norm(grads)
        updates, opt_state = adam.update(grads, opt_state, params, norm=norm)
        params = optax.apply_updates(params, updates)
        return (params, opt_state), jnp.stack(report._replace(grad_norm=norm))

    def epoch(
        carry: tuple[PyTree, PyTree], key: PRNGKeyArray
    ) -> tuple[tuple[PyTree, PyTree], Float[Array, " losses"]]:
        equal, last = shuffle(ppo, key)
        carry, reports = jax.lax.scan(minibatch, carry, equal)
        if last.size:
            carry, report = minibatch(carry, last)
            reports = jnp.append(reports, report[None], axis=0)
        return carry, jnp.mean(reports, axis=0)

    after, by_epoch = jax.lax.scan(epoch, before, jax.random.split(key, ppo.n_epochs))
    return after, Losses(*jnp.mean(by_epoch, axis=0))


# --- all of it ------------------------------------------------------------------------------


def train_step(ppo: PPO, settings: Settings, state: TrainState) -> TrainState:
    """One iteration of PPO. If it produces a number that is not finite, it did not happen:
    the state stays the last good one, marked as diverged.
    """
    collected, rollout, last_obs = collect(ppo, settings, state)
    after, targets, explained = advantages(ppo, settings, collected, rollout, last_obs)
    after, report = update(ppo, settings, after, targets)
    report = report._replace(explained_variance=explained)
    after = after.replace(
        log=_extend_log(state.log, rollout, report), n_updates=state.n_updates + 1
    )
    # One number that is finite only if all weights, losses and gradients are.
    health = optax.tree.norm(after.params) + sum(report) + after.return_stats.std
    healthy = jnp.isfinite(health)
    kept = jax.tree.map(partial(jnp.where, healthy), after, state)
    return kept.replace(diverged=~healthy)


def train(ppo: PPO, settings: Settings, state: TrainState, n_updates: Int[Array, ""]) -> TrainState:
    """``n_updates`` iterations (not static: one program serves any number), or until divergence."""

    def unfinished(carry: tuple[Int[Array, ""], TrainState]) -> Bool[Array, ""]:
        return (carry[0] < n_updates) & ~carry[1].diverged

    def iterate(carry: tuple[Int[Array, ""], TrainState]) -> tuple[Int[Array, ""], TrainState]:
        return carry[0] + 1, train_step(ppo, settings, carry[1])

    if not ppo.networks_apart:
        return jax.lax.while_loop(unfinished, iterate, (jnp.int32(0), state))[1]
    moments = state.opt_state  # nobody but its own network needs them meanwhile
    state = state.replace(opt_state=apart.own(moments))
    state = jax.lax.while_loop(unfinished, iterate, (jnp.int32(0), state))[1]
    return state.replace(opt_state=apart.together(state.opt_state, moments))


def _extend_log(log: TrainLog, rollout: Transition, report: Losses) -> TrainLog:
    ended = rollout.terminated | rollout.truncated
    dropped_out = rollout.terminated & ~rollout.success
    return TrainLog(
        reward=merge(log.reward, moments_of(rollout.reward, ended)),
        length=merge(log.length, moments_of(rollout.length.astype(jnp.float32), ended)),
        success=log.success + jnp.sum(rollout.success),
        dropped_out=log.dropped_out + jnp.sum(dropped_out),
        losses=jax.tree.map(jnp.add, log.losses, report),
        n_updates=log.n_updates + 1,
    )


# --- 5. evaluate ----------------------------------------------------------------------------


def policy_therapist(ppo: PPO, params: PyTree) -> dyads.Therapist:
    """The trained therapist: samples its acts, or takes the most likely one."""
    actor = with_weights(ppo, params).actor.prepared()

    def therapist(key: PRNGKeyArray, dyad: Dyad, clients: ClientParams) -> Int[Array, ""]:
        logits = actor(dyads.observe(dyad, clients))
        if ppo.eval_deterministic:
            return jnp.argmax(logits)
        return choose_act(jax.random.uniform(key), logits)

    return therapist


def evaluate_therapist(
    ppo: PPO, clients: ClientParams, key: PRNGKeyArray, therapist: dyads.Therapist
) -> EvalResult:
    """Any therapist on the ``eval_episodes`` clients that belong to ``key``."""
    return eval_result(simulate(key, clients, therapist, ppo.eval_episodes), clients)


def eval_result(ended: Dyad, clients: ClientParams) -> EvalResult:
    """Of therapies that have ended, along a leading axis."""
    rewards = reward(ended, clients)
    length = ended.time.astype(jnp.float32)
    return EvalResult(
        reward_mean=jnp.mean(rewards),
        reward_std=jnp.std(rewards),
        length_mean=jnp.mean(length),
        success_rate=jnp.mean(ended.success),
        dropout_rate=jnp.mean(ended.dropped_out),
        sessions_to_success=moments_of(length, ended.success).mean,
    )


def evaluate(ppo: PPO, settings: Settings, state: TrainState) -> EvalResult:
    """The therapist as it is now, on the evaluation clients of its seed."""
    therapist = policy_therapist(ppo, state.params)
    return evaluate_therapist(ppo, settings.clients, state.eval_key, therapist)
