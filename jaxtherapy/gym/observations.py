"""What Gymnasium's users see."""

from typing import Any

import numpy as np
from gymnasium import spaces

from jaxtherapy.client.dyad import HISTORY_PADDING, HISTORY_SIZE, Observation
from jaxtherapy.client.octants import N_OCTANTS
from jaxtherapy.envs.flat import N_FLAT, flatten


def observation_space(flat: bool) -> spaces.Space[Any]:
    """Of one client."""
    if flat:
        return spaces.Box(0.0, 1.0, (N_FLAT,), np.float32)
    return spaces.Dict(
        client_action=spaces.Discrete(N_OCTANTS),
        session_number=spaces.Box(0.0, 1.0, (1,), np.float32),
        history=spaces.MultiDiscrete([HISTORY_PADDING + 1] * HISTORY_SIZE, dtype=np.int8),
    )


def shown(seen: Observation, flat: bool) -> Any:
    """As the space has it, of one client or of several along a leading axis."""
    if flat:
        return flatten(seen)
    # Copies: what JAX gives can't be written to, and PyTorch warns of that.
    return {
        "client_action": seen.client_action.astype(np.int64),
        "session_number": seen.session_number.copy(),
        "history": seen.history.copy(),
    }
