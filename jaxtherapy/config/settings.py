"""Every setting, once: name, type, default, bounds, unit and help.

The dataclasses below are what travels: clients and hyperparameters become the leaves of the core's
pytrees (:class:`jaxtherapy.client.params.ClientParams`, :class:`Hyperparameters`), :class:`PPO` is
the static part of the program, and :class:`~jaxtherapy.config.TrainingConfig` is all of them. A
number that is added here is a YAML key, a flag with help, and a leaf that can be swept.
"""

import json
from dataclasses import dataclass

from jaxtherapy.config.declare import Flag, OptionalReal, Part, Real, Whole, setting
from jaxtherapy.discovery import ROOT, names_in

PATTERNS = names_in("client/patterns")
MECHANISMS = names_in("client/mechanisms")
MATRICES = tuple(json.loads((ROOT / "client/utility_matrices.json").read_text())["named"])
VIEWS = names_in("envs/observations")
ENCODERS = names_in("networks/encoders")

EXPERIMENT = "Experiment"
HOSTS = "Several hosts"
CLIENTS = "Clients"
REWARDS = "Rewards"
TRAINING = "Training"
NETWORK = "Network"
LOGGING = "Evaluation, logs and checkpoints"

Matrix = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Experiment:
    """Which run this is, and where."""

    experiment_name: str = setting(
        "therapy_ppo", EXPERIMENT, "names the experiment and its folders"
    )
    output_dir: str = setting(
        "models/{experiment_name}", EXPERIMENT, "folder for weights and checkpoints"
    )
    seed: int = setting(42, EXPERIMENT, "decides everything random", minimum=0, maximum=2**31 - 1)
    n_seeds: int = setting(
        1, EXPERIMENT, "train seeds seed … seed+n−1 together", minimum=1, maximum=100_000
    )
    seeds_at_once: int | None = setting(
        None,
        EXPERIMENT,
        "how many seeds to train together; the others follow in further groups",
        minimum=1,
        maximum=100_000,
        null="as many as fit into memory",
    )
    device: str = setting("auto", EXPERIMENT, "where to compute", choices=("auto", "cpu", "gpu"))
    distributed: bool = setting(
        False,
        HOSTS,
        "one of several hosts, as the scheduler (SLURM, Open MPI, Kubernetes …) announces it",
        in_file=False,
    )
    coordinator: str | None = setting(
        None, HOSTS, "HOST:PORT of the first host", null="found by itself", in_file=False
    )
    n_hosts: int | None = setting(
        None, HOSTS, "how many there are", minimum=1, null="found by itself", in_file=False
    )
    host_index: int | None = setting(
        None, HOSTS, "which this is, from 0", minimum=0, null="found by itself", in_file=False
    )
    resume_from: str | None = setting(
        None,
        EXPERIMENT,
        "continue from a checkpoint_*.pth, a policy_*.pth or an experiment's folder",
        null="start anew",
        in_file=False,
    )
    resume: bool = setting(
        False, EXPERIMENT, "continue this experiment from its latest checkpoint", in_file=False
    )
    overwrite: bool = setting(
        False, EXPERIMENT, "replace an experiment of the same name", in_file=False
    )


@dataclass(frozen=True)
class ClientNumbers(Part):
    """The numbers of a client and of what its outcome is worth; every one can be swept."""

    threshold: Real = setting(
        0.9, CLIENTS, "success threshold", unit="share of the RS range", above=0, maximum=1
    )
    max_sessions: Whole = setting(
        100, CLIENTS, "sessions until an episode is cut off", minimum=1, maximum=10_000
    )
    dropout_session: Whole = setting(
        10,
        CLIENTS,
        "the one session after which a client who is worse off than at intake leaves; 0: none",
        minimum=0,
        maximum=10_000,
    )
    entropy: Real = setting(
        0.5,
        CLIENTS,
        "temperature of the client's choice",
        unit="utility",
        minimum=1e-20,  # far below, utilities divided by it would overflow float32
        maximum=1e6,
    )
    bond_alpha: OptionalReal = setting(
        5.0, CLIENTS, "slope of the bond", minimum=0, maximum=1e3, null="5", instead=5.0
    )
    bond_offset: Real = setting(
        0.7, CLIENTS, "RS share at which the bond is ½", minimum=-10, maximum=10
    )
    history_weight: Real = setting(
        1.0, CLIENTS, "strength of the amplifiers", minimum=0, maximum=1e3
    )
    bond_power: Real = setting(
        1.0, CLIENTS, "exponent of the bond in bond-weighted mechanisms", minimum=0, maximum=100
    )
    smoothing: Real = setting(
        0.1,
        CLIENTS,
        "added to each conditional count",
        unit="memory weight",
        minimum=0,
        maximum=1e3,
    )
    recency_ratio: Real = setting(
        2.0, CLIENTS, "weight of the newest memory over the oldest", minimum=1, maximum=1e3
    )
    enable_parataxic: Flag = setting(True, CLIENTS, "the client may mishear the therapist")
    baseline_accuracy: Real = setting(
        0.5, CLIENTS, "probability of hearing an act as it was", minimum=0, maximum=1
    )
    success_reward: Real = setting(
        100.0, REWARDS, "for a success in the last session", minimum=-1e6, maximum=1e6
    )
    reward_per_session_saved: Real = setting(
        2.0, REWARDS, "more for each session before it", minimum=-1e6, maximum=1e6
    )
    dropout_reward: Real = setting(
        -150.0, REWARDS, "for a client who leaves", minimum=-1e6, maximum=1e6
    )


