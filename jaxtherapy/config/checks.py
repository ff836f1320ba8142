"""Checking one value: in its right type and within bounds, or one line that says what is allowed.

What stands in a file and what stands behind a flag are read alike, so numbers, null and booleans
may be written as text.
"""

import contextlib
import math
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from jaxtherapy.config import distributions, schedules
from jaxtherapy.config.declare import Setting
from jaxtherapy.config.distributions import Distribution
from jaxtherapy.config.schedules import Schedule
from jaxtherapy.config.settings import SETTINGS, Changes, Matrix, Resume
from jaxtherapy.config.yaml_files import ALIASES, MAX_NUMBER_LENGTH, parse_yaml
from jaxtherapy.errors import ConfigError, nearest, shown

NULLS = ("null", "none", "~")
TRUE, FALSE = ("true", "yes", "on"), ("false", "no", "off")
FLATTEST = 1e-20
"""The least size of an end of an exponential: ratios of two ends fit float32."""
MOST_CHOICES = 1000
_OF_FILES = (".csv", ".tsv", ".txt", ".xlsx", ".xls", ".parquet", ".sav", ".dta", ".rds", ".json")


def checked(name: str, value: Any) -> Any:
    """The value of one setting in its right type.
    Raises ConfigError: it is none that the setting can have."""
    return checked_as(SETTINGS[name], value)


def checked_as(about: Setting, value: Any) -> Any:
    """The same for what is declared elsewhere."""
    alone = about.type == tuple[str, ...] and isinstance(value, list) and len(value) == 1
    word = value[0] if alone else value  # --loggers null
    if word is None or (about.null and isinstance(word, str) and word.lower() in NULLS):
        if not about.null:
            raise _refused(about, value)
        return None
    return _READERS[about.type](about, value)


def check_name(about: str, name: str) -> None:
    """Refuses what becomes the name of files and folders, where it can't be one everywhere.
    Raises ConfigError: ``about`` says whose name it is."""
    odd = not name.isprintable() or set(name) & set("/\\") or len(name.encode()) > 200
    if not name or odd or name != name.strip() or name.endswith("."):
        raise ConfigError(
            f"{about} is {shown(name)}, must be usable as a folder's name: no slashes, no control "
            "characters, no blanks around it, no dot at its end, at most 200 bytes"
        )


def output_folder(given: str, flag: str = "--output-dir") -> Path:
    """The folder behind a flag. Raises ConfigError: it is blank or can't be printed."""
    if not given.strip() or not given.isprintable():
        raise ConfigError(f"{flag} is {shown(given)}, must be printable text")
    return Path(expanded(given))


def data_folder(flag: str, given: str) -> Path:
    """The folder behind a flag that wants tables written.
    Raises ConfigError: it is blank, can't be printed, is a file, or looks like one."""
    path = output_folder(given, flag)
    if path.suffix.lower() in _OF_FILES or path.is_file():
        raise ConfigError(
            f"{flag} is {given!r}, but takes a folder, for several files; leave the suffix away"
        )
    return path


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
    Changes: "a mapping of client settings",
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
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number or (isinstance(value, str) and len(value) <= MAX_NUMBER_LENGTH):
        with contextlib.suppress(ValueError, OverflowError):
            number = float(value)
            if math.isfinite(number):
                return number
    raise _refused(about, value)


def _within(about: Setting, number: float, value: Any) -> Any:
    if not about.minimum <= number <= about.maximum or number <= about.above:
        raise _refused(about, value)
    return number


def _whole(about: Setting, value: Any) -> int:
    number = _number(about, value)
    if number != int(number):
        raise _refused(about, value)
    try:
        whole = int(value)
    except ValueError:  # text such as 1e6
        whole = int(number)
    return _within(about, whole, value)


def _constant(about: Setting, value: Any) -> Any:
    if about.type is int:
        return _whole(about, value)
    return _within(about, _number(about, value), value)


def _numeric(about: Setting, value: Any) -> Any:
    if about.may_vary or about.may_be_drawn:
        value = _mapping(about, value)
        if isinstance(value, Schedule | Distribution):
            value = value.as_written()
        if isinstance(value, dict):
            return _varying(about, value)
    return _constant(about, value)


