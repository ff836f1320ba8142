"""PPO's objective and its parts, and generalised advantage estimation."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, Int8

from jaxtherapy.config.settings import Hyperparameters
from jaxtherapy.networks.actor_critic import ActorCritic
from jaxtherapy.ppo.types import Losses, Targets


def generalized_advantages(
    rewards: Float[Array, "steps envs"],
    values: Float[Array, "steps envs"],
    next_values: Float[Array, "steps envs"],
    terminated: Bool[Array, "steps envs"],
    truncated: Bool[Array, "steps envs"],
    gamma: Float[ArrayLike, ""],
    gae_lambda: Float[ArrayLike, ""],
) -> Float[Array, "steps envs"]:
    """GAE(γ, λ) (Schulman et al. 2016), for episodes that terminate or are truncated.

    ``δ_t = r_t + γ·V(s_{t+1})·(1 − terminated_t) − V(s_t)``
    ``A_t = δ_t + γ·λ·(1 − done_t)·A_{t+1}``

    Args:
        rewards, values, terminated, truncated: of each transition.
        next_values: value of each transition's *own* next observation: at a truncation that of
            the final observation, not of the next episode's first.
        gamma, gae_lambda: discount and trace decay.
    """
    deltas = rewards + gamma * next_values * ~terminated - values
    decay = jnp.multiply(gamma * gae_lambda, ~(terminated | truncated))

    def step(
        later: Float[Array, " envs"], now: tuple[Float[Array, " envs"], Float[Array, " envs"]]
    ) -> tuple[Float[Array, " envs"], Float[Array, " envs"]]:
        delta, decay = now
        advantage = delta + decay * later
        return advantage, advantage

    return jax.lax.scan(step, jnp.zeros_like(deltas[0]), (deltas, decay), reverse=True)[1]


def normalize(values: Float[Array, " n"]) -> Float[Array, " n"]:
    """To mean 0 and standard deviation 1."""
    return (values - jnp.mean(values)) / (jnp.std(values) + 1e-8)


class PolicyLoss(NamedTuple):
    """The clipped surrogate loss and what practitioners watch beside it."""

    loss: Float[Array, ""]
    approx_kl: Float[Array, ""]
    clip_fraction: Float[Array, ""]


def clipped_policy_loss(
    log_prob: Float[Array, " n"],
    old_log_prob: Float[Array, " n"],
    advantages: Float[Array, " n"],
    clip_range: Float[ArrayLike, ""],
) -> PolicyLoss:
    """``−mean(min(ρ·A, clip(ρ, 1 ± ε)·A))`` (Schulman et al. 2017), ρ the probability ratio.

    ``approx_kl`` is the low-variance estimator ``mean(ρ − 1 − log ρ)`` (Schulman 2020).
    """
    log_ratio = log_prob - jax.lax.stop_gradient(old_log_prob)
    ratio = jnp.exp(log_ratio)
    clipped = jnp.clip(ratio, 1 - clip_range, 1 + clip_range)
    return PolicyLoss(
        loss=-jnp.mean(jnp.minimum(ratio * advantages, clipped * advantages)),
        approx_kl=jnp.mean(ratio - 1 - log_ratio),
        clip_fraction=jnp.mean(jnp.abs(ratio - 1) > clip_range),
    )


def clipped_value_loss(
    values: Float[Array, " n"],
    old_values: Float[Array, " n"],
    returns: Float[Array, " n"],
    clip_range: Float[ArrayLike, ""],
) -> Float[Array, ""]:
    """``mean(max((R − V)², (R − V_clipped)²))``, ``V_clipped`` within ±ε of the old value."""
    near_old = old_values + jnp.clip(values - old_values, jnp.negative(clip_range), clip_range)
    return jnp.mean(jnp.maximum((returns - values) ** 2, (returns - near_old) ** 2))


def categorical_entropy(logits: Float[Array, "n 8"]) -> Float[Array, ""]:
    """Mean entropy of the policy, in nats."""
    log_probs = jax.nn.log_softmax(logits)
    return -jnp.mean(jnp.sum(jnp.exp(log_probs) * log_probs, axis=-1))


def explained_variance(
    predictions: Float[Array, "*n"], targets: Float[Array, "*n"]
) -> Float[Array, ""]:
    """``1 − Var(target − prediction) / Var(target)``; 0 where the target does not vary."""
    variance = jnp.var(targets)
    unexplained = jnp.var(targets - predictions)
    return jnp.where(variance > 0, 1 - unexplained / jnp.where(variance > 0, variance, 1), 0.0)


def log_prob(logits: Float[Array, "n 8"], action: Int8[Array, " n"]) -> Float[Array, " n"]:
    """Of the acts that were done."""
    chosen = action[:, None].astype(jnp.int32)
    return jnp.take_along_axis(jax.nn.log_softmax(logits), chosen, axis=1)[:, 0]


def loss(
    hyper: Hyperparameters, networks: ActorCritic, batch: Targets
) -> tuple[Float[Array, ""], Losses]:
    """``policy loss + vf_coef · value loss − ent_coef · entropy`` of one minibatch.

    With a teacher ``− teacher_coef · mean log π(what it would do)`` is added, the cross-entropy of
    the policy to its answers in the policy's own sessions (kickstarting, Schmitt et al. 2018).
    """
    logits, values = networks.actor(batch.obs.actor), networks.critic(batch.obs.critic)
    policy = clipped_policy_loss(
        log_prob(logits, batch.action),
        batch.log_prob,
        normalize(batch.advantage),
        hyper.clip_range,
    )
    entropy = categorical_entropy(logits)
    value_loss = clipped_value_loss(values, batch.value, batch.returns, hyper.clip_range)
    report = Losses(
        policy_loss=policy.loss,
        value_loss=value_loss,
        entropy=entropy,
        approx_kl=policy.approx_kl,
        clip_fraction=policy.clip_fraction,
        grad_norm=jnp.float32(0),
        explained_variance=jnp.float32(0),
    )
    total = policy.loss - hyper.ent_coef * entropy + hyper.vf_coef * value_loss
    if batch.advice is not None:
        total -= hyper.teacher_coef * jnp.mean(log_prob(logits, batch.advice))
    return total, report
