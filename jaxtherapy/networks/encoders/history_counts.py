"""The ordinary trunk, to whose first layer the counts of all exchanges are added."""

from collections.abc import Callable
from typing import Any

from flax import nnx
from jaxtyping import Array, Float

from jaxtherapy.client.octants import N_OCTANTS
from jaxtherapy.envs.observations.history_counts import CountedObservation
from jaxtherapy.networks.encoders import Encoder
from jaxtherapy.networks.encoders.history import TherapyNet
from jaxtherapy.networks.layers import Precision, linear


class HistoryAndCounts(Encoder):
    """Recent sessions and counts → ``hidden_size`` features."""

    reads = CountedObservation

    def __init__(self, hidden_size: int, precision: Precision, rngs: nnx.Rngs) -> None:
        self.recent = TherapyNet(hidden_size, precision=precision, rngs=rngs)
        self.counts = linear(N_OCTANTS**2, hidden_size, 2**0.5, precision, rngs)

    def __call__(self, view: CountedObservation) -> Float[Array, "*batch hidden"]:
        """Features of a batch of views (any leading axes)."""
        return self._features(self.recent.first, view)

    def prepared(self) -> Callable[[CountedObservation], Float[Array, "*batch hidden"]]:
        """The same function, for many views and the same weights."""
        first = self.recent.prepared_first()
        return lambda view: self._features(first, view)

    def _features(
        self, first: Callable[[Any], Any], view: CountedObservation
    ) -> Float[Array, "*batch hidden"]:
        counts = view.counts.reshape(*view.counts.shape[:-2], N_OCTANTS**2)
        return self.recent.second(first(view.recent) + self.counts(counts))


def make(hidden_size: int, view: Any, precision: Precision, rngs: nnx.Rngs) -> HistoryAndCounts:
    """See :mod:`jaxtherapy.networks.encoders`."""
    return HistoryAndCounts(hidden_size, precision, rngs)
