"""What the commands of studies share: whom they treat, by whom, and where the answer goes."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxtherapy import config as configuration
from jaxtherapy.cli.launch import importing
from jaxtherapy.client.baselines import BASELINES
from jaxtherapy.config import SETTINGS, ConfigError, OneLineParser
from jaxtherapy.errors import RunError
from jaxtherapy.studies.questions import OUTCOMES

if TYPE_CHECKING:
    from jaxtherapy.client.params import ClientParams
    from jaxtherapy.evaluation.candidates import Panel
    from jaxtherapy.reporting.drawing import Picture

CLIENT_SETTINGS = tuple(name for name, about in SETTINGS.items() if about.of_clients)


def study_parser(name: str, description: str | None, therapists: str) -> argparse.ArgumentParser:
    """The flags that every study has."""
    parser = OneLineParser(
        prog=f"python -m jaxtherapy.{name}",
        description=description,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=34, width=100),
    )
    add = parser.add_argument
    add("therapists", nargs="*", metavar="THERAPIST", help=therapists)
    add("--outcome", choices=tuple(OUTCOMES), default="success", help="(default success)")
    add("--seed", metavar="N", default="0", help="decides the clients (default 0)")
    add("--output-dir", metavar="DIR", default=f"reports/{name}", help=f"default reports/{name}")
    add("--device", choices=("auto", "cpu", "gpu"), default="auto")
    group = parser.add_argument_group("Clients")
    group.add_argument("--config", metavar="FILE", help="YAML file of client settings")
    for setting in CLIENT_SETTINGS:
        configuration.add_setting(group, setting, configuration.help_text(setting))
    return parser


def whole(given: argparse.Namespace, flag: str, low: int, high: int) -> int:
    """A whole number from a flag."""
    return as_whole(f"--{flag}", getattr(given, flag.replace("-", "_")), low, high)


def as_whole(flag: str, text: str, low: int, high: int) -> int:
    """A whole number from its text."""
    try:
        value = int(text.replace("_", ""))
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise ConfigError(f"{flag} is {text!r}, must be a whole number from {low} to {high}")
    return value


def share(given: argparse.Namespace, flag: str) -> float:
    """A number between 0 and 1 from a flag."""
    text = getattr(given, flag)
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise ConfigError(f"--{flag} is {text!r}, must be a number between 0 and 1")
    return value


def clients_of(given: argparse.Namespace) -> ClientParams:
    """The clients: flag, then the evaluation clients of ``--config``, then default."""
    with importing():
        from jaxtherapy.client.params import client_params
        from jaxtherapy.devices.layout import choose_device
        from jaxtherapy.devices.pinned import pin

    pin()
    choose_device(given.device)
    overrides = {name: getattr(given, name) for name in CLIENT_SETTINGS}
    return client_params(configuration.load_for_evaluation(given.config, overrides))


def panel_of(names: Sequence[str]) -> Panel:
    """Therapists by name, in this order: baselines, ``module:function``, .pth files or folders.

    Raises:
        RunError: one is given twice, or is none.
    """
    from jaxtherapy.evaluation.candidates import assemble
    from jaxtherapy.evaluation.policies import find_policies

    if len(set(names)) < len(names):
        raise RunError(f"{names[0]} is given twice; name two therapists that differ")
    custom = [name for name in names if ":" in name and name not in BASELINES]
    baselines = [name for name in names if name in BASELINES]
    paths = [name for name in names if name not in (*custom, *baselines)]
    policies = [find_policies(Path(configuration.expanded(path)), "best")[0] for path in paths]
    panel = assemble(policies, baselines, custom, None)
    by_name = dict(zip([*paths, *custom, *baselines], panel.candidates, strict=True))
    return dataclasses.replace(panel, candidates=[by_name[name] for name in names])


def write(folder: Path, name: str, rows: Sequence[Any], picture: Picture) -> list[Path]:
    """Writes rows as CSV and the picture; earlier ones are replaced.

    Raises:
        RunError: the folder can't be written to.
    """
    from jaxtherapy.reporting.csv_files import as_csv
    from jaxtherapy.reporting.drawing import paper_files
    from jaxtherapy.storage.files import write_atomically

    columns = [field.name for field in dataclasses.fields(rows[0])]
    files = {"csv": as_csv(columns, map(vars, rows)), **paper_files(picture)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for kind, content in files.items():
            write_atomically(folder / f"{name}.{kind}", content)
    except OSError as error:
        raise RunError(f"can't write to {folder}: {error.strerror}", exit_code=1) from None
    return [folder / f"{name}.{kind}" for kind in files]
