"""From settings to leaves: every number an array, so that ``vmap`` can sweep it."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np

from jaxtherapy.config.distributions import Distribution
from jaxtherapy.config.schedules import Schedule

_DTYPES: dict[Any, Any] = {
    float: np.float32,
    float | None: np.float32,
    int: np.int32,
    bool: np.bool_,
}


def as_leaves(part: type, settings: Any) -> dict[str, Any]:
    """The numbers of a part of the settings by name: float32, int32 or bool scalars; what changes
    while training stays a :class:`Schedule`, what clients draw a :class:`Distribution`, of such
    numbers; what is off is None."""

    def leaf(field: dataclasses.Field[Any]) -> Any:
        value, dtype = getattr(settings, field.name), _DTYPES[field.type]
        if isinstance(value, Schedule):
            return Schedule(value.kind, *_reals((value.start, value.end, value.over)))
        if isinstance(value, Distribution):
            clip, weights = (each and _reals(each) for each in (value.clip, value.weights))
            return Distribution(value.kind, _reals(value.numbers), clip, weights)
        number = field.metadata["setting"].instead if value is None else value
        return None if number is None else np.asarray(number, dtype)

    return {field.name: leaf(field) for field in dataclasses.fields(part)}


def _reals(numbers: Iterable[float]) -> tuple[Any, ...]:
    return tuple(np.asarray(each, np.float32) for each in numbers)
