"""Who is evaluated: trained policies from their files, baselines, and users' own functions."""

import importlib
import re
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray, PyTree

from jaxtherapy.client.dyad import intake
from jaxtherapy.client.octants import N_OCTANTS
from jaxtherapy.client.params import ClientParams
from jaxtherapy.client.therapists import (
    BASELINES,
    Answer,
    Therapist,
    as_therapist,
    n_required,
)
from jaxtherapy.config import TrainingConfig, load_config
from jaxtherapy.config.settings import PPO
from jaxtherapy.errors import RunError
from jaxtherapy.evaluation.grid import INVALID, Branch, Player
from jaxtherapy.evaluation.logs import find_log
from jaxtherapy.evaluation.results import GroupInfo, TherapistInfo
from jaxtherapy.networks.actor_critic import param_shapes
from jaxtherapy.ppo.evaluation import policy_therapist
from jaxtherapy.storage import policies as weights

_MOST_LINES = 200


@dataclass(frozen=True)
class Policy:
    """A file of weights and what is known about its training."""

    file: Path
    group: str
    experiment: Path | None = None
    seed: int | None = None


@dataclass
class Lineup:
    """Therapists in the order of the results, and what :func:`grid.play_grid` needs of them."""

    therapists: list[TherapistInfo] = field(default_factory=list)
    branches: list[Branch] = field(default_factory=list)
    players: list[Player] = field(default_factory=list)

    @property
    def groups(self) -> list[GroupInfo]:
        """Therapists that differ only in their seed, together."""
        groups: dict[str, GroupInfo] = {}
        for each in self.therapists:
            group = groups.setdefault(each.group, GroupInfo(each.group, each.group, each.kind, []))
            group.therapists.append(each.id)
        return list(groups.values())

    def position(self, therapist: str) -> int:
        """Place of a therapist in the results."""
        return [each.id for each in self.therapists].index(therapist)


# --- finding --------------------------------------------------------------------------------


def find_policies(path: Path, which: str) -> list[Policy]:
    """The policies that a path means: a ``.pth`` file, or an experiment's folder with its seeds.

    Raises:
        RunError: there is none.
    """
    if path.is_file():
        experiment = _experiment_of(path.parent)
        name = f"{path.parent.name}/{path.stem}" if experiment else path.stem
        return [Policy(path, name, experiment, _seed_of(path.parent, experiment))]
    if not path.is_dir():
        raise RunError(f"{path} does not exist; give a .pth file or an experiment's folder")
    name = f"policy_{which}.pth"
    label = path.resolve().name + ("" if which == "best" else f" ({which})")
    folders = sorted(path.glob("seed_*"), key=lambda folder: (len(folder.name), folder.name))
    folders = [folder for folder in folders if folder.is_dir()] or [path]
    missing = [folder / name for folder in folders if not (folder / name).is_file()]
    if missing:
        raise RunError(f"{missing[0]} does not exist; give an experiment's folder or a .pth file")
    return [
        Policy(folder / name, label, _experiment_of(folder), _seed_of(folder, _experiment_of(path)))
        for folder in folders
    ]


def find_all(paths: Sequence[Path], which: str) -> list[Policy]:
    """The policies of several paths; each path is a group of its own name.

    The names of baselines are theirs, whatever a file is called.
    """
    found: list[Policy] = []
    for path in paths:
        policies = find_policies(path, which)
        taken = {policy.group for policy in found} | set(BASELINES)
        name = _unused(policies[0].group, taken)
        found += [replace(policy, group=name) for policy in policies]
    return found


def _experiment_of(folder: Path) -> Path | None:
    """The folder with ``config.yaml`` that weights in ``folder`` belong to."""
    for each in (folder, folder.parent) if folder.name.startswith("seed_") else (folder,):
        if (each / "config.yaml").is_file():
            return each
    return None


def _seed_of(folder: Path, experiment: Path | None) -> int | None:
    match = re.fullmatch(r"seed_(\d+)", folder.name)
    if match:
        return int(match[1])
    return config_of(experiment).seed if experiment else None


def config_of(experiment: Path) -> TrainingConfig:
    """The configuration that an experiment was trained with."""
    return load_config(experiment / "config.yaml")


def _log_of(policy: Policy) -> str | None:
    """The training's CSV log."""
    if policy.experiment is None or policy.seed is None:
        return None
    path = find_log(policy.experiment, policy.seed)
    return None if path is None else str(path)


# --- building -------------------------------------------------------------------------------


def _shape_of(policy: Policy, hidden_size: int, deterministic: bool | None) -> PPO:
    """What the program of a policy depends on: width, precision, how it picks its act."""
    config = config_of(policy.experiment) if policy.experiment else TrainingConfig()
    return PPO(
        hidden_size=hidden_size,
        precision=config.precision,  # type: ignore[arg-type]  # the configuration checked it
        eval_deterministic=config.eval_deterministic if deterministic is None else deterministic,
    )


def _actor_parameters(ppo: PPO, checkpoint: weights.Checkpoint) -> PyTree:
    return weights.from_named_arrays(checkpoint.weights, param_shapes(ppo))


def _policy_branch(ppo: PPO, place: int) -> Branch:
    return lambda all_weights: policy_therapist(ppo, all_weights[place])


def _fixed_branch(therapist: Therapist | Answer) -> Branch:
    return lambda _: as_therapist(therapist)


