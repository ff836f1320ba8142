"""A setting that changes while training: a pure function of the steps so far."""

import math
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["linear", "cosine", "exponential"]
KINDS: tuple[Kind, ...] = ("linear", "cosine", "exponential")


@dataclass(frozen=True)
class Schedule:
    """From ``start`` to ``end`` over so many steps, and ``end`` from then on.

    Written ``{linear: [start, end]}``, or ``{linear: [start, end], over: steps}``. The numbers are
    Python's in a configuration and leaves in the core.

    Attributes:
        kind: ``linear``; ``cosine``, which is flat at both ends; ``exponential``, by equal factors.
        start, end: values.
        over: environment steps from start to end; None: all steps of the training.
    """

    kind: Kind
    start: Any
    end: Any
    over: Any = None

    def at(self, step: Any, xp: Any = math) -> Any:
        """The value after so many environment steps; ``xp`` is ``math`` or ``jax.numpy``."""
        lower, higher = (min, max) if xp is math else (xp.minimum, xp.maximum)
        share = lower(1.0, step / self.over)
        if self.kind == "exponential":
            value = self.start * (self.end / self.start) ** share
        else:
            if self.kind == "cosine":
                share = (1 - xp.cos(xp.pi * share)) / 2
            value = self.start * (1 - share) + self.end * share
        # Rounding must not leave the bounds that both ends keep to.
        low, high = lower(self.start, self.end), higher(self.start, self.end)
        return lower(higher(value, low), high)

    def as_written(self) -> dict[str, Any]:
        """As it stands in a configuration."""
        length = {} if self.over is None else {"over": self.over}
        return {self.kind: [self.start, self.end], **length}