def _mapping(about: Setting, value: Any) -> Any:
    """What a mapping on the command line says; anything else as it is."""
    is_text = isinstance(value, str) and value.lstrip().startswith("{")
    return parse_yaml(value, about.name) if is_text else value


def _boolean(about: Setting, value: Any) -> bool:
    word = str(value).lower() if isinstance(value, str | bool) else ""
    if word not in TRUE + FALSE:
        raise _refused(about, value)
    return word in TRUE


def _choice(about: Setting, value: Any) -> str:
    if not isinstance(value, str) or value not in about.choices:
        raise _refused(about, value, nearest(value, about.choices))
    return value


def _text(about: Setting, value: Any) -> str:
    if isinstance(value, int | float) and not about.choices:
        raise _refused(about, value, "; put it in quotes")
    if not isinstance(value, str) or not value or len(value) > 4096:
        raise _refused(about, value)
    if about.choices:
        return _choice(about, value)
    if about.name == "experiment_name":
        check_name("experiment_name", value)
    if not value.isprintable() or not value.strip():
        raise _refused(about, value, "; it must be printable, not blank")
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
    rows = value if isinstance(value, list | tuple) else ()
    if [len(each) for each in (rows, *rows) if isinstance(each, list | tuple)] != [8] * 9:
        raise _refused(about, value)
    matrix = tuple(tuple(_number(about, cell) for cell in row) for row in rows)
    cells = [cell for row in matrix for cell in row]
    largest = max(map(abs, cells))
    if largest > 1e6:
        raise ConfigError("utility_matrix has a cell beyond ±1e6; rescale it")
    if max(cells) - min(cells) < max(1e-3, 1e-4 * largest):  # of which float32 leaves 1000 steps
        raise ConfigError(
            "utility_matrix is constant, or nearly so beside its size; RS needs utilities that "
            "differ by 1e-3 and by a 10,000th of the largest: subtract what all have in common"
        )
    return matrix


def _changes(about: Setting, value: Any) -> Changes | None:
    """Client settings, each checked as it would be by itself."""
    value = _mapping(about, value)
    if not isinstance(value, dict):
        raise _refused(about, value)
    known = [name for name, each in SETTINGS.items() if each.of_clients]
    changes: Changes = {}
    for key, each in value.items():
        name = ALIASES.get(key, key)
        if name in changes:
            raise ConfigError(f"{about.name}: {name} is given twice; keep one")
        if name not in known:
            hint = nearest(key, known)
            raise ConfigError(f"{about.name} has {shown(key)}, which is no client setting{hint}")
        try:
            changes[name] = checked(name, each)
        except ConfigError as error:
            raise ConfigError(f"{about.name}: {error}") from None
        if isinstance(changes[name], Schedule):
            raise ConfigError(
                f"{about.name}: {name} is {shown(each)}, but evaluations do not change on the way; "
                "give a number or a distribution"
            )
    return changes or None


_READERS: dict[Any, Callable[[Setting, Any], Any]] = {
    int: _numeric,
    float: _numeric,
    bool: _boolean,
    Resume: lambda about, value: "auto" if value == "auto" else _boolean(about, value),
    str: _text,
    tuple[str, ...]: _names,
    str | Matrix: _utility_matrix,
    Changes: _changes,
}


# --- numbers that are not one value ---------------------------------------------------------


Form = Schedule | Distribution


def _schedule(about: Setting, kind: Any, value: Mapping[str, Any]) -> Schedule:
    """``{linear: [start, end], over: steps}``."""
    _only(about, value, kind, "over")
    start, end = (_constant(about, each) for each in _list(about, value, kind, 2))
    if kind == "exponential" and (min(abs(start), abs(end)) < FLATTEST or (start < 0) != (end < 0)):
        raise ConfigError(
            f"{about.name} is {shown(value)}, but an exponential can't begin or end at 0 or "
            f"change its sign; both ends must be beyond {FLATTEST:g}, or take linear or cosine"
        )
    over = value.get("over")
    if over is not None:
        over = _whole(replace(SETTINGS["total_timesteps"], name=f"{about.name}'s over"), over)
    return Schedule(kind, start, end, over)


