"""Event files for TensorBoard, ``logs/NAME/tensorboard``: ``make tensorboard`` shows them."""

import os
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxtherapy.config import as_given, config_as_dict
from jaxtherapy.errors import extra
from jaxtherapy.storage.progress_log import ProgressLog
from jaxtherapy.storage.run_files import RunFiles
from jaxtherapy.training.loggers import Row, Run
from jaxtherapy.training.loggers._tags import TAGS, tagged

with extra("tensorboard", "the logger tensorboard"):
    from tensorboardX import summary
    from tensorboardX.proto.event_pb2 import Event, SessionLog
    from tensorboardX.proto.summary_pb2 import Summary
    from tensorboardX.record_writer import masked_crc32c


class TensorBoardLogger:
    """One file of each seed, made of its CSV log, so that a resumed run doubles no step.

    A row is one write, and no file stays open: there may be a thousand seeds.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._files = run.files or RunFiles.of(run.config)
        self._events: dict[int, Events] = {}

    def log(self, step: int, row: Row) -> None:
        """Has an evaluation written, after the log has it."""

        def write() -> None:
            for seed, of_seed in row.by_seed.items():
                now = of_seed | {"learning_rate": row["learning_rate"]}
                if seed in self._events:
                    self._events[seed].append(now)
                    continue
                hyperparameters = config_as_dict(self._run.config.replace(seed=seed))
                folder, rows = self._files.events(seed), [*self._earlier(seed), now]
                self._events[seed] = Events.create(folder, hyperparameters, rows)

        self._run.defer(write)

    def _earlier(self, seed: int) -> Iterator[dict[str, float]]:
        """The rows of the log before the last one; it does not tell the learning rate."""
        if self._run.files is None:
            return
        config = self._run.config
        for row in ProgressLog(self._run.files.csv(seed)).numbers()[:-1]:
            then = config.at(int(row["epoch"]) * config.steps_per_update)
            yield row | {"learning_rate": then.learning_rate}


@dataclass(frozen=True)
class Events:
    """The events of one seed.

    Attributes:
        began: when training would have begun, had it never been stopped.
    """

    path: Path
    began: float

    @classmethod
    def create(
        cls, folder: Path, hyperparameters: dict[str, Any], rows: list[dict[str, float]]
    ) -> "Events":
        """A new file with all rows, in place of those that are there.

        Its name is new and it begins by taking back every step: a TensorBoard that has read the
        former ones then shows none of theirs.
        """
        folder.mkdir(parents=True, exist_ok=True)
        former = list(folder.glob("events.out.tfevents.*"))
        now = time.time()
        path = folder / f"events.out.tfevents.{now:.6f}.{socket.gethostname()}"
        events = cls(path, now - rows[-1]["duration"])
        first = [
            Event(file_version="brain.Event:2"),
            Event(session_log=SessionLog(status=SessionLog.START)),
            *(Event(summary=each) for each in _about(hyperparameters)),
        ]
        for event in first:
            event.wall_time = events.began
        records = [*map(_record, first), *map(events.record_of, rows)]
        path.write_bytes(b"".join(records))
        for each in former:
            each.unlink()
        return events

    def append(self, row: dict[str, float]) -> None:
        """Adds an evaluation."""
        with open(self.path, "r+b", buffering=0) as file:  # a folder that is gone is noticed
            file.seek(0, os.SEEK_END)
            file.write(self.record_of(row))

    def record_of(self, row: dict[str, float]) -> bytes:
        """An evaluation, at the time when it was made."""
        values = [Summary.Value(tag=tag, simple_value=x) for tag, x in tagged(row).items()]
        wall_time = self.began + row["duration"]
        return _record(
            Event(wall_time=wall_time, step=int(row["step"]), summary=Summary(value=values))
        )


def _about(hyperparameters: dict[str, Any]) -> list[Summary]:
    """As a table under Text, and what HParams needs."""
    told = {name: as_given(value) for name, value in hyperparameters.items()}
    lines = ["|setting|value|", "|-|-|", *(f"|{name}|{value}|" for name, value in told.items())]
    numbers = {
        name: value if isinstance(value, bool | int | float | str) else told[name]
        for name, value in hyperparameters.items()
    }
    evaluations = dict.fromkeys(tag for tag in TAGS.values() if tag.startswith("eval/"))
    return [
        summary.text("hyperparameters", "\n".join(lines)),
        *summary.hparams(numbers, evaluations)[:2],
    ]


def _record(event: Event) -> bytes:
    """Length and contents, each with its checksum: TFRecord."""
    contents = event.SerializeToString()
    length = struct.pack("<Q", len(contents))
    checksums = (struct.pack("<I", masked_crc32c(part)) for part in (length, contents))
    return b"".join([length, next(checksums), contents, next(checksums)])


make = TensorBoardLogger
