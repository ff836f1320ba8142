"""What PPO passes from step to step."""

from typing import Any, NamedTuple

import jax
from flax import struct
from jaxtyping import Array, Bool, Float, Int, Int8, PRNGKeyArray, PyTree

from jaxtherapy.client.dyad import Dyad
from jaxtherapy.client.params import ClientParams, client_params
from jaxtherapy.config.leaves import as_leaves
from jaxtherapy.config.settings import Hyperparameters
from jaxtherapy.ppo.running_statistics import RunningStatistics
from jaxtherapy.ppo.views import Seen

jax.tree_util.register_dataclass(
    Hyperparameters, list(as_leaves(Hyperparameters, Hyperparameters())), []
)


Learner = tuple[PyTree, PyTree]
"""Parameters, and the optimiser's state."""


class Settings(struct.PyTreeNode):
    """All that can be swept: who the clients are and how the therapist learns.

    Attributes:
        evaluation: the clients of evaluations; None: those of training.
    """

    clients: ClientParams
    hyperparameters: Hyperparameters
    evaluation: ClientParams | None = None

    @property
    def evaluated(self) -> ClientParams:
        """The clients that evaluations are made with."""
        return self.clients if self.evaluation is None else self.evaluation


def make_settings(config: Any) -> Settings:
    """The leaves of a :class:`~jaxtherapy.config.TrainingConfig`."""
    hyperparameters = Hyperparameters(**as_leaves(Hyperparameters, config))
    others = config.evaluation and client_params(config.for_evaluation())
    return Settings(client_params(config), hyperparameters, others)


class Transition(NamedTuple):
    """One session, as the learner keeps it. Without shaping or a teacher's advice they are None;
    so is ``total``, what the therapy has paid so far, where it ends with success."""

    obs: Seen
    action: Int8[Array, "..."]
    log_prob: Float[Array, "..."]
    reward: Float[Array, "..."]
    terminated: Bool[Array, "..."]
    truncated: Bool[Array, "..."]
    final_obs: PyTree  # the critic's
    length: Int[Array, "..."]
    success: Bool[Array, "..."]
    dropped_out: Bool[Array, "..."]
    shaping: Float[Array, "..."] | None = None
    advice: Int8[Array, "..."] | None = None
    total: Float[Array, "..."] | None = None

    @property
    def shaped_reward(self) -> Float[Array, "..."]:
        """What is learned from; everything that is reported is without shaping."""
        return self.reward if self.shaping is None else self.reward + self.shaping


class Targets(NamedTuple):
    """What a rollout teaches, one row per transition. Values and returns in units of the scale."""

    obs: Seen
    action: Int8[Array, "..."]
    log_prob: Float[Array, "..."]
    value: Float[Array, "..."]
    advantage: Float[Array, "..."]
    returns: Float[Array, "..."]
    advice: Int8[Array, "..."] | None = None


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

    reward: RunningStatistics
    length: RunningStatistics
    success: Float[Array, ""]
    dropped_out: Float[Array, ""]
    losses: Losses
    n_updates: Int[Array, ""]


class TrainState(struct.PyTreeNode):
    """The complete state of one training: from it, training goes on bit for bit."""

    params: PyTree
    opt_state: PyTree
    dyads: Dyad
    key: PRNGKeyArray
    eval_key: PRNGKeyArray
    return_stats: RunningStatistics
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
