"""An object of JSON for each evaluation and one at the end, each on a line of standard output."""

from jaxtherapy.errors import json_line
from jaxtherapy.training.loggers import Row, Run
from jaxtherapy.training.result import TrainingResult


class JsonLogger:
    """Writes where the console does, which tells all else as objects too."""

    def __init__(self, run: Run) -> None:
        self._console = run.console

    def log(self, step: int, row: Row) -> None:
        """The columns of the log; of several seeds, their mean."""
        counts = {"epoch": int(row["epoch"]), "step": step}
        self._tell("evaluation", **row | counts | {"best": row.is_best})

    def end(self, result: TrainingResult) -> None:
        """What came of it; ``comparison`` is the table that a terminal shows."""
        folder = None if result.folder is None else str(result.folder)
        self._tell("end", status=result.status, folder=folder, comparison=result.comparison)

    def _tell(self, event: str, **told: object) -> None:
        if not self._console.quiet:
            print(json_line(event, **told), file=self._console.file, flush=True)


make = JsonLogger
