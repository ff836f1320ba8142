"""Files appear whole or not at all, and only our own are removed."""

import os
import threading
import time
from functools import partial

import pytest

from jaxtherapy.config import load_config
from jaxtherapy.errors import RunError
from jaxtherapy.storage.files import side_by_side, write_atomically
from jaxtherapy.storage.locks import ExperimentLock
from jaxtherapy.storage.progress_log import COLUMNS, ProgressLog
from jaxtherapy.storage.run_files import RunFiles

ROW = dict.fromkeys(COLUMNS, 0.5)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_into_a_missing_folder_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "missing" / "file", b"new")


def test_lock_is_exclusive_and_released(tmp_path):
    with (
        ExperimentLock(tmp_path),
        pytest.raises(RunError, match="another run"),
        ExperimentLock(tmp_path),
    ):
        pass
    with ExperimentLock(tmp_path):
        pass


def test_sweep_takes_what_killed_writes_left_and_nothing_else(tmp_path):
    changes = {"output_dir": str(tmp_path), "log_dir": str(tmp_path), "n_seeds": 2, "seed": 3}
    files = RunFiles.of(load_config(None, changes | {"experiment_name": "a.b"}))
    files.sweep()  # there are no folders yet
    files.create()
    ours = [".config.yaml.12.tmp", ".run.json.1.tmp", "seed_4/.checkpoint_50.pth.7.tmp"]
    ours += ["seed_3/.policy_best.pth.7.tmp", ".a.b_seed3_progress.csv.9.tmp"]
    ours += [".a.b_progress.png.9.tmp"]
    theirs = [".notes.txt.12.tmp", ".config.yaml.tmp", ".config.yaml.x.tmp", "config.yaml.1.tmp"]
    theirs += [".axb_progress.csv.9.tmp", ".other_progress.csv.9.tmp", ".config.yaml.1.tmp.tmp"]
    theirs += ["seed_3/.run.json", "seed_5/.policy_best.pth.7.tmp", ".lock", "config.yaml"]
    (tmp_path / "seed_5").mkdir()
    for name in ours + theirs:
        (tmp_path / name).write_text("x")
    files.sweep()
    left = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert left == set(theirs)


def test_what_sweep_takes_is_what_a_kill_leaves(tmp_path, monkeypatch):
    """The names are those that ``write_atomically`` makes."""
    files = RunFiles.of(load_config(None, {"output_dir": str(tmp_path), "log_dir": str(tmp_path)}))
    monkeypatch.setattr(type(tmp_path), "unlink", lambda path, missing_ok=False: None)
    monkeypatch.setattr(os, "replace", lambda source, target: 1 / 0)  # and the kernel's verdict
    weights = [files.output / "policy_best.pth", files.output / "checkpoint_5.pth"]
    for path in [files.config, files.run, files.picture, files.csv(files.seeds[0]), *weights]:
        with pytest.raises(ZeroDivisionError):
            write_atomically(path, b"x")
    assert len(list(tmp_path.iterdir())) == 6
    monkeypatch.undo()
    files.sweep()
    assert not list(tmp_path.iterdir())