def _interval(about: Setting, kind: Any, value: Mapping[str, Any]) -> Distribution:
    """``{uniform: [low, high]}`` or ``{log_uniform: [low, high]}``."""
    _only(about, value, kind)
    low, high = _ordered(about, value, kind)
    if kind == "log_uniform" and low < FLATTEST:
        raise ConfigError(
            f"{about.name} is {shown(value)}, but a log_uniform must begin above 0, "
            f"at {FLATTEST:g} or more; raise its lower end or take uniform"
        )
    return Distribution(kind, (low, high))


def _normal(about: Setting, kind: Any, value: Mapping[str, Any]) -> Distribution:
    """``{normal: [mean, deviation], clip: [low, high]}``."""
    _only(about, value, kind, "clip")
    mean, deviation = (_number(about, each) for each in _list(about, value, kind, 2))
    if deviation < 0:
        raise ConfigError(f"{about.name} is {shown(value)}; its deviation must be at least 0")
    clip = None if value.get("clip") is None else _ordered(about, value, "clip")
    if clip is None and max(about.minimum, about.above, -about.maximum) > -math.inf:
        raise ConfigError(
            f"{about.name} is {shown(value)}, but a normal has no ends and {about.name} must be "
            f"{_allowed(about)}; add clip: [low, high]"
        )
    return Distribution(kind, (mean, deviation), clip)


def _one_of(about: Setting, kind: Any, value: Mapping[str, Any]) -> Distribution:
    """``{choice: [value, …], weights: [weight, …]}``."""
    _only(about, value, kind, "weights")
    values = tuple(_constant(about, each) for each in _list(about, value, kind))
    if value.get("weights") is None:
        return Distribution(kind, values)
    weight = replace(about, name=f"{about.name}'s weight")
    weights = tuple(_number(weight, each) for each in _list(about, value, "weights", len(values)))
    if min(weights) < 0 or max(weights) == 0 or sum(weights) > 1e30:
        raise ConfigError(
            f"{about.name} is {shown(value)}; its weights must be at least 0, and one of them above"
        )
    return Distribution(kind, values, weights=weights)


def _only(about: Setting, value: Mapping[str, Any], *keys: str) -> None:
    if value.keys() - set(keys):
        raise _refused(about, value, _in_words(about))


def _list(about: Setting, value: Mapping[str, Any], key: str, length: int | None = None) -> Any:
    numbers = value[key]
    right = isinstance(numbers, list | tuple) and 1 <= len(numbers) <= MOST_CHOICES
    if not right or length not in (None, len(numbers)):
        raise _refused(about, value, _in_words(about))
    return numbers


def _ordered(about: Setting, value: Mapping[str, Any], key: str) -> tuple[Any, Any]:
    low, high = (_constant(about, each) for each in _list(about, value, key, 2))
    if low > high:
        raise ConfigError(f"{about.name} is {shown(value)}; give the lower end of {key} first")
    return low, high


FORMS: dict[str, Callable[[Setting, Any, Mapping[str, Any]], Form]] = {
    **dict.fromkeys(schedules.KINDS, _schedule),
    "uniform": _interval,
    "log_uniform": _interval,
    "normal": _normal,
    "choice": _one_of,
}
"""By its key in a configuration, what reads a number that is not one value."""


def _in_words(about: Setting) -> str:
    words = ""
    if about.may_vary:
        words += f", or {{linear: [start, end], over: steps}} (of {', '.join(schedules.KINDS)})"
    if about.may_be_drawn:
        words += (
            ", or, drawn for each client, {uniform: [low, high]}, {log_uniform: [low, high]}, "
            "{normal: [mean, deviation], clip: [low, high]} or {choice: [values], weights: [each]}"
        )
    return words


def _varying(about: Setting, value: Mapping[Any, Any]) -> Form:
    kinds = [*schedules.KINDS] * about.may_vary + [*distributions.KINDS] * about.may_be_drawn
    forms = [kind for kind in kinds if kind in value]
    if len(forms) != 1:
        raise _refused(about, value, _in_words(about) + nearest(next(iter(value), ""), kinds))
    return FORMS[forms[0]](about, forms[0], value)
