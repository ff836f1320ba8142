"""The CSV log of each seed, a row on the disk for every evaluation."""

from jaxtherapy.storage.progress_log import ProgressLog
from jaxtherapy.training.loggers import Row, Run


class CsvLogger:
    """Appends to files that the run has made or rewound; in memory there is nothing to do."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def log(self, step: int, row: Row) -> None:
        """Has a row written, after the weights that belong to it."""
        if (files := self._run.files) is None:
            return

        def write() -> None:
            for seed, of_seed in row.by_seed.items():
                ProgressLog(files.csv(seed)).append(of_seed)

        self._run.defer(write)


make = CsvLogger
