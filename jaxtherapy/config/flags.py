"""Settings as flags of commands."""

import argparse
import math
import re
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any, NoReturn

import yaml

from jaxtherapy import __version__
from jaxtherapy.config.checks import TYPE_NAMES, expanded
from jaxtherapy.config.settings import EXPERIMENT, SETTINGS, Resume
from jaxtherapy.config.yaml_files import ALIASES, IGNORED, plain
from jaxtherapy.errors import ConfigError, nearest, shown

FORMS = (
    "A float may change while training: '{linear: [start, end]}', or cosine, or exponential, with "
    "'over: steps' for another length than total_timesteps. A number of clients may differ from "
    "client to client: '{uniform: [low, high]}', '{log_uniform: [low, high]}', '{normal: [mean, "
    "deviation], clip: [low, high]}' or '{choice: [value, ...], weights: [weight, ...]}'."
)


class OneLineParser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, and which takes no abbreviations.

    Flags may have underscores, and values may be any negative number, as sweep tools write them.
    """

    def __init__(self, **options: Any) -> None:
        wide = partial(argparse.HelpFormatter, max_help_position=34, width=100)
        options.setdefault("formatter_class", wide)
        super().__init__(allow_abbrev=False, **options)
        version = f"jaxtherapy {__version__}"
        self.add_argument("--version", action="version", version=version, help="print it and exit")
        self._negative_number_matcher = re.compile(r"-\.?\d")  # as of Python 3.14: -5e-1 too

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # noqa: D102
        arguments = [self._as_flag(each) for each in (sys.argv[1:] if args is None else args)]
        return super().parse_known_args(arguments, namespace)

    def _as_flag(self, argument: str) -> str:
        try:
            argument.encode()
        except UnicodeEncodeError:  # names of files that are not in the locale's encoding
            encoding = sys.getfilesystemencoding()
            self.error(f"argument {argument!a} is not text in {encoding}; rename it")
        name, equals, value = argument.partition("=")
        return name.replace("_", "-") + equals + value if name.startswith("--") else argument

    def error(self, message: str) -> NoReturn:
        """Raises :class:`ConfigError` where argparse would print its usage and exit."""
        text = "".join(c if c.isprintable() else "?" for c in message[:300])
        raise ConfigError(f"{text} (see --help)")


def flag(name: str) -> str:
    """The flag of a setting."""
    return "--" + name.replace("_", "-")


def as_given(value: Any) -> str:
    """A setting's value as one would write it after its flag."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, tuple) and all(isinstance(entry, str) for entry in value):
        return " ".join(value)
    written = plain(value)
    if isinstance(written, dict):
        flow = yaml.safe_dump(written, default_flow_style=True, sort_keys=False, width=math.inf)
        return str(flow).strip()
    return str(written)


def build_parser(prog: str, description: str) -> argparse.ArgumentParser:
    """A parser with every setting as a flag; ``TrainingConfig`` checks the raw values."""
    parser = OneLineParser(
        prog=prog,
        description=description,
        epilog=FORMS,
        argument_default=argparse.SUPPRESS,
    )
    experiment = parser.add_argument_group(EXPERIMENT)
    what = "YAML file of settings; flags win over it"
    experiment.add_argument("--config", metavar="FILE", help=what)
    what = "print the configuration in force, as --config takes it, and exit"
    experiment.add_argument("--print-config", action="store_true", help=what)
    groups = {EXPERIMENT: experiment}
    for name, about in SETTINGS.items():
        if about.group not in groups:
            groups[about.group] = parser.add_argument_group(about.group)
        add_setting(groups[about.group], name, help_text(name))
    for name in IGNORED:
        parser.add_argument(flag(name), dest=name, help=argparse.SUPPRESS)
    return parser


def add_setting(group: Any, name: str, help: str) -> None:
    """Adds a setting as a flag, under its former names too; no value is checked yet."""
    about = SETTINGS[name]
    names = [flag(name), *(flag(old) for old, new in ALIASES.items() if new == name)]
    if about.type in (bool, Resume):
        words = {"0": "false", "1": "true"}  # as sweep tools write them
        group.add_argument(
            *names,
            dest=name,
            nargs="?",
            const="true",
            type=lambda word: words.get(word, word),
            metavar="true|false" + "|auto" * (about.type is not bool),
            help=help,
        )
        no = ("--no-" + each[2:] for each in names)
        hidden = argparse.SUPPRESS
        group.add_argument(*no, dest=name, action="store_const", const="false", help=hidden)
    elif about.type == tuple[str, ...]:
        group.add_argument(*names, dest=name, nargs="+", metavar="NAME", help=help)
    else:
        metavar = {int: "N", float: "X", str: "TEXT"}.get(about.type, "VALUE")
        group.add_argument(*names, dest=name, metavar=metavar, help=help)


def help_text(name: str) -> str:
    """What ``--help`` tells of a setting: meaning, choices, type, unit and default."""
    about = SETTINGS[name]
    default = f"null: {about.null}" if about.default is None else as_given(about.default)
    unit = f", {about.unit}" if about.unit else ""
    choices = f"; of {', '.join(about.choices)}" if about.choices else ""
    forms = ["schedule"] * about.may_vary + ["distribution"] * about.may_be_drawn
    kind = " or ".join([TYPE_NAMES[about.type], *forms])
    return f"{about.help}{choices} ({kind}{unit}; default {default})".replace("%", "%%")


def parse_flags(parser: argparse.ArgumentParser, argv: Sequence[str]) -> dict[str, Any]:
    """The flags that were given, by setting (and ``config``); no value is checked yet.
    Raises ConfigError: an unknown flag or a missing value."""
    given, unknown = parser.parse_known_args(list(argv))
    if unknown:
        name = unknown[0].split("=")[0]
        known = [option for action in parser._actions for option in action.option_strings]
        raise ConfigError(f"unknown argument {shown(name)}{nearest(name, known) or '; see --help'}")
    values = vars(given)
    paths = {name: expanded(values[name]) for name in ("config", "resume_from") if name in values}
    return values | paths
