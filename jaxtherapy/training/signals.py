"""Ctrl-C and SIGTERM: finish the chunk, save, exit cleanly."""

import signal
from types import FrameType, TracebackType


class StopRequest:
    """While open, remembers a signal instead of dying of it; a second Ctrl-C interrupts."""

    def __init__(self) -> None:
        self.signal_name = ""
        self._before: dict[signal.Signals, object] = {}

    @property
    def requested(self) -> bool:
        """Whether somebody asked to stop."""
        return bool(self.signal_name)

    def __enter__(self) -> "StopRequest":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._remember)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal_name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