@dataclass(frozen=True)
class ClientSettings(ClientNumbers):
    """Everything that can be said about clients."""

    patterns: tuple[str, ...] = setting(
        ("cold_stuck", "dominant_stuck", "submissive_stuck", "mixed_random", "cold_warm"),
        CLIENTS,
        "initial-memory patterns, drawn uniformly; repeat one to draw it more often",
        choices=PATTERNS,
    )
    mechanism: str = setting(
        "frequency_amplifier",
        CLIENTS,
        "how memory shapes expectations",
        choices=MECHANISMS,
    )
    anticomplement: str = setting(
        "pool", CLIENTS, "how stuck patterns answer their pool acts", choices=("pool", "exact")
    )
    utility_matrix: str | Matrix = setting(
        "random",
        CLIENTS,
        "client utilities: drawn anew for each client, a named matrix, or 8 rows of 8 numbers",
        choices=("random", *MATRICES),
    )


@dataclass(frozen=True)
class Hyperparameters(Part):
    """The numbers of PPO; every one can be swept."""

    learning_rate: Real = setting(3e-4, TRAINING, "Adam's step size", above=0, maximum=10)
    gamma: Real = setting(0.99, TRAINING, "discount", unit="per session", minimum=0, maximum=1)
    gae_lambda: Real = setting(0.95, TRAINING, "decay of the advantage trace", minimum=0, maximum=1)
    clip_range: Real = setting(
        0.2, TRAINING, "trust region of ratios and values", above=0, maximum=100
    )
    ent_coef: Real = setting(0.01, TRAINING, "weight of the entropy bonus", minimum=0, maximum=100)
    vf_coef: Real = setting(0.5, TRAINING, "weight of the value loss", minimum=0, maximum=100)
    max_grad_norm: OptionalReal = setting(
        0.5,
        TRAINING,
        "clip of the global gradient norm",
        above=0,
        maximum=1e9,
        null="off",
        instead=float("inf"),
    )


@dataclass(frozen=True)
class PPO(Part):
    """Shapes and structure of the program. Hashable, static under ``jit``."""

    n_envs: int = setting(8, TRAINING, "clients treated in parallel", minimum=1, maximum=1_000_000)
    n_steps: int | None = setting(
        None,
        TRAINING,
        "rollout length per client",
        unit="steps",
        minimum=1,
        maximum=1_000_000,
        null="batch_size",
    )
    batch_size: int = setting(
        64, TRAINING, "minibatch", unit="steps", minimum=1, maximum=100_000_000
    )
    n_epochs: int = setting(10, TRAINING, "passes over each rollout", minimum=1, maximum=1_000)
    hidden_size: int = setting(
        256, NETWORK, "width of both hidden layers", minimum=1, maximum=16_384
    )
    shared_trunk: bool = setting(False, NETWORK, "one trunk for actor and critic")
    actor_view: str = setting("history", NETWORK, "what the actor sees", choices=VIEWS)
    critic_view: str = setting("history", NETWORK, "what the critic sees", choices=VIEWS)
    encoder: str = setting(
        "auto",
        NETWORK,
        "how networks read what they see; auto: as the view says",
        choices=("auto", *ENCODERS),
    )
    precision: str = setting(
        "auto",
        NETWORK,
        "matrix products: the device's fast float32, full float32, or bfloat16 (slow on a CPU)",
        choices=("auto", "float32", "bfloat16"),
    )
    eval_episodes: int = setting(
        100, LOGGING, "therapies per evaluation", minimum=1, maximum=1_000_000
    )
    eval_deterministic: bool = setting(
        False, LOGGING, "evaluate the most likely act instead of a sample"
    )

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

    total_timesteps: int = setting(
        500_000, TRAINING, "length of the training", unit="steps", minimum=1, maximum=10**12
    )
    log_dir: str = setting("logs/{experiment_name}", LOGGING, "folder for the CSV log")
    save_freq: int = setting(
        10_000, LOGGING, "a checkpoint this often", unit="steps", minimum=1, maximum=10**12
    )
    eval_freq: int = setting(
        5_000, LOGGING, "an evaluation this often", unit="steps", minimum=1, maximum=10**12
    )
