"""Train a therapist: ``python -m jaxtherapy.train --config configs/quickstart.yaml``."""

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from jaxtherapy import config as configuration
from jaxtherapy.cli.launch import ends_in_one_line, importing
from jaxtherapy.config import TrainingConfig
from jaxtherapy.errors import ConfigError, RunError, json_line


@ends_in_one_line("interrupted; continue from the latest checkpoint with --resume")
def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns its exit code: 0, or 2 for what can't be run, 1 for what broke off."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    with errors_as_json(arguments):
        config, notes = read_configuration(arguments)
        if "print_config" in configuration.parse_flags(_parser(), arguments):
            print(configuration.dump_config(config), end="")
            return 0
        with importing():
            from jaxtherapy.devices import hosts
            from jaxtherapy.devices.programs import StoppedWhileCompiling
            from jaxtherapy.training.trainer import Trainer

        if hosts.are_several(config):
            ended = hosts.supervise(config)
            if isinstance(ended, int):
                return ended
            hosts.join_hosts(config)
            ended()
        command = ["python", "-m", "jaxtherapy.train", *arguments]
        trainer = Trainer(config, notes=notes, command=command)
        try:
            trainer.run()
        except StoppedWhileCompiling:
            trainer.console.print(
                f"stopped by {trainer.signals.signal_name} before the first update; nothing to save"
            )
            sys.stdout.flush()
            os._exit(0)  # a compiler thread is still at work and can't be asked to stop
        except BaseException as error:
            if hosts.are_several(config):  # a good order would wait for hosts that are gone
                hosts.leave(error)
            raise
        return 0


@contextlib.contextmanager
def errors_as_json(arguments: Sequence[str]) -> Iterator[None]:
    """Where JSON is asked for, an error is told on standard output too, as an object."""
    try:
        yield
    except (ConfigError, RunError) as error:
        words = " ".join(arguments).replace("log_format", "log-format").replace("=", " ").split()
        if ("--log-format", "json") in pairwise(words):
            print(json_line("error", message=str(error)), flush=True)
        raise


@cache
def _parser() -> argparse.ArgumentParser:
    return configuration.build_parser("python -m jaxtherapy.train", __doc__ or "")


def read_configuration(arguments: Sequence[str]) -> tuple[TrainingConfig, list[str]]:
    """The configuration in force (flag, then file, then default), and what to tell about it."""
    given = configuration.parse_flags(_parser(), arguments)
    given.pop("print_config", None)
    path = given.pop("config") if "config" in given else _config_to_resume(given)
    config = configuration.load_config(path, given)
    in_file = {} if path is None else configuration.read_config_file(path)
    if config.resume or config.resume_from:
        with importing():
            from jaxtherapy.storage import resume
        named = in_file.keys() & {"experiment_name"}
        config = resume.where_it_lies(config, given.keys() | named)
    notes = []
    if path is not None:
        for name in given.keys() & in_file.keys() & configuration.SETTINGS.keys():
            before = configuration.checked(name, in_file[name])
            after = configuration.checked(name, given[name])
            if before != after:
                flag = configuration.flag(name)
                old, new = configuration.as_given(before), configuration.as_given(after)
                notes.append(f"{flag} {new} replaces {name}: {old} of {path}")
        given = in_file | given
    for name in given.keys() & configuration.IGNORED.keys():
        notes.append(configuration.note_on(name, given[name]))
    return config, sorted(notes)


def _config_to_resume(given: dict[str, Any]) -> Path | None:
    if not given.keys() & {"resume", "resume_from"}:
        return None
    with importing():
        from jaxtherapy.storage import resume
    return resume.base_config(given)
