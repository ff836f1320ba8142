"""From what is seen to features: one file for each encoder.

``make(hidden_size, view, precision, rngs)`` builds an :class:`Encoder`; ``view`` is what a single
dyad looks like, as shapes and dtypes.
"""

from collections.abc import Callable
from typing import Any, ClassVar

from flax import nnx

from jaxtherapy.discovery import Choices

ENCODERS = Choices("networks/encoders", "make")


class Encoder(nnx.Module):
    """Features of a batch of views (any leading axes): ``(…) -> (…, hidden_size)``.

    Attributes:
        reads: the type of the views that it can read.
    """

    reads: ClassVar[type] = object

    def __call__(self, view: Any) -> Any:
        """The features."""
        raise NotImplementedError

    def prepared(self) -> Callable[[Any], Any]:
        """The same function, for many views and the same weights."""
        return self