def test_a_row_on_a_full_disk_leaves_the_rows_before(tmp_path, monkeypatch):
    log = ProgressLog(tmp_path / "log.csv")
    log.create()
    log.append(ROW)
    before = log.path.read_bytes()
    real_write, calls = os.write, []

    def half(handle, data):
        calls.append(len(data))
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        return real_write(handle, data[: len(data) // 2])

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(OSError, match="No space"):
        log.append(ROW)
    monkeypatch.undo()
    assert log.path.read_bytes() == before


def test_rewind_drops_later_rows_and_what_was_cut_off(tmp_path):
    log = ProgressLog(tmp_path / "log.csv")
    log.create()
    for step in range(5):
        log.append(ROW | {"step": step})
    with open(log.path, "a") as file:
        file.write("5,0.5,")
    log.rewind(3)
    assert [row[1] for row in log.rows()] == ["0", "1", "2"]
    with pytest.raises(RunError, match="3 rows where the checkpoint knows of 4"):
        log.rewind(4)


def test_a_log_that_vanished_is_not_made_again_silently(tmp_path):
    log = ProgressLog(tmp_path / "log.csv")
    log.create()
    log.path.unlink()
    with pytest.raises(FileNotFoundError):
        log.append(ROW)
    with pytest.raises(RunError, match="missing"):
        log.rewind(1)
    log.rewind(0)  # a checkpoint that knows of no rows needs no log
    assert log.rows() == []


def test_one_log_has_one_writer_wherever_the_weights_go(tmp_path):
    with (
        ExperimentLock(tmp_path, ".a.lock"),
        ExperimentLock(tmp_path, ".b.lock"),
        pytest.raises(RunError, match="another run"),
        ExperimentLock(tmp_path, ".a.lock"),
    ):
        pass


def test_a_log_with_other_cells_is_refused(tmp_path):
    log = ProgressLog(tmp_path / "log.csv")
    log.create()
    log.append(ROW)
    log.path.write_text(log.path.read_text().replace("0.5\n", "0.5,9\n"))
    with pytest.raises(RunError, match="additional cells"):
        log.rewind(1)


def test_remove_after_drops_later_weights_alone(tmp_path):
    files = RunFiles.of(load_config(None, {"output_dir": str(tmp_path)}))
    names = ["checkpoint_5.pth", "checkpoint_6.pth", "checkpoint_x.pth", "policy_best.pth", "9.pth"]
    for name in [*names, "policy_final.pth"]:
        (tmp_path / name).write_text("x")
    files.remove_after(6)  # nothing is later: a run killed at its very end keeps its final policy
    assert (tmp_path / "policy_final.pth").exists()
    files.remove_after(5)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"checkpoint_5.pth", "checkpoint_x.pth", "policy_best.pth", "9.pth"}


def test_remove_after_drops_a_best_policy_of_later_steps(tmp_path):
    changes = {"output_dir": str(tmp_path), "n_seeds": 2, "seed": 3, "log_dir": str(tmp_path)}
    files = RunFiles.of(load_config(None, changes))
    files.create()
    for name in ("seed_3/checkpoint_9.pth", "seed_4/checkpoint_9.pth"):
        (tmp_path / name).write_text("x")
    for seed in files.seeds:
        files.best(seed).write_text("x")
    files.remove_after(9)
    assert files.best(3).exists()
    files.remove_after(5, without_best=[3])
    assert not files.best(3).exists() and files.best(4).exists()
    files.remove_after(5, without_best=[4])  # though no checkpoint is later any more
    assert not files.best(4).exists()


def test_the_log_tells_whether_a_later_evaluation_was_better(tmp_path):
    log = ProgressLog(tmp_path / "log.csv")
    assert not log.has_better_after(0, float("-inf"))
    log.create()
    for reward in (1.0, 1 / 3, 2.0, float("nan")):
        log.append(ROW | {"test_reward_mean": reward})
    assert log.has_better_after(2, 1.0) and log.has_better_after(0, float("-inf"))
    assert not log.has_better_after(3, 1.0) and not log.has_better_after(1, 2.0)
    log.rewind(2)
    assert not log.has_better_after(1, 1 / 3)  # the same, as far as it is written


def test_the_advice_on_a_lost_log_loses_nothing(tmp_path):
    log = ProgressLog(tmp_path / "log.csv")
    with pytest.raises(RunError, match=r"log\.csv is missing; put it back") as caught:
        log.rewind(1)
    assert "--overwrite" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "policy_best.pth",
        "policy_final.pth",
        "checkpoint_5.pth",
        "run.json",
        "config.yaml",
        "checkpoints/5/x",
        "seed_7/policy_best.pth",
        "therapy_ppo_progress.csv",
    ],
)
def test_what_a_run_would_overwrite_is_an_experiment(tmp_path, name):
    files = RunFiles.of(load_config(None, {"output_dir": str(tmp_path), "log_dir": str(tmp_path)}))
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("x")
    assert files.exists()


def test_what_the_user_prepared_is_no_experiment(tmp_path):
    files = RunFiles.of(load_config(None, {"output_dir": str(tmp_path), "log_dir": str(tmp_path)}))
    names = ["notes.txt", "seed_7/notes.txt", "policy_mine.pth", "tianshou.pth", ".lock"]
    for name in [*names, "seeds/policy_best.pth", "other_progress.csv", "started_from.txt"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    assert not files.exists()


def test_jobs_side_by_side_are_all_done():
    done = []
    side_by_side(partial(done.append, i) for i in range(100))
    assert sorted(done) == list(range(100))


def test_large_files_are_written_one_by_one():
    threads = set()
    side_by_side((lambda: threads.add(threading.get_ident()) for _ in range(20)), n_bytes=2**30)
    assert len(threads) == 1


def test_of_jobs_side_by_side_the_first_error_is_told_and_the_rest_left():
    done = []

    def job(i):
        if i == 3:
            raise OSError(28, "No space left on device", f"{i}.pth")
        time.sleep(0.01)
        done.append(i)

    with pytest.raises(OSError, match=r"3\.pth"):
        side_by_side(partial(job, i) for i in range(1000))
    assert len(done) < 900
