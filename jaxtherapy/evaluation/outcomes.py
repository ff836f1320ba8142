"""How therapies ended, and what their sessions say of them."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxtherapy.client.client import share_of_range
from jaxtherapy.client.dyad import Dyad, relapsed, sessions_to_success
from jaxtherapy.client.octants import N_OCTANTS
from jaxtherapy.client.params import ClientParams
from jaxtherapy.client.simulation import Course
from jaxtherapy.envs.outcomes import total_reward

NOT_HELD = -1
"""Code of a record where there was no session; ``INVALID``: one without an act of the eight."""

NEAR = 0.05
"""Of the client's range of RS: how close to the threshold a failure is a near miss."""


class Outcomes(NamedTuple):
    """How therapies ended; RS is the share of the client's range, after the last session as bond.
    Arrays of JAX on the device, of NumPy after. The last three are None where only ends are known.

    Attributes:
        sessions_to_success: until the first success; meaningful where there was one.
        relapse, near_miss: success with RS below the threshold at the end, and none with RS that
            came within ``NEAR`` of it.
        one_act, misheard: shares of sessions, in the client's own most frequent act, and in which
            it heard another act than the enacted one.
    """

    success: Bool[Any, "*shape"]
    dropout: Bool[Any, "*shape"]
    sessions: Int[Any, "*shape"]
    reward: Float[Any, "*shape"]
    rs: Float[Any, "*shape"]
    bond: Float[Any, "*shape"]
    initial_rs: Float[Any, "*shape"]
    sessions_to_success: Int[Any, "*shape"]
    relapse: Bool[Any, "*shape"]
    near_miss: Any = None
    one_act: Any = None
    misheard: Any = None

    def metric(self, name: str) -> Any:
        """One of ``METRICS``, of each therapy."""
        return self.rs if name == "final_rs" else getattr(self, name)

    def at(self, place: Any) -> "Outcomes":
        """Those at an index."""
        return Outcomes(*(None if part is None else part[place] for part in self))


class Record(NamedTuple):
    """What happened: acts coded ``64·client + 8·therapist + heard`` (−1: not held), and RS."""

    acts: Int[Any, " sessions *shape"]
    rs: Float[Any, " sessions *shape"]

    def at(self, therapist: int) -> "Record":
        """Of one therapist, where they are along a leading axis."""
        return Record(self.acts[therapist], self.rs[therapist])


class Tally(NamedTuple):
    """Of one therapy's sessions: how often the client did each act, how often it heard another act
    than the enacted one, and the highest RS."""

    acts: Int[Array, "8"]
    misheard: Int[Array, ""]
    highest_rs: Float[Array, ""]

    @classmethod
    def blank(cls, dtype: Any) -> "Tally":
        """Before the first session; ``dtype``: of RS."""
        return cls(jnp.zeros(N_OCTANTS, jnp.int32), jnp.int32(0), jnp.asarray(-jnp.inf, dtype))

    def after(self, now: Course) -> "Tally":
        """With a session, if it was held; RS as a share of the client's range."""
        return Tally(
            self.acts + (now.held & (jnp.arange(N_OCTANTS) == now.client_act)),
            self.misheard + (now.held & (now.heard_act != now.therapist_act)),
            jnp.where(now.held, jnp.maximum(self.highest_rs, now.rs), self.highest_rs),
        )


def ending(dyad: Dyad, params: ClientParams) -> Outcomes:
    """How one therapy ended, of which nothing was recorded."""
    return Outcomes(
        success=dyad.success,
        dropout=dyad.dropped_out,
        sessions=dyad.time,
        reward=total_reward(dyad, params),
        rs=share_of_range(dyad.client, dyad.client.rs),
        bond=dyad.client.bond,
        initial_rs=share_of_range(dyad.client, dyad.initial_rs),
        sessions_to_success=sessions_to_success(dyad),
        relapse=relapsed(dyad, params),
    )


def outcome(dyad: Dyad, tally: Tally, params: ClientParams) -> Outcomes:
    """How one therapy ended, and what its sessions say."""
    nearest = params.numbers_of(dyad).threshold - tally.highest_rs
    return ending(dyad, params)._replace(
        near_miss=~dyad.success & (nearest <= NEAR),
        one_act=jnp.max(tally.acts) / dyad.time,
        misheard=tally.misheard / dyad.time,
    )
