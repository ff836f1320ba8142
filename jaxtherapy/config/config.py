"""Every setting of a training: its name, type, default, bounds and unit, in one place.

The YAML keys, the command-line flags and ``--help`` are all made from :class:`TrainingConfig`.
Values are checked where they come in; whatever is wrong ends in a :class:`ConfigError` of one line.
"""

import argparse
import dataclasses
import difflib
import math
import os
import re
import reprlib
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from jaxtherapy.config.declare import ConfigError, Setting
from jaxtherapy.config.settings import (
    EXPERIMENT,
    PATTERNS,
    PPO,
    ClientSettings,
    Experiment,
    Hyperparameters,
    Matrix,
    RunLength,
)

MAX_CONFIG_BYTES = 1_000_000
MAX_NUMBER_LENGTH = 100
"""Characters; YAML's 1:30:00 takes the square of its length to read."""


ALIASES = {"enable_perception": "enable_parataxic"}
IGNORED = {"lstm_hidden_size": "the network has no recurrent layer any more"}


@dataclass(frozen=True)
class TrainingConfig(RunLength, PPO, Hyperparameters, ClientSettings, Experiment):
    """A complete training. Every field is a YAML key and, in kebab-case, a flag."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = checked(field.name, getattr(self, field.name))
            object.__setattr__(self, field.name, value)
        if not self.patterns:
            raise ConfigError("patterns is empty; name at least one of " + ", ".join(PATTERNS))
        if self.seed + self.n_seeds > 2**31:
            raise ConfigError(
                f"seed + n_seeds may be at most {2**31}, got {self.seed} + {self.n_seeds}"
            )
        if self.coordinator is None and not self.distributed:
            for name, value in (("n_hosts", self.n_hosts), ("host_index", self.host_index)):
                if value is not None:
                    raise ConfigError(
                        f"{flag(name)} is given without {flag('coordinator')}; add "
                        f"{flag('coordinator')} HOST:PORT, the address of the first host"
                    )
        if self.coordinator is not None and not re.fullmatch(r".+:[0-9]+", self.coordinator):
            raise ConfigError(f"coordinator is {self.coordinator!r}, it must be HOST:PORT")
        if self.host_index is not None and self.host_index >= (self.n_hosts or 2**31):
            raise ConfigError(
                f"host_index is {self.host_index}, it must be below n_hosts, {self.n_hosts}"
            )
        if self.n_envs * self.rollout_length > 2**30:
            raise ConfigError(
                f"n_envs × n_steps is {self.n_envs * self.rollout_length}; "
                f"at most {2**30} transitions fit a rollout"
            )
        if self.n_updates >= 2**31:
            raise ConfigError(
                f"total_timesteps needs {self.n_updates} updates, at most {2**31 - 1}; "
                "raise n_envs or n_steps"
            )

    @property
    def n_updates(self) -> int:
        """Updates of the whole training: as many as it takes to reach ``total_timesteps``."""
        return -(-self.total_timesteps // self.steps_per_update)

    @property
    def output_path(self) -> Path:
        """``output_dir`` with the experiment's name filled in."""
        return _path(self.output_dir, self.experiment_name)

    @property
    def log_path(self) -> Path:
        """``log_dir`` with the experiment's name filled in."""
        return _path(self.log_dir, self.experiment_name)


def _path(template: str, experiment_name: str) -> Path:
    path = Path(template.replace("{experiment_name}", experiment_name))
    try:
        return path.expanduser()
    except RuntimeError:  # no home to speak of
        return path


_FIELDS = {field.name: field for field in dataclasses.fields(TrainingConfig)}
_TYPES = typing.get_type_hints(TrainingConfig)
SETTINGS: dict[str, Setting] = {name: field.metadata["setting"] for name, field in _FIELDS.items()}


# --- checking one value ---------------------------------------------------------------------


def _shown(value: Any) -> str:
    """A value, short and on one line, whatever it is."""
    try:
        return reprlib.repr(value)
    except Exception:  # hostile __repr__ or an integer too long to print
        return f"a {type(value).__name__}"


def _is_optional(name: str) -> bool:
    return type(None) in typing.get_args(_TYPES[name])


