"""A number that differs from client to client: each draws its own at intake."""

import math
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["uniform", "log_uniform", "normal", "choice"]
KINDS: tuple[Kind, ...] = ("uniform", "log_uniform", "normal", "choice")


@dataclass(frozen=True)
class Distribution:
    """Written ``{uniform: [low, high]}``, ``{log_uniform: [low, high]}``, ``{normal: [mean,
    deviation], clip: [low, high]}`` or ``{choice: [value, …], weights: [weight, …]}``.

    The numbers are Python's in a configuration and leaves in the core, so that they can be swept.
    What draws from it is :mod:`jaxtherapy.client.population`.

    Attributes:
        kind: of :data:`KINDS`. Static.
        numbers: both ends, mean and deviation, or the values to choose from.
        clip: of a normal: draws beyond are set to these ends.
        weights: of a choice; None: equal.
    """

    kind: Kind
    numbers: tuple[Any, ...]
    clip: tuple[Any, ...] | None = None
    weights: tuple[Any, ...] | None = None

    @property
    def support(self) -> tuple[Any, Any]:
        """The least and the largest number that may be drawn."""
        if self.kind == "choice":
            return min(self.numbers), max(self.numbers)
        if self.kind == "normal":
            return (self.clip[0], self.clip[1]) if self.clip else (-math.inf, math.inf)
        return self.numbers[0], self.numbers[1]

    def as_written(self) -> dict[str, Any]:
        """As it stands in a configuration."""
        parts = {self.kind: self.numbers, "clip": self.clip, "weights": self.weights}
        return {name: list(each) for name, each in parts.items() if each is not None}

    def __format__(self, spec: str) -> str:
        """In words, each number in the format that a constant would have."""
        told = [format(each, spec or "g") for each in self.numbers]
        if self.kind == "choice":
            if self.weights is not None:
                total = sum(self.weights)
                shares = [f" ({weight / total:.0%})" for weight in self.weights]
                told = [value + share for value, share in zip(told, shares, strict=True)]
            return "one of " + ", ".join(told)
        if self.kind == "normal":
            ends = [format(each, spec or "g") for each in self.clip or ()]
            within = f" clipped to {ends[0]} … {ends[1]}" if ends else ""
            return f"normal {told[0]} ± {told[1]}{within}"
        return f"{self.kind.replace('_', '-')} {told[0]} … {told[1]}"

    def __str__(self) -> str:
        return format(self)


def largest(value: Any) -> Any:
    """The largest number that a setting stands for."""
    return value.support[1] if isinstance(value, Distribution) else value
