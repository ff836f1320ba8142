"""What actor and critic see of a dyad, chosen by name: one file for each view.

``view`` is a :class:`View`: a pure function of a single dyad, and the encoder that reads it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jaxtherapy.discovery import Choices

VIEWS = Choices("envs/observations", "view")


@dataclass(frozen=True)
class View:
    """What is seen of a dyad.

    Attributes:
        observe: ``(dyad, params) -> pytree`` of arrays.
        encoder: the name of the encoder that reads it, of ``jaxtherapy.networks.encoders``.
        counts: whether it needs ``dyad.exchanges``, see :func:`jaxtherapy.client.dyad.counted`.
    """

    observe: Callable[[Any, Any], Any]
    encoder: str = "flat"
    counts: bool = False
