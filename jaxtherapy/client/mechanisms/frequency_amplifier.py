"""What the therapist did often weighs more: P(j)."""

from jaxtyping import Array, Float

from jaxtherapy.client.client import Client, frequencies
from jaxtherapy.client.params import ClientParams


def amplification(client: Client, params: ClientParams) -> Float[Array, "8"]:
    """See :mod:`jaxtherapy.client.mechanisms`."""
    return params.history_weight * frequencies(client, params)
