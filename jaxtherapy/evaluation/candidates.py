"""Who is evaluated: trained policies from their files, baselines, and users' own therapists."""

import importlib
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PRNGKeyArray

from jaxtherapy.client.baselines import BASELINES, FIXED_MAP, no_baseline
from jaxtherapy.client.dyad import Dyad, intakes
from jaxtherapy.client.params import ClientParams
from jaxtherapy.client.therapists import Answer, Therapist, as_therapist, checked, n_required
from jaxtherapy.config import expanded
from jaxtherapy.config.settings import PPO
from jaxtherapy.errors import RunError, shown
from jaxtherapy.evaluation.coded import PREFIX, coded_therapist
from jaxtherapy.evaluation.control import control, untrained
from jaxtherapy.evaluation.grid import Candidate
from jaxtherapy.evaluation.policies import PolicyFile, read_policy, unused
from jaxtherapy.evaluation.results import GroupInfo, TherapistInfo
from jaxtherapy.evaluation.stream import Family
from jaxtherapy.ppo.evaluation import policy_therapist

_LONGEST_REASON = 200


@dataclass(frozen=True)
class Panel:
    """Therapists in the order of the results; ``untrained`` is the family of those without
    weights, and of stationary controls."""

    candidates: Sequence[Candidate]
    untrained: Family

    @property
    def therapists(self) -> list[TherapistInfo]:
        """What is said of each."""
        return [each.info for each in self.candidates]

    @property
    def groups(self) -> list[GroupInfo]:
        """Therapists that differ only in their seed, together."""
        groups: dict[str, GroupInfo] = {}
        for each in self.therapists:
            group = groups.setdefault(each.group, GroupInfo(each.group, each.group, each.kind, []))
            group.therapists.append(each.id)
        return list(groups.values())

    @property
    def everyone(self) -> list[Candidate]:
        """All who are played: the therapists, and the stationary control."""
        return [*self.candidates, control(self.untrained)]

    def position(self, therapist: str) -> int:
        """Place of a therapist in the results."""
        return [each.id for each in self.therapists].index(therapist)


def assemble(
    policies: Sequence[PolicyFile],
    baselines: Sequence[str],
    custom: Sequence[str],
    deterministic: bool | None,
) -> Panel:
    """Policies, then users' own therapists, then baselines.

    Raises:
        RunError: a file that can't be read, or a function that is no therapist.
    """
    candidates: list[Candidate] = []
    families: dict[PPO, Family] = {}
    for policy in policies:
        ppo, params = read_policy(policy.file, policy.config, deterministic)
        several = sum(other.group == policy.group for other in policies) > 1
        suffix = f"/seed_{policy.seed}" if several and policy.seed is not None else ""
        name = unused(policy.group + suffix, {*BASELINES, *(each.info.id for each in candidates)})
        info = TherapistInfo(
            id=name,
            label=name,
            kind="policy",
            group=policy.group,
            seed=policy.seed,
            file=str(policy.file),
            experiment=str(policy.experiment) if policy.experiment else None,
            log=policy.log,
            hidden_size=ppo.hidden_size,
            deterministic=ppo.eval_deterministic,
        )
        family = families.setdefault(ppo, partial(policy_therapist, ppo))
        candidates.append(Candidate(info, family, params))
    own = {name: load_therapist(name) for name in custom}
    return _panel(candidates, own, {name: BASELINES[name] for name in baselines})


def panel_of(therapists: Mapping[str, Any]) -> Panel:
    """Therapists by name: functions, :class:`Therapist` objects, loaded policies, or names of
    baselines.

    Raises:
        ValueError: one of them is none.
    """
    own: dict[str, Therapist | Answer] = {}
    for name, each in therapists.items():
        if isinstance(each, str):
            if each not in BASELINES:
                raise ValueError(no_baseline(each))
            each = BASELINES[each]
        each = each.therapist() if hasattr(each, "therapist") else each
        try:
            own[name] = _tried(name, each)
        except RunError as error:
            raise ValueError(str(error)) from None
    return _panel([], own, {})


def _panel(
    candidates: list[Candidate],
    custom: Mapping[str, Therapist | Answer],
    baselines: Mapping[str, Therapist | Answer],
) -> Panel:
    """Adds therapists without weights."""
    everyone = [*map(checked, custom.values()), *baselines.values()]
    family = untrained(everyone)
    for number, given in enumerate([*custom, *baselines], 1):
        trusted = number > len(custom)
        name = unused(given, {each.info.id for each in candidates})
        file = given if not trusted and ":" in given else None
        kind = "baseline" if trusted else "custom"
        info = TherapistInfo.alone(name, kind, file=file)
        candidates.append(Candidate(info, family, np.int32(number), trusted))
    return Panel(candidates, family)


