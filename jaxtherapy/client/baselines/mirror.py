"""Always the client's own act."""

from jaxtyping import Array, Int8, PRNGKeyArray

from jaxtherapy.client.dyad import Dyad
from jaxtherapy.client.params import ClientParams


def therapist(key: PRNGKeyArray, dyad: Dyad, params: ClientParams) -> Int8[Array, ""]:
    """The client's own act."""
    return dyad.client_act