def assemble(
    policies: Sequence[Policy],
    baselines: Sequence[str],
    custom: Sequence[str],
    deterministic: bool | None,
) -> Lineup:
    """Policies, then users' own therapists, then baselines.

    Policies of one architecture share one branch and differ in their weights.

    Raises:
        RunError: a file that can't be read, or a function that is no therapist.
    """
    lineup = Lineup()
    shapes: dict[PPO, int] = {}
    chosen: list[tuple[int, PyTree]] = []
    for policy in policies:
        checkpoint = weights.read(policy.file)
        ppo = _shape_of(policy, checkpoint.hidden_size, deterministic)
        place = shapes.setdefault(ppo, len(shapes))
        chosen.append((place, _actor_parameters(ppo, checkpoint)))
        several = sum(other.group == policy.group for other in policies) > 1
        suffix = f"/seed_{policy.seed}" if several and policy.seed is not None else ""
        name = _unique(policy.group + suffix, lineup, BASELINES)
        lineup.therapists.append(
            TherapistInfo(
                id=name,
                label=name,
                kind="policy",
                group=policy.group,
                seed=policy.seed,
                file=str(policy.file),
                experiment=str(policy.experiment) if policy.experiment else None,
                log=_log_of(policy),
                hidden_size=checkpoint.hidden_size,
                deterministic=ppo.eval_deterministic,
            )
        )
    lineup.branches = [_policy_branch(ppo, place) for ppo, place in shapes.items()]
    anyone = [next(w for at, w in chosen if at == place) for place in range(len(shapes))]
    for place, own in chosen:
        everyone = tuple(own if at == place else other for at, other in enumerate(anyone))
        lineup.players.append(Player(place, everyone))
    for name in custom:
        _add(lineup, name, "custom", _checked(load_therapist(name)), tuple(anyone), file=name)
    for name in baselines:
        _add(lineup, name, "baseline", BASELINES[name], tuple(anyone))
    return lineup


def _add(
    lineup: Lineup,
    name: str,
    kind: str,
    therapist: Therapist | Answer,
    all_weights: PyTree,
    file: str | None = None,
) -> None:
    name = _unique(name, lineup)
    lineup.therapists.append(TherapistInfo(name, name.replace("_", " "), kind, name, file=file))
    lineup.players.append(Player(len(lineup.branches), all_weights, trusted=kind != "custom"))
    lineup.branches.append(_fixed_branch(therapist))


def _unique(name: str, lineup: Lineup, reserved: Collection[str] = ()) -> str:
    return _unused(name, {each.id for each in lineup.therapists} | set(reserved))


def _unused(name: str, taken: Collection[str]) -> str:
    number, candidate = 2, name
    while candidate in taken:
        number, candidate = number + 1, f"{name} #{number}"
    return candidate


# --- users' own -----------------------------------------------------------------------------


def load_therapist(name: str) -> Therapist:
    """A user's pure function ``module:function``.

    Two parameters: ``(key, observation) -> act``, which sees what a therapist may see. Three:
    ``(key, dyad, params) -> act``, which sees everything. Parameters with a default don't count.

    Raises:
        RunError: it can't be imported, or is no therapist.
    """
    module_name, colon, attribute = name.partition(":")
    if not (colon and module_name and attribute):
        raise RunError(f"therapist {name!r} must be given as module:function")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        function = getattr(importlib.import_module(module_name), attribute)
        n_parameters = 3 if isinstance(function, Therapist) else n_required(function)
    except Exception as error:  # whatever the user's module does
        raise RunError(f"therapist {name} can't be imported: {_one_line(error)}") from None
    if n_parameters not in (2, 3):
        raise RunError(
            f"therapist {name} needs {n_parameters} arguments; it must take (key, observation) "
            "or (key, dyad, params)"
        )
    therapist = as_therapist(function)
    _try_out(name, therapist)
    return therapist


def _try_out(name: str, therapist: Therapist) -> None:
    """Traces one answer, so that mistakes surface here and not inside a compiled program."""
    key, params = jax.random.key(0), jax.tree.map(jnp.asarray, ClientParams())

    def answer_to(key: PRNGKeyArray) -> Int[Array, ""]:
        view = therapist.see(intake(key, params), params)
        return therapist.act(key, therapist.begin(params), view)[1]

    try:
        answer = jax.eval_shape(answer_to, key)
        shape, dtype = answer.shape, answer.dtype
    except jax.errors.ConcretizationTypeError:
        raise RunError(
            f"therapist {name} asks in Python about a value that JAX has not computed yet; say "
            "jnp.where instead of if, and index jnp.asarray(a_list) instead of a_list"
        ) from None
    except Exception as error:
        raise RunError(f"therapist {name} fails: {_one_line(error)}") from None
    if shape != () or not jnp.issubdtype(dtype, jnp.integer):
        raise RunError(
            f"therapist {name} answers with {dtype} of shape {shape}; "
            "it must be one whole number, 0..7"
        )


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:_MOST_LINES]}"


def _checked(therapist: Therapist) -> Therapist:
    """Acts outside 0..7 become ``INVALID``, so that no cast to a small type hides them."""

    def careful(key: PRNGKeyArray, memory: Any, view: Any) -> tuple[Any, Int[Array, ""]]:
        memory, act = therapist.act(key, memory, view)
        act = jnp.asarray(act)
        return memory, jnp.where((act >= 0) & (act < N_OCTANTS), act, INVALID)

    return replace(therapist, act=careful)
