"""A therapist that knows the client and tries out, by simulation, how to go on.

Every few sessions it plays the rest of the therapy several times with each of a library of maps,
one answer to each client act, and keeps to the best of them until it plans again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Bool, Float, Int, Int8, PRNGKeyArray

from jaxtherapy.client.client import rs_threshold
from jaxtherapy.client.dyad import Dyad, hold_session, is_over
from jaxtherapy.client.octants import COLD, N_OCTANTS, NEUTRAL, WARM
from jaxtherapy.client.params import ClientParams
from jaxtherapy.client.therapists import Therapist
from jaxtherapy.envs.outcomes import total_reward

Maps = Int8[Array, "maps 8"]

_NO_MAP = -1
"""Stands in the memory of one who has not planned yet."""

REWARD_OF_DISTANCE = 40.0
"""What is lost, in reward points, per client's range of RS missing to the threshold at the end."""


def best_answers(dyad: Dyad) -> Int8[Array, "8"]:
    """What the myopic therapist answers to each act: the client's highest utility there."""
    return jnp.argmax(dyad.client.utilities, axis=0).astype(jnp.int8)


def library(dyad: Dyad) -> Maps:
    """The 36 maps among which a client's is chosen: the myopic one, and its variants in which all
    cold acts get one answer, whichever, and all neutral or all warm acts the favourite, which is
    the therapist's act of the client's highest utility."""
    favourite = jnp.argmax(jnp.max(dyad.client.utilities, axis=1)).astype(jnp.int8)
    maps = [best_answers(dyad)]
    for acts, answers in (COLD, range(N_OCTANTS)), (NEUTRAL, [favourite]), (WARM, [favourite]):
        maps += [
            one.at[jnp.array(acts)].set(jnp.int8(answer)) for one in maps for answer in answers
        ]
    return jnp.stack(maps)


def prospect(dyad: Dyad, params: ClientParams) -> Float[Array, ""]:
    """What the end of a therapy counts: its reward, or how far RS stayed from the threshold."""
    client = dyad.client
    missing = (rs_threshold(client, params.threshold) - client.rs) / (client.u_high - client.u_low)
    decided = dyad.success | dyad.dropped_out
    return jnp.where(decided, total_reward(dyad, params), -REWARD_OF_DISTANCE * missing)


def prospects(
    key: PRNGKeyArray, dyad: Dyad, maps: Maps, params: ClientParams, simulations: int
) -> Float[Array, " maps"]:
    """What each map promises from here on: the mean over therapies simulated to their end.

    Every map meets the same random numbers.
    """
    numbers = jnp.arange(simulations)
    Carry = tuple[Int[Array, ""], Dyad]

    def hold(
        key: PRNGKeyArray, answers: Int8[Array, "8"], number: Int[Array, ""], before: Dyad
    ) -> Dyad:
        after = hold_session(key, before, answers[before.client_act], params, number)
        return jax.tree.map(partial(jnp.where, is_over(before, params)), before, after)

    hold_all = jax.vmap(jax.vmap(hold, (None, None, 0, 0)), (None, 0, None, 0))

    def going(carry: Carry) -> Bool[Array, ""]:
        return ~jnp.all(is_over(carry[1], params))

    def advance(carry: Carry) -> Carry:
        time, before = carry
        return time + 1, hold_all(jax.random.fold_in(key, time), maps, numbers, before)

    shape = len(maps), simulations
    first = jax.tree.map(lambda x: jnp.broadcast_to(x, (*shape, *jnp.shape(x))), dyad)
    last = jax.lax.while_loop(going, advance, (jnp.int32(0), first))[1]
    return jax.vmap(jax.vmap(lambda each: prospect(each, params)))(last).mean(1)


@dataclass(frozen=True)
class Planner:
    """How a planner plans.

    Attributes:
        library: the maps to choose from, of a dyad.
        interval: sessions between two choices.
        simulations: therapies simulated for each map at each choice.
        seed: of the simulations, which know nothing of what will really happen.
        at_once: clients planned for side by side; more than one is for a GPU.
    """

    library: Callable[[Dyad], Maps] = library
    interval: int = 11
    simulations: int = 16
    seed: int = 0
    at_once: int = 1

    def choose(self, key: PRNGKeyArray, dyad: Dyad, params: ClientParams) -> Int8[Array, "8"]:
        """The best map from here on."""
        maps = self.library(dyad)
        return maps[jnp.argmax(prospects(key, dyad, maps, params, self.simulations))]

    def therapist(self) -> Therapist:
        """As a therapist, whose memory is the map in use."""
        replanned = _for_those_due(self.choose, self.at_once)

        def act(
            key: PRNGKeyArray, in_use: Int8[Array, "8"], view: tuple[Dyad, ClientParams]
        ) -> tuple[Int8[Array, "8"], Int8[Array, ""]]:
            dyad, params = view
            due = (dyad.time % self.interval == 0) | (in_use[0] == _NO_MAP)
            due &= ~is_over(dyad, params)
            in_use = replanned(due, in_use, jax.random.fold_in(key, self.seed), dyad, params)
            return in_use, in_use[dyad.client_act]

        return Therapist(
            act,
            begin=lambda params: jnp.full(N_OCTANTS, _NO_MAP, jnp.int8),
            see=lambda dyad, params: (dyad, jax.tree.map(jnp.asarray, params)),
        )


def _for_those_due(choose: Callable[..., Int8[Array, "8"]], at_once: int) -> Callable[..., Any]:
    """``(due, kept, *about) -> choose(*about) if due else kept``, which chooses only where it is
    due. ``vmap`` of a ``cond`` would choose for everyone in every session."""

    @custom_vmap
    def chosen(due: Bool[Array, ""], kept: Int8[Array, "8"], *about: Any) -> Int8[Array, "8"]:
        return jax.lax.cond(due, lambda: choose(*about), lambda: kept)

    @chosen.def_vmap
    def _(size: int, batched: Any, due: Any, kept: Any, *about: Any) -> tuple[Any, bool]:
        due, kept = (
            x if is_batched else jnp.broadcast_to(x, (size, *x.shape))
            for x, is_batched in zip((due, kept), batched, strict=False)
        )
        theirs = list(batched[2:])
        axes = jax.tree.map(lambda is_batched: 0 if is_batched else None, theirs)
        first_due = jnp.pad(jnp.argsort(~due), (0, -size % at_once), mode="edge")

        def plan(turn: Int[Array, ""], maps: Int8[Array, "n 8"]) -> Int8[Array, "n 8"]:
            who = jax.lax.dynamic_slice_in_dim(first_due, turn * at_once, at_once)
            now = jax.tree.map(lambda x, own: x[who] if own else x, list(about), theirs)
            best = jax.vmap(choose, axes)(*now)
            return maps.at[who].set(jnp.where(due[who, None], best, maps[who]))

        turns = -(-jnp.sum(due) // at_once)
        return jax.lax.fori_loop(0, turns, plan, kept), True

    return chosen
