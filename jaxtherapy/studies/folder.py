"""The folder of a sweep: what is in it, whose it is, and what ``--overwrite`` takes away."""

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxtherapy.config.yaml_files import parse_yaml, read_yaml_file
from jaxtherapy.errors import ConfigError, RunError
from jaxtherapy.storage import run_info
from jaxtherapy.storage.files import write_atomically
from jaxtherapy.studies.settings import TRAINED, Sweep
from jaxtherapy.studies.table import Row

FIGURES, POLICIES = "figures", "policies"
FIGURE_NAMES = re.compile(r"(difference|success|curves)(_[a-z0-9_]+)?\.(png|svg)")
POLICY_NAMES = re.compile(r"point_[0-9]+_seed_[0-9]+\.pth")


class SweepFolder:
    """Paths of a sweep's files: what the sweep is, complete in itself (``config``); what ran, when
    and with which versions (``info``); a row per run and therapist (``table``); the page
    (``report``); settings of the training that did best (``winner``); and a folder for weights."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.table, self.report = path / "runs.csv", path / "report.html"
        self.winner, self.config = path / "winner.yaml", path / "config.yaml"
        self.info, self.policies = path / "run.json", path / POLICIES

    @property
    def is_sweep(self) -> bool:
        """Whether a sweep of ours says that this is its folder."""
        try:
            record = read_yaml_file(self.config)
        except ConfigError:
            return False
        return "vary" in record and run_info.is_ours(self.info)

    @property
    def files(self) -> list[Path]:
        """What a sweep writes, as far as it is there; the record of whose it is comes last."""
        parquet = self.table.with_suffix(".parquet")
        files = self.table, parquet, self.report, self.winner, self.config, self.info
        folders = (FIGURES, FIGURE_NAMES), (POLICIES, POLICY_NAMES)
        listed = [
            each
            for folder, known in folders
            for each in sorted((self.path / folder).glob("*"))
            if known.fullmatch(each.name)
        ]
        return [*listed, *(each for each in files if each.exists() or each.is_symlink())]

    def check_free(self) -> None:
        """That a new sweep may begin here.

        Raises:
            RunError: something is there; says what to do.
        """
        only_begun = self.files == [self.info] and run_info.is_ours(self.info)  # then killed
        if not self.files or only_begun:
            return
        if self.is_sweep:
            raise RunError(
                f"{self.path} holds a sweep already; continue it with --resume, replace it with "
                "--overwrite, or give this one another name"
            )
        raise RunError(
            f"{self.files[0]} is there already, and no sweep in {shlex.quote(str(self.path))} says "
            "it wrote it; move it, or give this sweep another name"
        )

    def check_same(self, sweep: Sweep) -> None:
        """That the sweep that is here is this one.

        Raises:
            RunError: there is none, or another; says in what it differs.
        """
        if not self.is_sweep:
            raise RunError(f"there is no sweep in {self.path} to resume; leave --resume out")
        record, own = read_yaml_file(self.config), read_yaml(sweep)
        other = [name for name in own if record.get(name) != own[name]]
        if other:
            raise RunError(
                f"the sweep in {self.path} has another {', '.join(other)}; resume it with "
                f"--config {shlex.quote(str(self.config))}, or give this one another name"
            )

    def clear(self) -> None:
        """Removes the sweep that is here, and nothing else.

        Raises:
            RunError: there are files of others, or one that can't be removed.
        """
        if self.files and not self.is_sweep:
            self.check_free()
        for path in self.files:
            try:
                path.unlink()
            except OSError as error:
                raise RunError(f"can't remove {path}: {error.strerror}", exit_code=1) from None

    def keep_best(self, rows: Sequence[Row]) -> None:
        """Removes weights but those of the run whose therapist gained most."""
        trained = [row for row in rows if row["therapist"] == TRAINED]
        best = max(trained, key=lambda row: row["difference"])
        for path in self.policies.glob("*.pth"):
            if POLICY_NAMES.fullmatch(path.name) and path.name != policy_name(best):
                path.unlink()

    def begin(self, sweep: Sweep, about: dict[str, Any]) -> None:
        """Writes the record."""
        self.path.mkdir(parents=True, exist_ok=True)
        run_info.write(self.info, about)
        write_atomically(self.config, sweep.dump().encode())


def read_yaml(sweep: Sweep) -> dict[str, Any]:
    """A sweep as it is read again from its file."""
    parsed: dict[str, Any] = parse_yaml(sweep.dump(), "the sweep")
    return parsed


def policy_name(run: Mapping[str, Any]) -> str:
    """The file of a run's weights, by point and seed."""
    return f"point_{run['point']}_seed_{run['seed']}.pth"
