"""What a therapist is, and those that need no training.

A therapist remembers what it wants to: ``begin(params) -> memory`` at intake, then
``act(key, memory, view) -> (memory, act)`` in every session. Most need no memory and are plain
functions, ``(key, dyad, params) -> act`` or ``(key, observation) -> act``.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Int, PRNGKeyArray

from jaxtherapy.client.baselines import BASELINES
from jaxtherapy.client.dyad import Dyad, observe
from jaxtherapy.client.octants import N_OCTANTS
from jaxtherapy.client.params import ClientParams

INVALID = -2
"""What a checked therapist does instead of an act that is none of the eight."""

Answer = Callable[..., Int[Array, ""]]
"""``(key, dyad, params) -> act`` or ``(key, observation) -> act``."""


complementary: Answer = BASELINES["complementary"]
anticomplementary: Answer = BASELINES["anticomplementary"]
mirror: Answer = BASELINES["mirror"]
myopic: Answer = BASELINES["myopic"]
best_cell: Answer = BASELINES["best_cell"]
random: Answer = BASELINES["random"]


@dataclass(frozen=True)
class Therapist:
    """A therapist with a memory; pure functions on single dyads, ``vmap``-ped over many.

    Attributes:
        act: ``(key, memory, view) -> (memory, act)``, act 0..7; the memory keeps its shapes.
        begin: ``(params) -> memory`` at intake.
        see: ``(dyad, params) -> view``; what a therapist may see unless said otherwise.
        counts: whether it wants to see ``dyad.exchanges``, which costs a little.
    """

    act: Callable[[PRNGKeyArray, Any, Any], tuple[Any, Int[Array, ""]]]
    begin: Callable[[ClientParams], Any] = lambda params: ()
    see: Callable[[Dyad, ClientParams], Any] = observe
    counts: bool = False


@runtime_checkable
class HasTherapist(Protocol):
    """What makes a therapist: a loaded policy, a planner."""

    def therapist(self) -> Therapist:
        """The therapist."""


AnyTherapist = Therapist | HasTherapist | Answer


def as_therapist(therapist: AnyTherapist) -> Therapist:
    """A therapist, from one, from what makes one, or from a function without memory."""
    if isinstance(therapist, Therapist):
        return therapist
    if isinstance(therapist, HasTherapist):
        return therapist.therapist()
    if n_required(therapist) == 2:
        return Therapist(lambda key, memory, view: (memory, therapist(key, view)))
    return Therapist(
        lambda key, memory, view: (memory, therapist(key, *view)),
        see=lambda dyad, params: (dyad, params),
    )


def checked(therapist: AnyTherapist) -> Therapist:
    """The same therapist, whose acts outside 0..7 become ``INVALID``: no cast hides them.
    Raises ValueError: when it acts, with anything but one whole number."""
    own = as_therapist(therapist)

    def act(key: PRNGKeyArray, memory: Any, view: Any) -> tuple[Any, Int[Array, ""]]:
        memory, act = own.act(key, memory, view)
        act = jnp.asarray(act)
        if act.shape != () or not jnp.issubdtype(act.dtype, jnp.integer):
            raise ValueError(
                f"the therapist answers with {act.dtype} of shape {act.shape}; "
                "it must be one whole number, 0..7"
            )
        return memory, jnp.where((act >= 0) & (act < N_OCTANTS), act, INVALID)

    return replace(own, act=act)


def n_required(function: Callable[..., object]) -> int:
    """Positional parameters without a default."""
    parameters = inspect.signature(function).parameters.values()
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(each.kind in positional and each.default is each.empty for each in parameters)


def taking_turns(therapists: Sequence[Therapist], which: Int[Array, ""]) -> Therapist:
    """One of several therapists, by number, as one program: each keeps a memory of its own."""

    def begin(params: ClientParams) -> tuple[Any, ...]:
        return tuple(each.begin(params) for each in therapists)

    def act(key: PRNGKeyArray, memory: Any, view: Any) -> tuple[Any, Int[Array, ""]]:
        def turn(number: int) -> tuple[Any, Int[Array, ""]]:
            each = therapists[number]
            own, act = each.act(key, memory[number], each.see(*view))
            return (*memory[:number], own, *memory[number + 1 :]), jnp.asarray(act, jnp.int8)

        # The number is not batched: only the therapist in question acts, even under vmap.
        return jax.lax.switch(which, [partial(turn, number) for number in range(len(therapists))])

    counts = any(each.counts for each in therapists)
    return Therapist(act, begin, see=lambda dyad, params: (dyad, params), counts=counts)


def constant(octant: int) -> Answer:
    """Always the same octant."""
    return lambda key, dyad, params: jnp.int8(octant)


def fixed_map(answers: Int[ArrayLike, "8"] | Sequence[int]) -> Answer:
    """Always the same answer to the same client act; ``vmap`` over answers for many maps."""
    return lambda key, dyad, params: jnp.asarray(answers, jnp.int8)[dyad.client_act]
