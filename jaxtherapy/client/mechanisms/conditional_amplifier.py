"""What the therapist answered often to an act weighs more: P(j given i)."""

from jaxtyping import Array, Float

from jaxtherapy.client.client import Client, conditional_frequencies
from jaxtherapy.client.params import ClientParams


def amplification(client: Client, params: ClientParams) -> Float[Array, "8 8"]:
    """See :mod:`jaxtherapy.client.mechanisms`."""
    return params.history_weight * conditional_frequencies(client, params)
