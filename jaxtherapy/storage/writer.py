"""A thread that writes files while the device computes on."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait


class Writer:
    """Does jobs one after another, in the order given; what goes wrong comes up at the next call.

    With several hosts jobs are done at once: saving a checkpoint makes the hosts wait for each
    other, and that must happen in the same order everywhere.
    """

    PENDING = 2
    """Jobs that may wait: each holds a copy of what it writes."""

    def __init__(self, in_background: bool = True) -> None:
        self._pool = ThreadPoolExecutor(1, "writer") if in_background else None
        self._pending: deque[Future[None]] = deque()
        self._failed = False

    def submit(self, job: Callable[[], None]) -> None:
        """Has ``job`` done after those before it. Raises Exception: what an earlier job raised."""
        if self._pool is None:
            job()
            return
        while self._pending and (self._pending[0].done() or len(self._pending) >= self.PENDING):
            self._next()
        self._pending.append(self._pool.submit(self._do, job))

    def wait(self) -> None:
        """Returns when all is written.
        Raises Exception: what a job raised; those after it are not done."""
        while self._pending:
            self._next()

    def close(self) -> None:
        """Waits for the job in hand and forgets the others."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        self._pending.clear()

    def _do(self, job: Callable[[], None]) -> None:
        if self._failed:
            return  # a row would be missing before this one
        try:
            job()
        except BaseException:
            self._failed = True
            raise

    def _next(self) -> None:
        job = self._pending.popleft()
        try:
            job.result()
        except BaseException:
            wait(self._pending)  # nothing of them is done
            self._pending.clear()
            self._failed = False
            raise
