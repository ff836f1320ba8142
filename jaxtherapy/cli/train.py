"""Train a therapist: ``python -m jaxtherapy.train --config configs/quickstart.yaml``."""

import argparse
import sys
from collections.abc import Sequence
from functools import cache

from jaxtherapy import config as configuration
from jaxtherapy.cli.launch import ends_in_one_line, importing
from jaxtherapy.config import TrainingConfig


@ends_in_one_line("interrupted; continue from the latest checkpoint with --resume")
def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns its exit code: 0, or 2 for what can't be run, 1 for what broke off."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    config, notes = read_configuration(arguments)
    with importing():
        from jaxtherapy.cli.training_run import train
    return train(config, notes, ["python", "-m", "jaxtherapy.train", *arguments])


@cache
def _parser() -> argparse.ArgumentParser:
    return configuration.build_parser("python -m jaxtherapy.train", __doc__ or "")


def read_configuration(arguments: Sequence[str]) -> tuple[TrainingConfig, list[str]]:
    """The configuration in force (flag, then file, then default), and what to tell about it."""
    given = configuration.parse_flags(_parser(), arguments)
    path = given.pop("config", None)
    if path is None and given.keys() & {"resume", "resume_from"}:
        with importing():
            from jaxtherapy.storage.resume import base_config
        path = base_config(given)
    config = configuration.load_config(path, given)
    notes = []
    if path is not None:
        in_file = configuration.read_config_file(path)
        for name in given.keys() & in_file.keys() & configuration.SETTINGS.keys():
            before = configuration.checked(name, in_file[name])
            after = configuration.checked(name, given[name])
            if before != after:
                flag = configuration.flag(name)
                old, new = configuration.as_given(before), configuration.as_given(after)
                notes.append(f"{flag} {new} replaces {name}: {old} of {path}")
        given = in_file | given
    for name in given.keys() & configuration.IGNORED.keys():
        notes.append(f"{name} is ignored: {configuration.IGNORED[name]}")
    return config, sorted(notes)
