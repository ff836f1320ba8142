"""A learning curve in a notebook that grows while training runs."""

import time
from typing import Any

from jaxtherapy.errors import RunError
from jaxtherapy.reporting.drawing import PictureError
from jaxtherapy.reporting.learning_curves import curves_as_png
from jaxtherapy.training.loggers import Row, Run
from jaxtherapy.training.result import TrainingResult

try:
    from IPython import display
except ImportError:
    raise RunError("the logger notebook needs IPython: pip install ipython") from None

SECONDS = 2.0
"""At least so long from picture to picture: drawing one takes a tenth of that."""


class NotebookLogger:
    """One picture, replaced by the next."""

    def __init__(self, run: Run) -> None:
        self._title = run.config.experiment_name
        self._rows: dict[int, list[dict[str, float]]] = {}
        self._picture: Any = None
        self._drawn_at, self._is_new = -SECONDS, False

    def log(self, step: int, row: Row) -> None:
        """Another point."""
        for seed, of_seed in row.by_seed.items():
            self._rows.setdefault(seed, []).append(of_seed)
        self._is_new = True
        if time.monotonic() - self._drawn_at >= SECONDS:
            self._draw()

    def end(self, result: TrainingResult) -> None:
        """The last points."""
        if self._is_new:
            self._draw()

    def _draw(self) -> None:
        try:
            picture = display.Image(curves_as_png(self._rows, self._title))
        except PictureError as error:  # it costs a line, never the run
            print(f"no picture: {error}")
            return
        if self._picture is None:
            self._picture = display.display(picture, display_id=True)
        else:
            self._picture.update(picture)
        self._drawn_at, self._is_new = time.monotonic(), False


make = NotebookLogger
