"""The thread that writes: in order, no further after an error, nothing forgotten."""

import threading
import time

import pytest

from jaxtherapy.storage.writer import Writer


@pytest.fixture
def writer():
    writer = Writer()
    yield writer
    writer.close()


def test_jobs_are_done_in_order_beside_the_caller(writer):
    done, threads, go = [], set(), threading.Event()

    def job(number):
        go.wait(60)
        threads.add(threading.current_thread())
        done.append(number)

    writer.submit(lambda: job(0))
    writer.submit(lambda: job(1))
    assert done == []  # the caller did not wait
    go.set()
    for number in range(2, 20):
        writer.submit(lambda number=number: job(number))
    writer.wait()
    assert done == list(range(20))
    assert len(threads) == 1 and threading.current_thread() not in threads


def test_no_more_than_a_few_wait(writer):
    """Each holds a copy of what it writes."""
    go, submitted = threading.Event(), []

    def submit_all():
        for number in range(5):
            writer.submit(lambda: go.wait(60))
            submitted.append(number)

    caller = threading.Thread(target=submit_all)
    caller.start()
    deadline = time.monotonic() + 60
    while len(submitted) < Writer.PENDING and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.1)  # for one too many
    assert len(submitted) == Writer.PENDING
    go.set()
    caller.join(60)
    assert len(submitted) == 5


def broken():
    raise OSError(28, "the disk is full")


@pytest.mark.parametrize("asked", ["submit", "wait"])
def test_an_error_comes_up_at_the_next_call_and_later_jobs_are_not_done(writer, asked):
    go, done = threading.Event(), []

    def fails():
        go.wait(60)
        broken()

    writer.submit(fails)
    writer.submit(lambda: done.append("after"))
    go.set()
    with pytest.raises(OSError, match="disk is full"):
        if asked == "wait":
            writer.wait()
        else:
            for _ in range(Writer.PENDING):
                writer.submit(lambda: done.append("later"))
    writer.close()
    assert done == []


def test_after_an_error_was_told_new_jobs_are_done(writer):
    """The last good state is still to be saved."""
    done = []
    writer.submit(broken)
    with pytest.raises(OSError, match="disk is full"):
        writer.wait()
    writer.wait()
    writer.submit(lambda: done.append(1))
    writer.wait()
    assert done == [1]


def test_closing_finishes_the_job_in_hand_and_forgets_the_others():
    writer, begun, go, done = Writer(), threading.Event(), threading.Event(), []

    def job():
        begun.set()
        go.wait(60)
        done.append("in hand")

    writer.submit(job)
    writer.submit(lambda: done.append("waiting"))
    begun.wait(60)
    threading.Timer(0.05, go.set).start()
    writer.close()
    assert done == ["in hand"]
    writer.close()  # again is fine


def test_in_the_foreground_a_job_is_done_at_once_and_its_error_is_the_callers():
    writer, done = Writer(in_background=False), []
    writer.submit(lambda: done.append(threading.current_thread()))
    assert done == [threading.current_thread()]
    with pytest.raises(OSError, match="disk is full"):
        writer.submit(broken)
    writer.wait()
    writer.close()
