"""Configurations as YAML: read as they stand, strictly, and written."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from jaxtherapy.config.distributions import Distribution
from jaxtherapy.config.schedules import Schedule
from jaxtherapy.config.settings import SETTINGS
from jaxtherapy.errors import ConfigError, nearest, shown

MAX_CONFIG_BYTES = 1_000_000
MAX_NUMBER_LENGTH = 100
"""Characters; YAML's 1:30:00 takes the square of its length to read."""

ALIASES = {"enable_perception": "enable_parataxic"}
OMNISCIENT = "use_omniscient_wrapper"
_SEES_EVERYTHING = {"actor_view": "omniscient", "critic_view": "omniscient"}
_YES, _NO = ("true", "yes", "on", "1"), ("none", "null", "~", "false", "no", "off", "0")
IGNORED = {
    "lstm_hidden_size": "the network has no recurrent layer any more",
    OMNISCIENT: "what a therapist sees is chosen by actor_view",
}
"""Keys of older files that are no settings here, and why; see :func:`note_on`."""


class _StrictLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML's safe loader, reading what stands there.

    A key that stands twice is refused: the first would be lost silently. What YAML 1.1 takes for
    something else stays text: 0042 (its 34), 1:30 (its 90), no (its false), dates.
    """

    # By first character, the tags of plain text that match; the rest is text.
    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in known if tag.endswith((":null", ":merge"))]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        if isinstance(node, yaml.MappingNode):
            seen = set()
            for key_node, _ in node.value:
                if isinstance(key_node, yaml.ScalarNode):
                    if key_node.value in seen:
                        raise ConfigError(f"{shown(key_node.value)} stands twice; keep one")
                    seen.add(key_node.value)
        return super().construct_mapping(node, deep)

    def construct_number(self, node: yaml.ScalarNode) -> int | float:
        if len(str(node.value)) > MAX_NUMBER_LENGTH:
            raise ConfigError(f"{shown(node.value)} is too long for a number; shorten it")
        if node.tag == "tag:yaml.org,2002:int":
            return self.construct_yaml_int(node)
        return self.construct_yaml_float(node)


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(0|[1-9][0-9_]*|0x[0-9a-fA-F_]+)", "-+0123456789"),
    ("float", r"[-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
):
    _StrictLoader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), list(_first)
    )
for _tag in ("int", "float"):
    _StrictLoader.add_constructor(f"tag:yaml.org,2002:{_tag}", _StrictLoader.construct_number)


def parse_yaml(text: str, source: str) -> Any:
    """What a text says in YAML; ``source`` names it in errors."""
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
    Raises ConfigError: unreadable, not a mapping, or with keys that are no settings."""
    return known_keys(read_yaml_file(path))


def read_yaml_file(path: str | os.PathLike[str]) -> dict[Any, Any]:
    """What a file of ``key: value`` lines says, whatever its keys.
    Raises ConfigError: unreadable, or not a mapping."""
    source = f"config file {shown(os.fspath(path))}"
    try:
        with open(os.path.expanduser(path), "rb") as file:
            raw = file.read(MAX_CONFIG_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(f"{source} does not exist; check --config") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a usable path"
        raise ConfigError(f"{source} can't be read: {reason}") from None
    if len(raw) > MAX_CONFIG_BYTES:
        raise ConfigError(f"{source} is over {MAX_CONFIG_BYTES} bytes")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{source} is not UTF-8 text") from None
    values = parse_yaml(text, source)
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{source} must be a list of 'key: value' lines")
    return values


def note_on(name: str, value: Any) -> str:
    """What is said of a key of ``IGNORED`` that is given."""
    if name == OMNISCIENT and str(value).lower() in _YES:
        return f"{name} is read as actor_view: omniscient and critic_view: omniscient"
    return f"{name} is ignored: {IGNORED[name]}"


def known_keys(values: Mapping[Any, Any]) -> dict[str, Any]:
    """Aliases resolved, ignored keys kept; an unknown key is refused with the nearest known one."""
    known = {}
    for key, value in values.items():
        name = ALIASES.get(key, key) if isinstance(key, str) else key
        if name not in SETTINGS and name not in IGNORED:
            hint = nearest(key, [*SETTINGS, *ALIASES])
            raise ConfigError(
                f"unknown setting {shown(key)} = {shown(value)}{hint or '; see --help'}"
            )
        if name in known:
            old = next((old for old, new in ALIASES.items() if new == name), key)
            raise ConfigError(f"{name} is given twice, once as {old}; keep one")
        if name == OMNISCIENT and str(value).lower() not in _YES + _NO:
            raise ConfigError(f"{name} is {shown(value)}, must be true or false")
        known[name] = value
    sees_everything = str(known.get(OMNISCIENT)).lower() in _YES
    return _SEES_EVERYTHING | known if sees_everything else known


def plain(value: Any) -> Any:
    """A setting's value as YAML knows it."""
    if isinstance(value, Schedule | Distribution):
        return value.as_written()
    if isinstance(value, dict):
        return {name: plain(entry) for name, entry in value.items()}
    return [plain(entry) for entry in value] if isinstance(value, tuple) else value


def config_as_dict(config: Any) -> dict[str, Any]:
    """What ``config.yaml`` records: everything but what controls a single run."""
    return {name: plain(getattr(config, name)) for name, about in SETTINGS.items() if about.in_file}


def dump_config(config: Any) -> str:
    """The complete configuration as YAML."""
    return yaml.safe_dump(config_as_dict(config), sort_keys=False, allow_unicode=True)


def save_config(config: Any, path: str | os.PathLike[str]) -> None:
    """Writes the complete configuration as YAML; :func:`load_config` gives it back."""
    Path(path).expanduser().write_text(dump_config(config), encoding="utf-8")
