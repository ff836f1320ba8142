"""The ordinary observation as numbers in a row, for networks that take nothing else."""

from types import ModuleType

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32

from jaxtherapy.client.dyad import HISTORY_PADDING, HISTORY_SIZE, Observation
from jaxtherapy.client.octants import N_OCTANTS

N_FLAT = N_OCTANTS + 1 + HISTORY_SIZE * N_OCTANTS


def flatten(seen: Observation) -> Float32[Array, "*batch 409"]:
    """The client's act one-hot, the session's number, 50 acts of the past one-hot; all in [0, 1].

    Places of the history that are not filled yet are zeros. Of NumPy's arrays or JAX's.
    """
    xp: ModuleType = np if isinstance(seen.history, np.ndarray) else jnp
    one_hot = xp.eye(HISTORY_PADDING + 1, N_OCTANTS, dtype=np.float32)
    history = one_hot[seen.history].reshape(*seen.history.shape[:-1], HISTORY_SIZE * N_OCTANTS)
    parts = [one_hot[seen.client_action], seen.session_number, history]
    flat: Float32[Array, "*batch 409"] = xp.concatenate(parts, axis=-1)
    return flat
