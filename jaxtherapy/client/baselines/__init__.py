"""Therapists that need no training, to be beaten: one file for each, constant ones, fixed maps.

``therapist`` is a function ``(key, dyad, params) -> act`` that sees all, ``(key, observation) ->
act`` that sees what a therapist may see, or a :class:`~jaxtherapy.client.therapists.Therapist`.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from jaxtherapy.client.octants import N_OCTANTS, OCTANTS
from jaxtherapy.discovery import Choices

FIXED_MAP = "fixed_map:"
"""Begins the name of a fixed map: ``fixed_map:S,WS,W,WD,D,CD,C,CS`` is complementarity."""


def map_name(answers: Iterable[int]) -> str:
    """The name under which a map of eight answers is a baseline."""
    return FIXED_MAP + ",".join(OCTANTS[answer] for answer in answers)


def answers_of(name: str) -> list[int]:
    """The eight answers of a fixed map by its name, in the order of the client's octants.
    Raises KeyError: it is no such name."""
    answers = name.removeprefix(FIXED_MAP).upper().split(",")
    if not name.startswith(FIXED_MAP) or len(answers) != N_OCTANTS or {*answers} - {*OCTANTS}:
        raise KeyError(name)
    return [OCTANTS.index(answer) for answer in answers]


class _Baselines(Mapping[str, Any]):
    """By name; ``constant_D`` … ``constant_CD`` always do the same. Fixed maps, of which there
    are millions, are not listed."""

    _files = Choices(
        "client/baselines",
        "therapist",
        first=("complementary", "random", "anticomplementary", "mirror", "myopic", "best_cell"),
    )
    _constants = tuple(f"constant_{octant}" for octant in OCTANTS)

    def __getitem__(self, name: str) -> Any:
        if name in self._constants:
            from jaxtherapy.client.therapists import constant

            return constant(self._constants.index(name))
        if name.startswith(FIXED_MAP):
            from jaxtherapy.client.therapists import fixed_map

            return fixed_map(answers_of(name))
        return self._files[name]

    def __iter__(self) -> Iterator[str]:
        return iter((*self._files, *self._constants))

    def __len__(self) -> int:
        return len(self._files) + len(self._constants)


BASELINES = _Baselines()


def no_baseline(name: str, *others: str) -> str:
    """That a name is no baseline's, and which there are; ``others`` can be named as well."""
    return (
        f"{name!r} is no baseline; name one of {', '.join([*BASELINES, *others])}, or {FIXED_MAP} "
        f"with the answers to {', '.join(OCTANTS)}"
    )
