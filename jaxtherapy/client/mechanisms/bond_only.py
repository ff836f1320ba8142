"""Memory shapes the bond alone."""

from jaxtherapy.client.client import Client
from jaxtherapy.client.params import ClientParams


def amplification(client: Client, params: ClientParams) -> None:
    """See :mod:`jaxtherapy.client.mechanisms`."""
    return None
