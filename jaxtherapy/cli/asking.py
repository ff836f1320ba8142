"""What commands ask for alike: numbers, clients, therapists, devices, and where results go."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxtherapy import config as configuration
from jaxtherapy.cli.folders import writing_to
from jaxtherapy.cli.launch import importing
from jaxtherapy.client.baselines import BASELINES
from jaxtherapy.config import SETTINGS, ConfigError, OneLineParser, TrainingConfig
from jaxtherapy.errors import RunError
from jaxtherapy.studies.questions import OUTCOMES

if TYPE_CHECKING:
    from jaxtherapy.client.params import ClientParams
    from jaxtherapy.evaluation.candidates import Panel
    from jaxtherapy.reporting.drawing import Picture

CLIENT_SETTINGS = tuple(name for name, about in SETTINGS.items() if about.of_clients)


def study_parser(name: str, description: str | None, therapists: str) -> argparse.ArgumentParser:
    """The flags that every study has."""
    parser = OneLineParser(prog=f"python -m jaxtherapy.{name}", description=description)
    add = parser.add_argument
    add("therapists", nargs="*", metavar="THERAPIST", help=therapists)
    add("--outcome", choices=OUTCOMES, default="success", help="(default success)")
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


def share(given: argparse.Namespace, flag: str, least: float = 0.0) -> float:
    """A number between 0 and 1, and not below ``least``, from a flag."""
    text = getattr(given, flag)
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not (0 < value < 1 and least <= value):
        allowed = f"from {least:g} to below 1" if least else "between 0 and 1"
        raise ConfigError(f"--{flag} is {text!r}, must be a number {allowed}")
    return value


def client_config(
    given: argparse.Namespace, names: Iterable[str], experiment: str | Path | None = None
) -> TrainingConfig:
    """Client settings in force: flag, then the evaluation clients of ``--config`` or else of an
    experiment's folder, then default."""
    path = given.config
    if path is None and experiment is not None:
        path = Path(experiment) / "config.yaml"
    return configuration.load_for_evaluation(path, {name: getattr(given, name) for name in names})


def use_device(device: str) -> str:
    """Imports JAX and restricts it to a device. Returns what the user should know about it."""
    with importing():
        from jaxtherapy.devices.layout import choose_device
        from jaxtherapy.devices.pinned import pin

    pin()
    return choose_device(device)


def clients_of(given: argparse.Namespace) -> ClientParams:
    """The clients of a study."""
    use_device(given.device)
    from jaxtherapy.client.params import client_params

    return client_params(client_config(given, CLIENT_SETTINGS))


def panel_of(names: Sequence[str]) -> Panel:
    """Therapists by name, in this order: baselines, ``module:function``, .pth files or folders.

    Raises:
        RunError: one is given twice, or is none.
    """
    from jaxtherapy.evaluation.candidates import assemble
    from jaxtherapy.evaluation.policies import find_policies

    if len(set(names)) < len(names):
        raise RunError(f"{names[0]} is given twice; name two therapists that differ")
    baselines = [name for name in names if name in BASELINES]
    custom = [name for name in names if ":" in name and name not in baselines]
    paths = [name for name in names if name not in (*custom, *baselines)]
    policies = [find_policies(Path(configuration.expanded(path)), "best")[0] for path in paths]
    panel = assemble(policies, baselines, custom, None)
    by_name = dict(zip([*paths, *custom, *baselines], panel.candidates, strict=True))
    return dataclasses.replace(panel, candidates=[by_name[name] for name in names])


def write(folder: Path, name: str, rows: Sequence[Any], picture: Picture) -> list[Path]:
    """Writes rows as CSV and the picture; earlier ones are replaced."""
    from jaxtherapy.reporting.csv_files import as_csv
    from jaxtherapy.reporting.drawing import paper_files
    from jaxtherapy.storage.files import write_atomically

    columns = [field.name for field in dataclasses.fields(rows[0])]
    files = {"csv": as_csv(columns, map(vars, rows)), **paper_files(picture)}
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for kind, content in files.items():
            write_atomically(folder / f"{name}.{kind}", content)
    return [folder / f"{name}.{kind}" for kind in files]
