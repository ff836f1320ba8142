"""Checking one value: in its right type and within bounds, or one line that says what is allowed.

What stands in a file and what stands behind a flag are read alike, so numbers, null and booleans
may be written as text.
"""

import math
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from jaxtherapy.config.declare import Setting
from jaxtherapy.config.schedules import KINDS, Kind, Schedule
from jaxtherapy.config.settings import SETTINGS, Matrix, Resume
from jaxtherapy.config.yaml_files import MAX_NUMBER_LENGTH, parse_yaml
from jaxtherapy.errors import ConfigError, nearest, shown

NULLS = ("null", "none", "~")
TRUE, FALSE = ("true", "yes", "on"), ("false", "no", "off")
FLATTEST = 1e-20
"""The least size of an end of an exponential: ratios of two ends fit float32."""


def checked(name: str, value: Any) -> Any:
    """The value of one setting in its right type.

    Raises:
        ConfigError: it is none that the setting can have.
    """
    about = SETTINGS[name]
    if value is None or (about.null and isinstance(value, str) and value.lower() in NULLS):
        if not about.null:
            raise _refused(about, value)
        return None
    return _READERS[about.type](about, value)


def expanded(path: str) -> str:
    """A path with ``~`` replaced by the home folder, where there is one."""
    return os.path.expanduser(path)


# --- in words -------------------------------------------------------------------------------

TYPE_NAMES: dict[Any, str] = {
    int: "int",
    float: "float",
    bool: "true or false",
    Resume: "true, false or auto",
    str: "text",
    tuple[str, ...]: "list of names",
    str | Matrix: "name or 8×8 numbers",
}


def _allowed(about: Setting) -> str:
    """What a setting accepts, in words."""
    if about.choices:
        words = "a list of " if about.type == tuple[str, ...] else "one of "
        rows = ", or 8 rows of 8 numbers" if about.type == str | Matrix else ""
        return words + ", ".join(about.choices) + rows
    text = {int: "a whole number", float: "a number"}.get(about.type, TYPE_NAMES[about.type])
    if about.above > -math.inf:
        text += f" above {_exactly(about.above)}"
    if about.minimum > -math.inf:
        text += f" of at least {_exactly(about.minimum)}"
    if about.maximum < math.inf:
        text += f" and at most {_exactly(about.maximum)}"
    return text + (f", or null ({about.null})" if about.null else "")


def _exactly(bound: float) -> str:
    short = f"{bound:g}"
    return short if isinstance(bound, float) and float(short) == bound else str(bound)


def _refused(about: Setting, value: Any, hint: str = "") -> ConfigError:
    return ConfigError(f"{about.name} is {shown(value)}, must be {_allowed(about)}{hint}")


# --- by type --------------------------------------------------------------------------------