def _base_type(name: str) -> Any:
    hint = _TYPES[name]
    if isinstance(hint, types.UnionType) and _is_optional(name):
        return next(kind for kind in typing.get_args(hint) if kind is not type(None))
    return hint


def _type_name(name: str) -> str:
    kind = _base_type(name)
    if kind == tuple[str, ...]:
        return "list of names"
    if name == "utility_matrix":
        return "name or 8×8 numbers"
    return {int: "int", float: "float", bool: "true or false", str: "text"}[kind]


def _allowed(name: str) -> str:
    """What a setting accepts, in words."""
    about = SETTINGS[name]
    if about.choices:
        words = "one of " if name != "patterns" else "a list of "
        text = words + ", ".join(about.choices)
        return text + (", or 8 rows of 8 numbers" if name == "utility_matrix" else "")
    text = {"int": "a whole number", "float": "a number"}.get(_type_name(name), _type_name(name))
    if about.above > -math.inf:
        text += f" above {about.above:g}"
    if about.minimum > -math.inf:
        text += f" of at least {about.minimum:g}"
    if about.maximum < math.inf:
        text += f" and at most {about.maximum:g}"
    if about.null:
        text += f", or null ({about.null})"
    return text


def _refuse(name: str, value: Any, hint: str = "") -> ConfigError:
    return ConfigError(f"{name} is {_shown(value)}, must be {_allowed(name)}{hint}")


