"""One simulated client: what makes it the person it is, what it feels now, what it does next.

Pure functions on single clients; ``jax.vmap`` makes crowds. The numbers are those of the public
CIIT–Tracey model (Tracey 1993; Kiesler 1996).
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Int, Int8

from jaxtherapy.client.expectations import (
    MECHANISMS,
    act_probabilities,
    adjusted_utilities,
    choose_act,
    read_at_bond,
)
from jaxtherapy.client.memory import (
    MEMORY_SIZE,
    bond,
    recency_weights,
    relationship_satisfaction,
    remember,
)
from jaxtherapy.client.octants import N_OCTANTS
from jaxtherapy.client.patterns import PATTERNS, draw_memory, draw_pattern
from jaxtherapy.client.perception import hear
from jaxtherapy.client.utilities import U_MAX, U_MIN, draw_utilities
from jaxtherapy.fast.compiling import compiled_apart

Number = Any  # a Python number or a scalar array: every one of them is a leaf that vmap can sweep


class ClientParams(struct.PyTreeNode):
    """Everything a researcher may vary about clients. All leaves but ``mechanism`` can be swept.

    Attributes:
        mechanism: how memory shapes expectations, one of ``MECHANISMS``. Static.
        pattern_weights: (7,) mixture weights over ``PATTERNS``; need not be normalised.
        exact_anticomplement: stuck patterns answer pool acts with their anticomplement
            (a later revision of the model) instead of with a uniform draw from a pool.
        u_min, u_max: (8, 8) bounds of the utility draw; equal bounds fix the matrix.
        threshold: success threshold as a share of the client's utility range, (0, 1].
        max_sessions: sessions after which an episode is truncated.
        entropy: temperature of the client's choice, in utility units, > 0.
        bond_alpha, bond_offset: slope and midpoint of the bond sigmoid.
        history_weight: strength of the amplifiers.
        bond_power: exponent of the bond in the bond-weighted mechanisms.
        smoothing: added to each weighted count of the conditional mechanisms.
        recency_ratio: weight of the newest memory over that of the oldest, ≥ 1.
        enable_parataxic: whether the client may mishear.
        baseline_accuracy: probability of hearing the therapist's act as it was.
    """

    mechanism: str = struct.field(pytree_node=False, default="frequency_amplifier")
    pattern_weights: Any = struct.field(default_factory=lambda: np.ones(len(PATTERNS)))
    exact_anticomplement: Number = False
    u_min: Any = struct.field(default_factory=lambda: U_MIN)
    u_max: Any = struct.field(default_factory=lambda: U_MAX)
    threshold: Number = 0.9
    max_sessions: Number = 100
    entropy: Number = 0.5
    bond_alpha: Number = 5.0
    bond_offset: Number = 0.7
    history_weight: Number = 1.0
    bond_power: Number = 1.0
    smoothing: Number = 0.1
    recency_ratio: Number = 2.0
    enable_parataxic: Number = True
    baseline_accuracy: Number = 0.5

    def __post_init__(self) -> None:
        if self.mechanism not in MECHANISMS:
            raise ValueError(f"mechanism {self.mechanism!r} is not one of {', '.join(MECHANISMS)}")

    @property
    def max_steps_in_episode(self) -> Number:
        """gymnax's name for ``max_sessions``."""
        return self.max_sessions


class Client(struct.PyTreeNode):
    """A client's hidden state: 316 bytes in float32, most of them its utilities.

    Attributes:
        worth: its utilities, transposed: rows are therapist acts, columns client acts. So a CPU
            reads whole rows where it sorts, for all client acts at once, over therapist acts.
        u_low, u_high: the smallest and the largest of them.
        memory: the last 50 exchanges, see :mod:`.memory`.
        rs: relationship satisfaction, in utility units.
        bond: in (0, 1).
    """

    worth: Float[Array, "8 8"]
    u_low: Float[Array, ""]
    u_high: Float[Array, ""]
    memory: Int8[Array, "50"]
    rs: Float[Array, ""]
    bond: Float[Array, ""]

    @property
    def u(self) -> Float[Array, "8 8"]:
        """Utilities: rows are client acts, columns therapist acts."""
        return jnp.swapaxes(self.worth, -1, -2)


def meet(u: Float[Array, "8 8"], memory: Int8[Array, "50"], params: ClientParams) -> Client:
    """The client with these utilities and this memory of past exchanges."""
    u_low, u_high = jnp.min(u), jnp.max(u)
    zero = jnp.zeros_like(u_low)
    return feel(Client(u.T, u_low, u_high, memory, zero, zero), params)


N_DRAW_POINTS = N_OCTANTS**2 + 1 + MEMORY_SIZE
"""Random numbers that make a client: a utility matrix, a pattern, a memory."""


def draw_client(
    points: Float[Array, "115"], params: ClientParams
) -> tuple[Client, Int8[Array, ""]]:
    """A new client and the index of its memory's pattern, from independent uniform ``points``."""
    u = draw_utilities(points[: N_OCTANTS**2], params.u_min, params.u_max)
    pattern = draw_pattern(points[N_OCTANTS**2], params.pattern_weights)
    memory = draw_memory(points[N_OCTANTS**2 + 1 :], pattern, params.exact_anticomplement)
    return meet(u, memory, params), pattern


def feel(client: Client, params: ClientParams) -> Client:
    """Recomputes RS and bond from memory."""
    weights = recency_weights(params.recency_ratio)
    rs = relationship_satisfaction(client.worth, client.memory, weights)
    strength = bond(rs, client.u_low, client.u_high, params.bond_alpha, params.bond_offset)
    return client.replace(rs=rs, bond=strength)


def rs_threshold(client: Client, params: ClientParams) -> Float[Array, ""]:
    """``θ = lo + threshold · (hi − lo)``: the RS at which therapy has succeeded."""
    return client.u_low + params.threshold * (client.u_high - client.u_low)


@compiled_apart
def expected_payoffs(client: Client, params: ClientParams) -> Float[Array, "8"]:
    """What the client expects from each of its own octants, in utility units."""
    adjusted = adjusted_utilities(
        client.u,
        client.memory,
        recency_weights(params.recency_ratio),
        client.bond,
        mechanism=params.mechanism,
        history_weight=params.history_weight,
        smoothing=params.smoothing,
        bond_power=params.bond_power,
    )
    return read_at_bond(adjusted, client.bond)


def probabilities(client: Client, params: ClientParams) -> Float[Array, "8"]:
    """The distribution of the client's next act."""
    return act_probabilities(expected_payoffs(client, params), params.entropy)


def act(point: Float[Array, ""], client: Client, params: ClientParams) -> Int8[Array, ""]:
    """The client's next act, by inversion of a uniform ``point`` in [0, 1)."""
    # On a GPU the barrier keeps XLA from repeating the sorts in every later use.
    payoffs = jax.lax.optimization_barrier(expected_payoffs(client, params))
    return choose_act(point, payoffs / params.entropy)


def hear_act(
    point: Float[Array, ""], client: Client, therapist_act: Int[Array, ""], params: ClientParams
) -> Int8[Array, ""]:
    """The therapist's act as this client hears it, given a uniform ``point`` in [0, 1)."""
    accurately = ~jnp.asarray(params.enable_parataxic, bool) | (point < params.baseline_accuracy)
    return hear(client.memory, therapist_act, accurately)


def experience(
    client: Client, client_act: Int[Array, ""], heard_act: Int[Array, ""], params: ClientParams
) -> Client:
    """The client after an exchange: remembered, RS and bond recomputed."""
    return feel(client.replace(memory=remember(client.memory, client_act, heard_act)), params)