def _number(about: Setting, value: Any) -> float:
    """A finite number; numbers written as text (YAML 1.1 reads ``3e-4`` as text) count."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _refused(about, value)
    if isinstance(value, str) and len(value) > MAX_NUMBER_LENGTH:
        raise _refused(about, value)
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise _refused(about, value) from None
    if not math.isfinite(number):
        raise _refused(about, value)
    return number


def _within(about: Setting, number: float, value: Any) -> Any:
    if not about.minimum <= number <= about.maximum or number <= about.above:
        raise _refused(about, value)
    return number


def _whole_number(about: Setting, value: Any) -> int:
    number = _number(about, value)
    if number != int(number):
        raise _refused(about, value)
    try:
        whole = int(value)
    except ValueError:  # text such as 1e6
        whole = int(number)
    return _within(about, whole, value)


def _real(about: Setting, value: Any) -> float | Schedule:
    if isinstance(value, str) and value.lstrip().startswith("{"):  # from the command line
        value = parse_yaml(value, about.name)
    if isinstance(value, Schedule):
        value = value.as_written()
    if isinstance(value, dict):
        return _varying(about, value)
    return _within(about, _number(about, value), value)


def _boolean(about: Setting, value: Any) -> bool:
    word = str(value).lower() if isinstance(value, str | bool) else ""
    if word not in TRUE + FALSE:
        raise _refused(about, value)
    return word in TRUE


def _resume(about: Setting, value: Any) -> Resume:
    return "auto" if value == "auto" else _boolean(about, value)


def _choice(about: Setting, value: Any) -> str:
    if not isinstance(value, str) or value not in about.choices:
        raise _refused(about, value, nearest(value, about.choices))
    return value


def _text(about: Setting, value: Any) -> str:
    if isinstance(value, int | float) and not about.choices:
        raise _refused(about, value, "; put it in quotes")
    if not isinstance(value, str) or not value or len(value) > 4096 or not value.isprintable():
        raise _refused(about, value)
    if about.choices:
        return _choice(about, value)
    if about.name == "experiment_name" and (
        value in (".", "..") or len(value.encode()) > 200 or set(value) & set("/\\")
    ):
        raise ConfigError(f"experiment_name is {shown(value)}, must be usable as a folder's name")
    try:
        os.fsencode(value)
    except UnicodeEncodeError:
        raise ConfigError(
            f"{about.name} is {shown(value)}, which can't name a file in this locale "
            f"({sys.getfilesystemencoding()}); set PYTHONUTF8=1"
        ) from None
    return expanded(value) if about.name == "resume_from" else value


def _names(about: Setting, value: Any) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or len(names) > 1000:
        raise _refused(about, value)
    return tuple(_choice(about, entry) for entry in names)


def _utility_matrix(about: Setting, value: Any) -> str | Matrix:
    if isinstance(value, str) and value.lstrip().startswith("["):  # rows on the command line
        value = parse_yaml(value, about.name)
    if isinstance(value, str):
        return _choice(about, value)
    is_square = (
        isinstance(value, list | tuple)
        and len(value) == 8
        and all(isinstance(row, list | tuple) and len(row) == 8 for row in value)
    )
    if not is_square:
        raise _refused(about, value)
    matrix = tuple(tuple(_number(about, cell) for cell in row) for row in value)
    cells = [cell for row in matrix for cell in row]
    largest = max(abs(cell) for cell in cells)
    if largest > 1e6:
        raise ConfigError("utility_matrix has a cell beyond ±1e6; rescale it")
    if max(cells) - min(cells) < max(1e-3, 1e-4 * largest):  # of which float32 leaves 1000 steps
        raise ConfigError(
            "utility_matrix is constant, or nearly so beside its size; RS needs utilities that "
            "differ by 1e-3 and by a 10,000th of the largest: subtract what all have in common"
        )
    return matrix


_READERS: dict[Any, Callable[[Setting, Any], Any]] = {
    int: _whole_number,
    float: _real,
    bool: _boolean,
    Resume: _resume,
    str: _text,
    tuple[str, ...]: _names,
    str | Matrix: _utility_matrix,
}


# --- numbers that are not one value ---------------------------------------------------------


def _schedule(about: Setting, kind: Kind, value: Mapping[str, Any]) -> Schedule:
    """``{linear: [start, end], over: steps}``."""
    ends = value[kind]
    if value.keys() - {kind, "over"} or not isinstance(ends, list | tuple) or len(ends) != 2:
        raise _refused(about, value, SCHEDULES_IN_WORDS)
    start, end = (_within(about, _number(about, each), each) for each in ends)
    if kind == "exponential" and (min(abs(start), abs(end)) < FLATTEST or (start < 0) != (end < 0)):
        raise ConfigError(
            f"{about.name} is {shown(value)}, but an exponential can't begin or end at 0 or "
            f"change its sign; both ends must be beyond {FLATTEST:g}, or take linear or cosine"
        )
    over = value.get("over")
    if over is not None:
        over = _whole_number(
            replace(SETTINGS["total_timesteps"], name=f"{about.name}'s over"), over
        )
    return Schedule(kind, start, end, over)


FORMS = dict.fromkeys(KINDS, _schedule)
"""By its key in a configuration, what reads a number that is not one value: distributions that
differ from client to client would be further entries, such as ``uniform``."""

SCHEDULES_IN_WORDS = f", or {{linear: [start, end], over: steps}} (of {', '.join(KINDS)})"


def _varying(about: Setting, value: Mapping[Any, Any]) -> Schedule:
    forms = [form for form in FORMS if form in value]
    if len(forms) != 1:
        raise _refused(about, value, SCHEDULES_IN_WORDS + nearest(next(iter(value), ""), FORMS))
    return FORMS[forms[0]](about, forms[0], value)
