"""Signals: finish the chunk, save, and end in good order or go on."""

import signal
import threading
from types import FrameType

from jaxtherapy.errors import signals_named

STOP = signals_named("SIGINT", "SIGTERM", "SIGHUP", "SIGXCPU")
"""Ask to save and stop; the last one comes where the time of a CPU is limited."""
SAVE = signals_named("SIGUSR1", "SIGUSR2")
"""Ask to save and go on: clusters send one or the other before the end."""


class StopRequest:
    """While open, remembers signals instead of dying of them; a second Ctrl-C interrupts.

    In a thread, where Python allows no signal handlers, it hears nothing. A hangup that is ignored
    already (``nohup``) stays so.

    Attributes:
        signal_name: of who asked to stop.
        saved_for: the name of the last signal that asked to save.
    """

    def __init__(self) -> None:
        self.signal_name = self.saved_for = ""
        self._save = False
        self._before: dict[signal.Signals, object] = {}

    @property
    def requested(self) -> bool:
        """Whether somebody asked to stop."""
        return bool(self.signal_name)

    def take_save_request(self) -> bool:
        """Whether somebody asked to save since the last call."""
        wanted, self._save = self._save, False
        return wanted

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            for number in (*STOP, *SAVE):
                if number.name != "SIGHUP" or signal.getsignal(number) != signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._remember)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if number in SAVE:
            self._save, self.saved_for = True, signal.Signals(number).name
            return
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal_name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
