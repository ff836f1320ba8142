"""Every setting, once: name, type, default, bounds, unit and help.

The dataclasses below are what travels: clients and hyperparameters become the leaves of the core's
pytrees (:class:`jaxtherapy.client.params.ClientParams`, :class:`Hyperparameters`), :class:`PPO` is
the static part of the program, and :class:`~jaxtherapy.config.TrainingConfig` is all of them,
checked. A number that is added here is a YAML key, a flag with help, and a leaf that can be swept
or, if it is a ``Real``, scheduled; one of ``ClientNumbers`` may be drawn for each client.
"""

import json
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from jaxtherapy.config.declare import Flag, OptionalReal, Part, Real, Whole, setting, settings_of
from jaxtherapy.discovery import ROOT, names_in

PATTERNS = names_in("client/patterns")
MECHANISMS = names_in("client/mechanisms")
MATRICES = tuple(json.loads((ROOT / "client/utility_matrices.json").read_text())["named"])
VIEWS = names_in("envs/observations")
ENCODERS = names_in("networks/encoders")
LOGGERS = names_in("training/loggers")

EXPERIMENT = "Experiment"
_experiment = partial(setting, EXPERIMENT)
_hosts = partial(setting, "Several hosts", in_file=False)
_clients = partial(setting, "Clients", of_clients=True)
_rewards = partial(setting, "Rewards", within="[-1e6, 1e6]", of_clients=True)
_training = partial(setting, "Training")
_shaping = partial(setting, "Shaping", within="[0, 1e4]", unit="100 reward points", null="off")
_network = partial(setting, "Network")
_logging = partial(setting, "Evaluation, logs and checkpoints")

Matrix = tuple[tuple[float, ...], ...]
Resume = bool | Literal["auto"]
Changes = dict[str, Any]
"""Client settings by name."""


@dataclass(frozen=True)
class Experiment:
    """Which run this is, and where."""

    experiment_name: str = _experiment("therapy_ppo", "names the experiment and its folders")
    output_dir: str = _experiment("models/{experiment_name}", "folder for weights and checkpoints")
    seed: int = _experiment(42, "decides everything random", "[0, 2_147_483_647]")
    n_seeds: int = _experiment(1, "train seeds seed … seed+n−1 together", "[1, 100_000]")
    seeds_at_once: int | None = _experiment(
        None,
        "how many seeds to train together; the others follow in further groups",
        "[1, 100_000]",
        null="as many as fit into memory",
    )
    device: str = _experiment("auto", "where to compute", choices=("auto", "cpu", "gpu"))
    distributed: bool = _hosts(
        False,
        "one of several hosts, as the scheduler (SLURM, Open MPI, Kubernetes …) announces it",
    )
    coordinator: str | None = _hosts(None, "HOST:PORT of the first host", null="found by itself")
    n_hosts: int | None = _hosts(None, "how many there are", "[1, inf)", null="found by itself")
    host_index: int | None = _hosts(
        None, "which this is, from 0", "[0, inf)", null="found by itself"
    )
    resume_from: str | None = _experiment(
        None,
        "continue from a checkpoint_*.pth, a policy_*.pth or an experiment's folder",
        null="start anew",
        in_file=False,
    )
    resume: Resume = _experiment(
        False,
        "continue this experiment from its latest checkpoint; auto: or start, if there is none",
        in_file=False,
    )
    overwrite: bool = _experiment(False, "replace an experiment of the same name", in_file=False)
    quiet: bool = _experiment(False, "print nothing but errors", in_file=False)
    log_format: str = _experiment(
        "text",
        "what is printed; json: an object per line, errors too",
        choices=("text", "json"),
        in_file=False,
    )


@dataclass(frozen=True)
class ClientNumbers(Part):
    """The numbers of a client and of what its outcome is worth; every one can be swept."""

    threshold: Real = _clients(0.9, "success threshold", "(0, 1]", unit="share of the RS range")
    max_sessions: Whole = _clients(100, "sessions until an episode is cut off", "[1, 10_000]")
    dropout_session: Whole = _clients(
        10,
        "the one session after which a client who is worse off than at intake leaves; 0: none",
        "[0, 10_000]",
    )
    # Far below 1e-20, utilities divided by it would overflow float32.
    entropy: Real = _clients(
        0.5, "temperature of the client's choice", "[1e-20, 1e6]", unit="utility"
    )
    bond_alpha: OptionalReal = _clients(5.0, "slope of the bond", "[0, 1e3]", null="5", instead=5.0)
    bond_offset: Real = _clients(0.7, "RS share at which the bond is ½", "[-10, 10]")
    history_weight: Real = _clients(1.0, "strength of the amplifiers", "[0, 1e3]")
    bond_power: Real = _clients(1.0, "exponent of the bond in bond-weighted mechanisms", "[0, 100]")
    smoothing: Real = _clients(
        0.1, "added to each conditional count", "[0, 1e3]", unit="memory weight"
    )
    recency_ratio: Real = _clients(2.0, "weight of the newest memory over the oldest", "[1, 1e3]")
    enable_parataxic: Flag = _clients(True, "the client may mishear the therapist")
    baseline_accuracy: Real = _clients(0.5, "probability of hearing an act as it was", "[0, 1]")
    success_reward: Real = _rewards(100.0, "for a success in the last session")
    reward_per_session_saved: Real = _rewards(2.0, "more for each session before it")
    dropout_reward: Real = _rewards(-150.0, "for a client who leaves")


