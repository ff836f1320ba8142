"""Logs that vanished, disks that are full: a finished training or one line, and what was there
before is still there."""

import contextlib
import json
import os
import resource
import shlex
import shutil
import signal

import orbax.checkpoint as ocp
import pytest

from jaxtherapy.config import load_config
from jaxtherapy.storage.progress_log import COLUMNS, ProgressLog
from tests.training import tiny


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def cut_off(undisturbed, folder):
    """As if the run had been killed after step 224."""
    return tiny.cut_off_at_224(undisturbed, folder)


def test_a_log_that_vanished_is_refused_and_the_advice_works(cut_off, undisturbed, capsys):
    shutil.rmtree(cut_off / "logs")
    before = contents(cut_off / "models")
    assert tiny.train(cut_off, "--resume") == 2
    out, error = capsys.readouterr()
    assert error.count("\n") == 1 and "tiny_progress.csv is missing; put it back" in error
    assert not out and "--overwrite" not in error
    assert contents(cut_off / "models") == before and not (cut_off / "logs").exists()
    flags = shlex.split(error[error.index("--resume-from") :])
    assert flags == ["--resume-from", "models/tiny", "--experiment-name", "tiny_2"]
    assert tiny.train(cut_off, *flags) == 0
    other, whole = tiny.results(cut_off, "tiny_2"), tiny.results(undisturbed)
    assert other["final"] == whole["final"] and other["checkpoint"] == whole["checkpoint"]
    assert other["log"] == whole["log"][2:]
    assert contents(cut_off / "models/tiny") == {
        path: data for path, data in before.items() if "models/tiny" in str(path)
    }


def test_a_run_sweeps_what_killed_writes_left(cut_off, undisturbed):
    left = cut_off / "models/tiny/.checkpoint_336.pth.4711.tmp"
    left.write_bytes(b"half")
    assert tiny.train(cut_off, "--resume") == 0
    assert not left.exists()
    assert tiny.results(cut_off) == tiny.results(undisturbed)


@contextlib.contextmanager
def no_file_beyond(size):
    """What a full disk looks like that has room for the small files alone."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_disk_that_is_full_ends_the_run_with_one_line_and_keeps_what_is_there(
    cut_off, undisturbed, capsys
):
    before = contents(cut_off / "models")
    with no_file_beyond(4_000):
        assert tiny.train(cut_off, "--resume") == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "can't" in error and "File too large" in error
    left = contents(cut_off / "models")
    changed = {path.name for path in left if left[path] != before.get(path)}
    assert before.keys() <= left.keys() and changed <= {"config.yaml", "run.json"}
    assert load_config(cut_off / "models/tiny/config.yaml")
    assert json.loads((cut_off / "models/tiny/run.json").read_text())["status"] == "failed"
    assert tiny.train(cut_off, "--resume") == 0  # there is room again
    assert tiny.results(cut_off) == tiny.results(undisturbed)


def test_a_row_that_is_written_in_part_is_taken_back(folder, monkeypatch):
    """Though there were room for it a moment later."""
    log = ProgressLog(folder / "log.csv")
    log.create()
    row = dict.fromkeys(COLUMNS, 1.0)
    log.append(row)
    before = log.path.read_bytes()
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, line: write(handle, line[:10]))
    with pytest.raises(OSError, match="No space left"):
        log.append(row)
    monkeypatch.undo()
    assert log.path.read_bytes() == before
    log.append(row)
    assert log.check(2) == [["1"] * len(COLUMNS)] * 2


def test_a_last_good_state_that_can_not_be_saved_is_one_line(folder, monkeypatch, capsys):
    def full(manager):
        raise ValueError("no room\nfor it")

    monkeypatch.setattr(ocp.CheckpointManager, "wait_until_finished", full)
    assert tiny.train(folder, "--learning-rate", "10", "--max-grad-norm", "none") == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "can't save a checkpoint" in error
    assert "ValueError: no room for it" in error and "make room" in error