def load_therapist(name: str) -> Therapist:
    """A user's therapist ``module:attribute``: a :class:`Therapist`, or a pure function of ``(key,
    observation)``, which sees what a therapist may see, or of ``(key, dyad, params)``, which sees
    everything (parameters with a default don't count); or ``coded:FILE``, one that answers as coded
    ones did.

    Raises:
        RunError: it can't be imported, or is no therapist.
    """
    if name.startswith(PREFIX) and name.isprintable():
        return as_therapist(coded_therapist(Path(expanded(name.removeprefix(PREFIX)))))
    if name.startswith(FIXED_MAP):
        raise RunError(no_baseline(name))
    module_name, colon, attribute = name.partition(":")
    if not (colon and module_name and attribute and name.isprintable()):
        raise RunError(f"therapist {name!r} must be given as module:function")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        therapist = getattr(importlib.import_module(module_name), attribute)
    except (Exception, SystemExit) as error:  # whatever the user's module does
        raise RunError(f"therapist {name} can't be imported: {reason_of(error)}") from None
    return _tried(name, therapist)


def _tried(name: str, function: Any) -> Therapist:
    """The therapist, tried on two clients, so that mistakes surface here and not in a program."""
    if not (isinstance(function, Therapist) or callable(function)):
        given = f"TypeError: {shown(function)} is not a function"
        raise RunError(f"therapist {name} can't be imported: {given}")
    try:
        n_parameters = 3 if isinstance(function, Therapist) else n_required(function)
    except ValueError as error:  # some built-in functions don't tell
        raise RunError(f"therapist {name} fails: {reason_of(error)}") from None
    if n_parameters not in (2, 3):
        raise RunError(
            f"therapist {name} needs {n_parameters} arguments; it must take (key, observation) "
            "or (key, dyad, params)"
        )
    therapist = as_therapist(function)
    params = jax.tree.map(jnp.asarray, ClientParams())
    keys = jax.random.split(jax.random.key(0))

    def answer(key: PRNGKeyArray, dyad: Dyad) -> tuple[Any, Any, Int[Array, ""]]:
        before = therapist.begin(params)
        return before, *therapist.act(key, before, therapist.see(dyad, params))

    try:
        with silent_callbacks():
            met = jax.jit(intakes)(keys[0], params, jnp.arange(2))
            one = jax.tree.map(lambda x: x[0], met)
            before, after, act = jax.eval_shape(answer, keys[0], one)
            is_whole = act.shape == () and jnp.issubdtype(act.dtype, jnp.integer)
            if is_whole:
                jax.block_until_ready(jax.jit(jax.vmap(answer))(keys, met))
    except jax.errors.ConcretizationTypeError:
        raise RunError(
            f"therapist {name} asks in Python about a value that JAX has not computed yet; say "
            "jnp.where instead of if, and index jnp.asarray(a_list) instead of a_list"
        ) from None
    except (Exception, SystemExit) as error:
        raise RunError(f"therapist {name} fails: {reason_of(error)}") from None
    if not is_whole:
        raise RunError(
            f"therapist {name} answers with {act.dtype} of shape {act.shape}; "
            "it must be one whole number, 0..7"
        )
    kept = [[(x.shape, x.dtype) for x in jax.tree.leaves(memory)] for memory in (before, after)]
    if kept[0] != kept[1] or str(jax.tree.structure(before)) != str(jax.tree.structure(after)):
        raise RunError(f"therapist {name} must return its memory in the shapes and types it had")
    return therapist


@contextmanager
def silent_callbacks() -> Iterator[None]:
    """JAX logs a trace when a user's callback fails; the error says it all."""
    logger = logging.getLogger("jax._src.callback")
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before


def reason_of(error: BaseException) -> str:
    """Type and message; of an error in a callback the last line, which is the user's."""
    lines = str(error).strip().splitlines() or [""]
    if isinstance(error, jax.errors.JaxRuntimeError):
        return lines[-1][:_LONGEST_REASON]
    return f"{type(error).__name__}: {' '.join(' '.join(lines).split())[:_LONGEST_REASON]}"