def _number(name: str, value: Any) -> float:
    """A finite number; numbers written as text (YAML 1.1 reads ``3e-4`` as text) count."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _refuse(name, value)
    if isinstance(value, str) and len(value) > MAX_NUMBER_LENGTH:
        raise _refuse(name, value)
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise _refuse(name, value) from None
    if not math.isfinite(number):
        raise _refuse(name, value)
    return number


def _whole_number(name: str, value: Any) -> int:
    number = _number(name, value)
    if number != int(number):
        raise _refuse(name, value)
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:  # such as 1e6
            return int(number)
    return int(value)


def _boolean(name: str, value: Any) -> bool:
    words = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    if not isinstance(value, bool):
        raise _refuse(name, value)
    return value


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value or len(value) > 4096 or not value.isprintable():
        raise _refuse(name, value)
    if name == "experiment_name" and (
        value in (".", "..") or len(value.encode(errors="replace")) > 200 or set(value) & set("/\\")
    ):
        raise ConfigError(f"experiment_name is {_shown(value)}, must be usable as a folder's name")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _refuse(name, value) from None
    return value


def _names(name: str, value: Any) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or len(names) > 1000:
        raise _refuse(name, value)
    for entry in names:
        if not isinstance(entry, str) or entry not in SETTINGS[name].choices:
            raise _refuse(name, entry, nearest(entry, SETTINGS[name].choices))
    return tuple(names)


def _utility_matrix(name: str, value: Any) -> str | Matrix:
    if isinstance(value, str) and value.lstrip().startswith("["):  # rows on the command line
        value = _parse_yaml(value, "utility_matrix")
    if isinstance(value, str):
        if value not in SETTINGS[name].choices:
            raise _refuse(name, value, nearest(value, SETTINGS[name].choices))
        return value
    is_square = (
        isinstance(value, list | tuple)
        and len(value) == 8
        and all(isinstance(row, list | tuple) and len(row) == 8 for row in value)
    )
    if not is_square:
        raise _refuse(name, value)
    matrix = tuple(tuple(_number(name, cell) for cell in row) for row in value)
    cells = [cell for row in matrix for cell in row]
    if max(abs(cell) for cell in cells) > 1e6:
        raise ConfigError("utility_matrix has a cell beyond ±1e6; rescale it")
    if max(cells) - min(cells) < 1e-3:
        raise ConfigError("utility_matrix is constant; RS needs at least two different utilities")
    return matrix


def checked(name: str, value: Any) -> Any:
    """The value of one setting in its right type.

    Raises:
        ConfigError: it is none that the setting can have.
    """
    about = SETTINGS[name]
    kind = _base_type(name)
    if value is None or (isinstance(value, str) and value in ("null", "none") and about.null):
        if not about.null:
            raise _refuse(name, value)
        return None
    if name == "utility_matrix":
        return _utility_matrix(name, value)
    if kind == tuple[str, ...]:
        return _names(name, value)
    if kind is bool:
        return _boolean(name, value)
    if kind is str:
        text = _text(name, value)
        if about.choices and text not in about.choices:
            raise _refuse(name, value, nearest(text, about.choices))
        return text
    number = _whole_number(name, value) if kind is int else _number(name, value)
    if not about.minimum <= number <= about.maximum or number <= about.above:
        raise _refuse(name, value)
    return number


def nearest(name: Any, known: Iterable[str]) -> str:
    """``; did you mean …?`` where one of the known names is close; else nothing."""
    match = difflib.get_close_matches(str(name)[:100], list(known), 1)
    return f"; did you mean {match[0]}?" if match else ""


# --- files ----------------------------------------------------------------------------------


class _StrictLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML's safe loader, refusing a key that stands twice: the first would be lost silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        if isinstance(node, yaml.MappingNode):
            seen = set()
            for key_node, _ in node.value:
                if isinstance(key_node, yaml.ScalarNode):
                    if key_node.value in seen:
                        raise ConfigError(f"{_shown(key_node.value)} stands twice; keep one")
                    seen.add(key_node.value)
        return super().construct_mapping(node, deep)

    def construct_number(self, node: yaml.ScalarNode) -> int | float:
        if len(str(node.value)) > MAX_NUMBER_LENGTH:
            raise ConfigError(f"{_shown(node.value)} is too long for a number; shorten it")
        if node.tag == "tag:yaml.org,2002:int":
            return self.construct_yaml_int(node)
        return self.construct_yaml_float(node)


for _kind in ("int", "float"):
    _StrictLoader.add_constructor(f"tag:yaml.org,2002:{_kind}", _StrictLoader.construct_number)


def _parse_yaml(text: str, source: str) -> Any:
    try:
        return yaml.load(text, _StrictLoader)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{source} is not valid YAML{where}; check quotes and indents") from None
    except (ValueError, TypeError, RecursionError, OverflowError, LookupError, AttributeError):
        # The loader's own constructors: impossible dates, endless nesting, unhashable keys.
        raise ConfigError(f"{source} has a value that can't be read; check it") from None


def read_config_file(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The keys and raw values of a YAML file; no value is checked yet.

    Raises:
        ConfigError: unreadable, not a mapping, or with keys that are no settings.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            raw = file.read(MAX_CONFIG_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(
            f"config file {_shown(str(path))} does not exist; check --config"
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a usable path"
        raise ConfigError(f"config file {_shown(str(path))} can't be read: {reason}") from None
    if len(raw) > MAX_CONFIG_BYTES:
        raise ConfigError(f"config file {_shown(str(path))} is over {MAX_CONFIG_BYTES} bytes")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"config file {_shown(str(path))} is not UTF-8 text") from None
    values = _parse_yaml(text, f"config file {_shown(str(path))}")
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"config file {_shown(str(path))} must be a list of 'key: value' lines")
    return _known_keys(values)


def _known_keys(values: Mapping[Any, Any]) -> dict[str, Any]:
    """Aliases resolved, ignored keys kept; an unknown key is refused with the nearest known one."""
    known = {}
    for key, value in values.items():
        name = ALIASES.get(key, key) if isinstance(key, str) else key
        if name not in SETTINGS and name not in IGNORED:
            hint = nearest(key, [*SETTINGS, *ALIASES])
            raise ConfigError(
                f"unknown setting {_shown(key)} = {_shown(value)}{hint or '; see --help'}"
            )
        if name in known:
            old = next((old for old, new in ALIASES.items() if new == name), key)
            raise ConfigError(f"{name} is given twice, once as {old}; keep one")
        known[name] = value
    return known


def load_config(
    path: str | os.PathLike[str] | None = None, overrides: Mapping[str, Any] | None = None
) -> TrainingConfig:
    """The configuration of a YAML file (or the defaults), with ``overrides`` on top.

    Raises:
        ConfigError: one line naming the key, its value and what is allowed.
    """
    values = read_config_file(path) if path is not None else {}
    values |= _known_keys(overrides or {})
    return TrainingConfig(**{name: v for name, v in values.items() if name not in IGNORED})


def get_default_config() -> TrainingConfig:
    """All defaults."""
    return TrainingConfig()


def config_as_dict(config: TrainingConfig) -> dict[str, Any]:
    """What ``config.yaml`` records: everything but what controls a single run."""
    values = {name: getattr(config, name) for name, about in SETTINGS.items() if about.in_file}
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    return [_plain(entry) for entry in value] if isinstance(value, tuple) else value


def dump_config(config: TrainingConfig) -> str:
    """The complete configuration as YAML."""
    return yaml.safe_dump(config_as_dict(config), sort_keys=False, allow_unicode=True)


def save_config(config: TrainingConfig, path: str | os.PathLike[str]) -> None:
    """Writes the complete configuration as YAML; :func:`load_config` gives it back."""
    Path(path).write_text(dump_config(config), encoding="utf-8")


# --- command line ---------------------------------------------------------------------------


def as_given(value: Any) -> str:
    """A setting's value as one would write it after its flag."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, tuple) and all(isinstance(entry, str) for entry in value):
        return " ".join(value)
    return str(_plain(value))


