"""As ``frequency_amplifier``, the more the stronger the bond."""

from jaxtyping import Array, Float

from jaxtherapy.client.client import Client, frequencies
from jaxtherapy.client.params import ClientParams


def amplification(client: Client, params: ClientParams) -> Float[Array, "8"]:
    """See :mod:`jaxtherapy.client.mechanisms`."""
    strength = client.bond**params.bond_power * params.history_weight
    return strength * frequencies(client, params)
