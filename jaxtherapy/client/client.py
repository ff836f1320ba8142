"""One simulated client: what makes it the person it is, what it feels now, what it does next.

Pure functions on single clients; ``jax.vmap`` makes crowds. The numbers are those of the public
CIIT–Tracey model (Tracey 1993; Kiesler 1996).
"""

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, ArrayLike, Float, Int, Int8

from jaxtherapy.client.expectations import act_probabilities, amplified, choose_act, read_at_bond
from jaxtherapy.client.mechanisms import MECHANISMS
from jaxtherapy.client.memory import (
    bond,
    recency_weights,
    relationship_satisfaction,
    remember,
    share_between,
    smoothed_conditional_frequencies,
    therapist_frequencies,
)
from jaxtherapy.client.params import ClientParams
from jaxtherapy.client.perception import hear
from jaxtherapy.fast.compiling import outlined


class Client(struct.PyTreeNode):
    """A client's hidden state: 316 bytes in float32, most of them its utilities.

    Attributes:
        utilities: transposed: rows are therapist acts, columns client acts. So a CPU
            reads whole rows where it sorts, for all client acts at once, over therapist acts.
        u_low, u_high: the smallest and the largest of them.
        memory: the last 50 exchanges, see :mod:`.memory`.
        rs: relationship satisfaction, in utility units.
        bond: in (0, 1).
    """

    utilities: Float[Array, "8 8"]
    u_low: Float[Array, ""]
    u_high: Float[Array, ""]
    memory: Int8[Array, "50"]
    rs: Float[Array, ""]
    bond: Float[Array, ""]

    @property
    def u(self) -> Float[Array, "*clients 8 8"]:
        """Utilities: rows are client acts, columns therapist acts."""
        return jnp.swapaxes(self.utilities, -1, -2)


def new_client(u: Float[Array, "8 8"], memory: Int8[Array, "50"], params: ClientParams) -> Client:
    """The client with these utilities and this memory of past exchanges."""
    u_low, u_high = jnp.min(u), jnp.max(u)
    zero = jnp.zeros_like(u_low)
    return with_bond(Client(u.T, u_low, u_high, memory, zero, zero), params)


def with_bond(client: Client, params: ClientParams) -> Client:
    """Recomputes RS and bond from memory."""
    weights = recency_weights(params.recency_ratio)
    rs = relationship_satisfaction(client.utilities, client.memory, weights)
    strength = bond(rs, client.u_low, client.u_high, params.bond_alpha, params.bond_offset)
    return client.replace(rs=rs, bond=strength)


def rs_threshold(
    client: Client, threshold: Float[ArrayLike, "*#clients"]
) -> Float[Array, "*clients"]:
    """``θ = lo + threshold · (hi − lo)``: the RS at which therapy has succeeded."""
    return client.u_low + threshold * (client.u_high - client.u_low)


def share_of_range(client: Client, utility: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """A utility, such as RS, as a share of the client's own range; 0 where that is none."""
    return share_between(utility, client.u_low, client.u_high)


@outlined
def expected_payoffs(client: Client, params: ClientParams) -> Float[Array, "8"]:
    """What the client expects from each of its own octants, in utility units."""
    amplification = MECHANISMS[params.mechanism](client, params)
    adjusted = client.u if amplification is None else amplified(client.u, amplification)
    return read_at_bond(adjusted, client.bond)


def frequencies(client: Client, params: ClientParams) -> Float[Array, "8"]:
    """P(j): the recency-weighted share of each therapist act in memory."""
    return therapist_frequencies(client.memory, recency_weights(params.recency_ratio))


def conditional_frequencies(client: Client, params: ClientParams) -> Float[Array, "8 8"]:
    """P(j given i): of therapist acts j among the pairs whose client act is i, smoothed."""
    weights = recency_weights(params.recency_ratio)
    return smoothed_conditional_frequencies(client.memory, weights, params.smoothing)


def probabilities(client: Client, params: ClientParams) -> Float[Array, "8"]:
    """The distribution of the client's next act."""
    return act_probabilities(expected_payoffs(client, params), params.entropy)


def act(point: Float[Array, ""], client: Client, params: ClientParams) -> Int8[Array, ""]:
    """The client's next act, by inversion of a uniform ``point`` in [0, 1)."""
    # On a GPU the barrier keeps XLA from repeating the sorts in every later use.
    payoffs = jax.lax.optimization_barrier(expected_payoffs(client, params))
    return choose_act(point, payoffs / params.entropy)


def hear_act(
    point: Float[Array, ""], client: Client, therapist_act: Int[ArrayLike, ""], params: ClientParams
) -> Int8[Array, ""]:
    """The therapist's act as this client hears it, given a uniform ``point`` in [0, 1)."""
    accurately = ~jnp.asarray(params.enable_parataxic, bool) | (point < params.baseline_accuracy)
    return hear(client.memory, therapist_act, accurately)


def experience(
    client: Client, client_act: Int[Array, ""], heard_act: Int[Array, ""], params: ClientParams
) -> Client:
    """The client after an exchange: remembered, RS and bond recomputed."""
    return with_bond(client.replace(memory=remember(client.memory, client_act, heard_act)), params)
