"""What each exchange is worth to the client: the 8×8 utility matrix.

Rows are client octants, columns therapist octants (as heard). A client's matrix is drawn cell by
cell between two bounds; a named or given matrix is the degenerate draw whose bounds coincide, so
one code path serves all three and bounds can be swept like any other parameter.
"""

import json
from importlib import resources

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

_MATRICES = json.loads(
    resources.files("jaxtherapy.client").joinpath("utility_matrices.json").read_text()
)

U_MIN = np.array(_MATRICES["u_min"], np.float64)
U_MAX = np.array(_MATRICES["u_max"], np.float64)
NAMED_MATRICES = {name: np.array(u, np.float64) for name, u in _MATRICES["named"].items()}


def draw_utilities(
    points: Float[Array, "64"], u_min: Float[Array, "8 8"], u_max: Float[Array, "8 8"]
) -> Float[Array, "8 8"]:
    """A client's utility matrix, uniform between the bounds, from 64 uniform ``points``.

    Equal bounds give that matrix exactly.
    """
    u_min, u_max = jnp.asarray(u_min), jnp.asarray(u_max)
    return u_min + (u_max - u_min) * points.reshape(u_min.shape)
