"""A trained therapist, from a file or an experiment's folder, and back into a file."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from jaxtyping import Array, Int, PRNGKeyArray, PyTree

from jaxtherapy.client.dyad import Dyad
from jaxtherapy.client.params import ClientParams
from jaxtherapy.client.therapists import Therapist
from jaxtherapy.config import TrainingConfig
from jaxtherapy.config.settings import PPO
from jaxtherapy.errors import RunError
from jaxtherapy.networks.actor_critic import param_shapes
from jaxtherapy.ppo.evaluation import policy_therapist
from jaxtherapy.storage.experiment import config_of, experiment_folder
from jaxtherapy.storage.policies import (
    Arrays,
    Checkpoint,
    from_named_arrays,
    read,
    state_dict,
    write,
)


@dataclass(frozen=True)
class Policy:
    """A trained therapist: a function, ``act``, and its memory, which ``begin`` makes.

    >>> policy = load_policy("models/quickstart")
    >>> memory = policy.begin(clients)
    >>> memory, act = policy.act(key, memory, observation)

    Attributes:
        weights: by the names of their files; see :func:`to_named_arrays`.
        ppo: what its networks are and whether it takes its most likely act; the rest is default.
        experiment: the folder that it comes from, if any.
    """

    weights: Arrays
    ppo: PPO
    experiment: Path | None = None

    @cached_property
    def params(self) -> PyTree:
        """Actor and critic, as :func:`jaxtherapy.networks.actor_critic.with_weights` takes them."""
        return from_named_arrays(self.weights, param_shapes(self.ppo))

    @cached_property
    def _as_trained(self) -> Therapist:
        return self.therapist()

    def begin(self, clients: ClientParams) -> Any:
        """What it remembers before the first session."""
        return self._as_trained.begin(clients)

    def act(self, key: PRNGKeyArray, memory: Any, view: Any) -> tuple[Any, Int[Array, ""]]:
        """What it remembers from now on, and its answer to what it sees, as ``see`` gives it."""
        return self._as_trained.act(key, memory, view)

    def see(self, dyad: Dyad, clients: ClientParams) -> Any:
        """What it sees of a dyad."""
        return self._as_trained.see(dyad, clients)

    def therapist(self, deterministic: bool | None = None) -> Therapist:
        """To simulate or evaluate with; ``deterministic``: it takes its most likely act, or not,
        whatever its training was evaluated with."""
        if deterministic is None:
            return policy_therapist(self.ppo, self.params)
        return policy_therapist(self.ppo.replace(eval_deterministic=deterministic), self.params)


_OF_A_POLICY = ("actor_view", "critic_view", "encoder", "precision", "eval_deterministic")


def ppo_of(file: Checkpoint, config: TrainingConfig | None) -> PPO:
    """What the networks of a file are and whether they take their most likely act, as it and the
    configuration of its training tell; an ordinary policy needs no configuration."""
    told = {} if config is None else {name: getattr(config, name) for name in _OF_A_POLICY}
    return PPO(hidden_size=file.hidden_size, shared_trunk=file.shared_trunk, **told)


def load_policy(path: str | Path) -> Policy:
    """A trained therapist, from a file of weights or the best one of an experiment's folder.

    Files end in ``.pth`` or ``.safetensors``. What its networks see, and how, tells the
    experiment's ``config.yaml``.

    Raises:
        RunError: there is none, or it can't be read.
    """
    path = Path(path).expanduser()
    file = path / "policy_best.pth" if path.is_dir() else path
    if not file.is_file() and (seeds := sorted(path.glob("seed_*/policy_best.pth"))):
        raise RunError(f"{path} has {len(seeds)} seeds; choose one, such as {seeds[0]}")
    if not file.is_file():
        raise RunError(f"{file} does not exist; give a .pth file or an experiment's folder")
    read_file = read(file)
    folder = experiment_folder(file)
    config = config_of(folder)
    return Policy(read_file.weights, ppo_of(read_file, config), folder if config else None)


def save_policy(path: str | Path, policy: Policy) -> None:
    """Writes a policy as a ``.pth`` or ``.safetensors`` file, whole or not at all."""
    write(Path(path), cast(dict[str, Any], state_dict(policy.weights)))
