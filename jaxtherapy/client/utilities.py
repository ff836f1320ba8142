"""What each exchange is worth to the client: the 8×8 utility matrix.

Rows are client octants, columns therapist octants (as heard). A client's matrix is drawn cell by
cell between two bounds; a named or given matrix is the degenerate draw whose bounds coincide, so
one code path serves all three and bounds can be swept like any other parameter.
"""

import json

import numpy as np

from jaxtherapy.discovery import ROOT

_MATRICES = json.loads((ROOT / "client/utility_matrices.json").read_text())

U_MIN = np.array(_MATRICES["u_min"], np.float64)
U_MAX = np.array(_MATRICES["u_max"], np.float64)
NAMED_MATRICES = {name: np.array(u, np.float64) for name, u in _MATRICES["named"].items()}


def utility_bounds(matrix: str | tuple[tuple[float, ...], ...]) -> tuple[np.ndarray, np.ndarray]:
    """(8, 8) bounds of the draw for ``random``, a matrix's name, or its rows."""
    if matrix == "random":
        return U_MIN, U_MAX
    given = NAMED_MATRICES[matrix] if isinstance(matrix, str) else np.array(matrix)
    return given, given