@dataclass(frozen=True)
class ClientSettings(ClientNumbers):
    """Everything that can be said about clients."""

    patterns: tuple[str, ...] = _clients(
        ("cold_stuck", "dominant_stuck", "submissive_stuck", "mixed_random", "cold_warm"),
        "initial-memory patterns, drawn uniformly; repeat one to draw it more often",
        choices=PATTERNS,
    )
    mechanism: str = _clients(
        "frequency_amplifier", "how memory shapes expectations", choices=MECHANISMS
    )
    anticomplement: str = _clients(
        "pool", "how stuck patterns answer their pool acts", choices=("pool", "exact")
    )
    utility_matrix: str | Matrix = _clients(
        "random",
        "client utilities: drawn anew for each client, a named matrix, or 8 rows of 8 numbers",
        choices=("random", *MATRICES),
    )
    stop_at_success: bool = _clients(
        True,
        "therapy ends with success; no: it goes on to the last session, and its client may leave",
    )


@dataclass(frozen=True)
class Hyperparameters(Part):
    """The numbers of PPO; every one can be swept."""

    learning_rate: Real = _training(3e-4, "Adam's step size", "[0, 10]")
    gamma: Real = _training(0.99, "discount", "[0, 1]", unit="per session")
    gae_lambda: Real = _training(0.95, "decay of the advantage trace", "[0, 1]")
    clip_range: Real = _training(0.2, "trust region of ratios and values", "(0, 100]")
    ent_coef: Real = _training(0.01, "weight of the entropy bonus", "[0, 100]")
    vf_coef: Real = _training(0.5, "weight of the value loss", "[0, 100]")
    teacher_coef: Real = _training(1.0, "weight of copying the teacher, if any", "[0, 1e3]")
    max_grad_norm: OptionalReal = _training(
        0.5, "clip of the global gradient norm", "(0, 1e9]", null="off", instead=float("inf")
    )
    shaping_rs: OptionalReal = _shaping(
        None, "in training, pay for RS as a share of the client's range (potential-based)"
    )
    shaping_bond: OptionalReal = _shaping(None, "the same for the bond")
    shaping_distance: OptionalReal = _shaping(
        None, "the same for nearness to the threshold, by the distance as a share of the range"
    )


@dataclass(frozen=True)
class PPO(Part):
    """Shapes and structure of the program. Hashable, static under ``jit``."""

    n_envs: int = _training(8, "clients treated in parallel", "[1, 1_000_000]")
    n_steps: int | None = _training(
        None, "rollout length per client", "[1, 1_000_000]", unit="steps", null="batch_size"
    )
    batch_size: int = _training(64, "minibatch", "[1, 100_000_000]", unit="steps")
    n_epochs: int = _training(10, "passes over each rollout", "[1, 1000]")
    teacher: str | None = _training(
        None,
        "whom to copy as strongly as teacher_coef says: best_cell, fixed_map:S,WS,…, planner",
        null="none",
    )
    hidden_size: int = _network(256, "width of both hidden layers", "[1, 16_384]")
    shared_trunk: bool = _network(False, "one trunk for actor and critic")
    actor_view: str = _network("history", "what the actor sees", choices=VIEWS)
    critic_view: str = _network("history", "what the critic sees", choices=VIEWS)
    encoder: str = _network(
        "auto",
        "how networks read what they see; auto: as the view says",
        choices=("auto", *ENCODERS),
    )
    precision: str = _network(
        "auto",
        "matrix products: the device's fast float32, full float32, or bfloat16 (slow on a CPU)",
        choices=("auto", "float32", "bfloat16"),
    )
    eval_episodes: int = _logging(100, "therapies per evaluation", "[1, 1_000_000]")
    eval_deterministic: bool = _logging(False, "evaluate the most likely act instead of a sample")

    @property
    def rollout_length(self) -> int:
        """Steps per client and update."""
        return self.batch_size if self.n_steps is None else self.n_steps

    @property
    def steps_per_update(self) -> int:
        """Steps of all clients per update."""
        return self.n_envs * self.rollout_length

    @property
    def n_minibatches(self) -> int:
        """Per epoch. The last one takes in a remainder, so that no transition is dropped."""
        return max(1, self.steps_per_update // self.batch_size)

    @property
    def gradient_steps_per_update(self) -> int:
        """Optimiser steps of each update."""
        return self.n_epochs * self.n_minibatches


@dataclass(frozen=True)
class RunLength:
    """When things happen in a run, and where its log is."""

    total_timesteps: int = _training(500_000, "length of the training", "[1, 1e12]", unit="steps")
    target_success: float | None = _training(
        None,
        "end sooner, once evaluations show that share of successes",
        "(0, 1]",
        null="off",
        constant=True,
    )
    target_evaluations: int = _training(
        3, "how many evaluations in a row must show target_success", "[1, 1000]"
    )
    patience: int | None = _training(
        None, "end after that many evaluations without a better reward", "[1, 1e6]", null="off"
    )
    log_dir: str = _logging("logs/{experiment_name}", "folder for the CSV log")
    loggers: tuple[str, ...] | None = _logging(
        None, "who else is told of evaluations", choices=LOGGERS, null="none"
    )
    save_freq: int = _logging(10_000, "a checkpoint this often", "[1, 1e12]", unit="steps")
    keep_checkpoints: int = _logging(
        0, "how many checkpoints to keep, the latest; policy_best.pth stays; 0: all", "[0, 1e6]"
    )
    eval_freq: int = _logging(5_000, "an evaluation this often", "[1, 1e12]", unit="steps")
    evaluation: Changes | None = _logging(
        None,
        "in what the clients of evaluations differ, such as '{threshold: 0.9}'",
        null="they are those of training",
    )


@dataclass(frozen=True)
class AllSettings(RunLength, PPO, Hyperparameters, ClientSettings, Experiment):
    """Every setting, unchecked; see :class:`~jaxtherapy.config.TrainingConfig`."""


SETTINGS = settings_of(AllSettings)
"""By name, what is known about each."""