class OneLineParser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, and which takes no abbreviations."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> typing.NoReturn:
        """Raises :class:`ConfigError` where argparse would print its usage and exit."""
        shown = "".join(c if c.isprintable() else "?" for c in message[:300])
        raise ConfigError(f"{shown} (see --help)")


def flag(name: str) -> str:
    """The flag of a setting."""
    return "--" + name.replace("_", "-")


def build_parser(prog: str, description: str) -> argparse.ArgumentParser:
    """A parser with every setting as a flag; :class:`TrainingConfig` checks the raw values."""
    parser = OneLineParser(
        prog=prog,
        description=description,
        argument_default=argparse.SUPPRESS,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=34, width=100),
    )
    groups: dict[str, Any] = {}
    for name, about in SETTINGS.items():
        if about.group not in groups:
            groups[about.group] = parser.add_argument_group(about.group)
            if about.group == EXPERIMENT:
                groups[about.group].add_argument(
                    "--config", metavar="FILE", help="YAML file of settings; flags win over it"
                )
        add_setting(groups[about.group], name, help_text(name))
    for name in IGNORED:
        parser.add_argument(flag(name), dest=name, help=argparse.SUPPRESS)
    return parser


def add_setting(group: Any, name: str, help: str) -> None:
    """Adds a setting as a flag, under its former names too; no value is checked yet."""
    names = [flag(name), *(flag(old) for old, new in ALIASES.items() if new == name)]
    if _base_type(name) is bool:
        group.add_argument(
            *names, dest=name, nargs="?", const="true", metavar="true|false", help=help
        )
        group.add_argument(
            *("--no-" + each[2:] for each in names),
            dest=name,
            action="store_const",
            const="false",
            help=argparse.SUPPRESS,
        )
    elif _base_type(name) == tuple[str, ...]:
        group.add_argument(*names, dest=name, nargs="+", metavar="NAME", help=help)
    else:
        group.add_argument(*names, dest=name, metavar=_metavar(name), help=help)


def _metavar(name: str) -> str:
    return {"int": "N", "float": "X", "text": "TEXT"}.get(_type_name(name), "VALUE")


def help_text(name: str) -> str:
    """What ``--help`` tells of a setting: meaning, choices, type, unit and default."""
    about, default = SETTINGS[name], _FIELDS[name].default
    shown = " ".join(default) if isinstance(default, tuple) else default
    if default is None:
        shown = f"null: {about.null}"
    elif isinstance(default, bool):
        shown = str(default).lower()
    unit = f", {about.unit}" if about.unit else ""
    choices = f"; of {', '.join(about.choices)}" if about.choices else ""
    return f"{about.help}{choices} ({_type_name(name)}{unit}; default {shown})".replace("%", "%%")


def parse_flags(parser: argparse.ArgumentParser, argv: Sequence[str]) -> dict[str, Any]:
    """The flags that were given, by setting (and ``config``); no value is checked yet.

    Raises:
        ConfigError: an unknown flag or a missing value.
    """
    given, unknown = parser.parse_known_args(list(argv))
    if unknown:
        name = unknown[0].split("=")[0]
        known = [option for action in parser._actions for option in action.option_strings]
        raise ConfigError(
            f"unknown argument {_shown(name)}{nearest(name, known) or '; see --help'}"
        )
    return vars(given)
