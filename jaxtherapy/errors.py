"""Errors that end a run, each with one line that says what to do."""


class RunError(RuntimeError):
    """The run can't start or go on; the message is one line, and the exit code is ``exit_code``."""

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device had no room, whatever part of JAX says so."""
    return "RESOURCE_EXHAUSTED" in str(error) or "out of memory" in str(error).lower()
