"""Therapists that need no training, to be beaten: one file for each, and eight constant ones.

``therapist`` is a function ``(key, dyad, params) -> act`` that sees all, ``(key, observation) ->
act`` that sees what a therapist may see, or a :class:`~jaxtherapy.client.therapists.Therapist`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from jaxtherapy.client.octants import OCTANTS
from jaxtherapy.discovery import Choices


class _Baselines(Mapping[str, Any]):
    """By name; ``constant_D`` … ``constant_CD`` always do the same."""

    _files = Choices(
        "client/baselines",
        "therapist",
        first=("complementary", "random", "anticomplementary", "mirror", "myopic"),
    )
    _constants = tuple(f"constant_{octant}" for octant in OCTANTS)

    def __getitem__(self, name: str) -> Any:
        if name in self._constants:
            from jaxtherapy.client.therapists import constant

            return constant(self._constants.index(name))
        return self._files[name]

    def __iter__(self) -> Iterator[str]:
        return iter((*self._files, *self._constants))

    def __len__(self) -> int:
        return len(self._files) + len(self._constants)


BASELINES = _Baselines()
