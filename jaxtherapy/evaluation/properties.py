"""What tells clients apart at intake, before any therapist has met them."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxtherapy.client.client import share_of_range
from jaxtherapy.client.dyad import Dyad
from jaxtherapy.client.octants import COMPLEMENT, N_OCTANTS
from jaxtherapy.client.params import ClientParams
from jaxtherapy.client.simulation import begin
from jaxtherapy.client.therapists import as_therapist, complementary
from jaxtherapy.evaluation.grid import Design

LABELS = {
    "utility_range": "range of the utilities",
    "utility_mean": "mean utility, as a share of the range",
    "utility_spread": "standard deviation of the utilities, as a share of the range",
    "gain_of_best": "best over complementary answer, mean over acts, as a share of the range",
    "initial_rs": "initial RS, as a share of the range",
}
"""In words; numbers that clients draw keep their names."""

AT_ONCE = 10_000


def client_properties(dyad: Dyad) -> dict[str, Float[Array, ""]]:
    """The properties of one client, the same at intake and ever after, by name."""
    client = dyad.client
    u = share_of_range(client, client.u)
    complement = u[jnp.arange(N_OCTANTS), jnp.asarray(COMPLEMENT)]
    return {
        "utility_range": client.u_high - client.u_low,
        "utility_mean": jnp.mean(u),
        "utility_spread": jnp.std(u),
        "gain_of_best": jnp.mean(jnp.max(u, axis=1) - complement),
        "initial_rs": share_of_range(client, dyad.initial_rs),
        **dyad.drawn,
    }


def properties_of(design: Design) -> dict[str, Float[np.ndarray, "cells clients"]]:
    """Those of every client of a design that all cells have, without what is always the same."""
    nobody, numbers = as_therapist(complementary), jnp.arange(design.n_clients)

    @jax.jit
    def of_cell(params: ClientParams) -> dict[str, Array]:
        def of_one(number: Int[Array, ""]) -> dict[str, Array]:
            return client_properties(begin(design.key, number, nobody, params).dyad)

        return jax.lax.map(of_one, numbers, batch_size=AT_ONCE)

    cells = [jax.tree.map(np.asarray, of_cell(cell)) for cell in design.cells]
    shared = [name for name in {**LABELS, **cells[0]} if all(name in cell for cell in cells)]
    stacked = {name: np.stack([cell[name] for cell in cells]).astype(float) for name in shared}
    return {name: x for name, x in stacked.items() if np.ptp(x) > 1e-6 * np.max(np.abs(x))}
