"""Folders that were moved or copied, checkpoints that were removed: nothing of another is touched,
and nothing goes that the user was not told of."""

import errno
import json
import os
import shutil
from pathlib import Path

import filelock
import numpy as np
import pytest

from jaxtherapy import convert
from jaxtherapy.config import load_config
from jaxtherapy.storage import policies, torch_format
from jaxtherapy.storage.experiment import orbax_steps
from jaxtherapy.storage.logs import find_log
from jaxtherapy.training.trainer import Trainer
from tests.conftest import DATA
from tests.training import tiny

MORE = ["--total-timesteps", "480"]


def resume(*flags):
    """Without ``--config``, as what a folder says of itself is."""
    return tiny.main(["--device", "cpu", *flags])


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def unchanged(before):
    """Locks aside."""
    before = dict(before)
    return all(path.read_bytes() == data for path, data in before.items() if path.name[0] != ".")


def steps(log):
    return [int(row["step"]) for row in tiny.rows_without_timings(log)]


ALL_STEPS = [80, 160, 240, 320, 400, 480]


@pytest.fixture(scope="module")
def extended(undisturbed, tmp_path_factory):
    """The same run, trained on where it was."""
    folder = tmp_path_factory.mktemp("extended")
    shutil.copytree(undisturbed, folder, dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert resume("--resume-from", "models/tiny", *MORE) == 0
    return folder


def assert_same_end(folder, extended):
    for name in ("policy_final.pth", "policy_best.pth", "checkpoint_480.pth"):
        assert (folder / name).read_bytes() == (extended / "models/tiny" / name).read_bytes()


# --- moved --------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["moved/tiny", "moved/tiny/checkpoint_400.pth"])
def test_a_folder_that_was_moved_goes_on_where_it_lies(undisturbed, extended, folder, source):
    shutil.copytree(undisturbed, folder, dirs_exist_ok=True)
    (folder / "models").rename(folder / "moved")
    assert resume("--resume-from", source, *MORE) == 0
    assert not (folder / "models").exists()
    assert_same_end(folder / "moved/tiny", extended)
    assert steps(folder / "logs/tiny/tiny_progress.csv") == ALL_STEPS
    config = load_config(folder / "moved/tiny/config.yaml")
    assert config.output_path == Path("moved/tiny") and config.log_path == Path("logs/tiny")
    assert resume("--resume-from", "moved/tiny", "--total-timesteps", "496") == 0
    branch = ["--resume-from", "moved/tiny", "--experiment-name", "other"]
    assert resume(*branch, "--total-timesteps", "512") == 0
    assert orbax_steps(folder / "moved/other")[-1] == 512


def test_with_its_configuration_file_it_goes_on_where_it_lies_too(undisturbed, folder):
    shutil.copytree(undisturbed, folder, dirs_exist_ok=True)
    (folder / "models").rename(folder / "moved")
    assert tiny.train(folder, "--resume-from", "moved/tiny", *MORE) == 0
    assert not (folder / "models").exists() and orbax_steps(folder / "moved/tiny")[-1] == 480


def test_a_file_without_a_name_gives_none(undisturbed, folder):
    """The default name is nobody's wish to train elsewhere."""
    shutil.copytree(undisturbed, folder, dirs_exist_ok=True)
    lines = tiny.write_config(folder).read_text().splitlines(keepends=True)
    path = folder / "nameless.yaml"
    path.write_text("".join(line for line in lines if "experiment_name" not in line))
    assert resume("--config", str(path), "--resume-from", "models/tiny", *MORE) == 0
    assert orbax_steps(folder / "models/tiny")[-1] == 480
    assert not (folder / "models/therapy_ppo").exists()


def test_a_folder_behind_a_link_keeps_its_log(undisturbed, folder):
    """As where a disk is full: the files are moved to another, and a link takes their place."""
    shutil.copytree(undisturbed, folder, dirs_exist_ok=True)
    for name in ("models", "logs"):
        (folder / "elsewhere" / name).parent.mkdir(exist_ok=True)
    (folder / "models/tiny").rename(folder / "elsewhere/models")
    (folder / "models/tiny").symlink_to("../elsewhere/models")
    assert resume("--resume-from", "models/tiny", *MORE) == 0
    assert steps(folder / "logs/tiny/tiny_progress.csv") == ALL_STEPS
    (folder / "logs/tiny").rename(folder / "elsewhere/logs")
    (folder / "logs/tiny").symlink_to("../elsewhere/logs")
    assert resume("--resume-from", "models/tiny", "--total-timesteps", "496") == 0
    assert steps(folder / "elsewhere/logs/tiny_progress.csv")[-1] == 496


def test_moved_with_its_logs_and_called_from_elsewhere(undisturbed, extended, folder, monkeypatch):
    place = folder / "a place/of"
    shutil.copytree(undisturbed, place)
    (folder / "logs/tiny").mkdir(parents=True)
    (folder / "logs/tiny/tiny_progress.csv").write_text("of another experiment\n")
    before = contents(folder / "logs")
    assert resume("--resume-from", str(place / "models/tiny"), *MORE) == 0
    assert_same_end(place / "models/tiny", extended)
    assert steps(place / "logs/tiny/tiny_progress.csv") == ALL_STEPS
    assert unchanged(before) and not (folder / "models").exists()
    monkeypatch.chdir(place / "models")
    assert resume("--resume-from", "tiny", "--total-timesteps", "496") == 0
    assert steps(place / "logs/tiny/tiny_progress.csv")[-1] == 496


def test_another_name_or_place_branches_off(undisturbed, folder):
    shutil.copytree(undisturbed, folder, dirs_exist_ok=True)
    (folder / "models").rename(folder / "moved")
    before = contents(folder)
    for flags in (["--output-dir", "models/tiny", "--log-dir", "x"], ["--experiment-name", "b"]):
        assert resume("--resume-from", "moved/tiny", *flags, *MORE) == 0
    assert unchanged(before)
    assert (
        orbax_steps(folder / "models/tiny") == orbax_steps(folder / "models/b") == [400, 448, 480]
    )


def test_what_is_not_there_is_not_called_occupied(undisturbed, folder, capsys):
    shutil.copytree(undisturbed, folder, dirs_exist_ok=True)
    (folder / "models").rename(folder / "moved")
    before = contents(folder)
    place = ["--output-dir", "models/tiny"]  # whose log is there, and another's
    assert resume("--resume-from", "moved/tiny", *place, *MORE) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "logs/tiny/tiny_progress.csv" in error
    assert "models/tiny holds" not in error and "--overwrite" not in error
    assert unchanged(before)


# --- copied -------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["copies/tiny", "copy", "far/away/models/tiny"])
def test_a_copy_goes_on_and_the_original_stays(undisturbed, extended, folder, capsys, place):
    shutil.copytree(undisturbed, folder, dirs_exist_ok=True)
    shutil.copytree(folder / "models/tiny", folder / place)
    before = contents(folder / "models") | contents(folder / "logs")
    assert resume("--resume-from", place, *MORE) == 0
    assert "the original's" in " ".join(capsys.readouterr().out.split())
    assert unchanged(before)
    assert_same_end(folder / place, extended)
    recorded = load_config(folder / place / "config.yaml")
    log = find_log(folder / place, 42)
    assert log.resolve() == (recorded.log_path / "tiny_progress.csv").resolve()
    assert steps(log) == ALL_STEPS
    assert resume("--resume-from", place, "--total-timesteps", "496") == 0
    assert steps(log)[-1] == 496 and unchanged(before)
    assert resume("--resume-from", "models/tiny", *MORE) == 0  # the original is as able as ever
    assert steps(folder / "logs/tiny/tiny_progress.csv") == ALL_STEPS


def test_of_two_moved_copies_each_has_a_log_of_its_own(undisturbed, extended, folder, capsys):
    """Though the original is gone, whose log it was."""
    shutil.copytree(undisturbed, folder, dirs_exist_ok=True)
    shutil.copytree(folder / "models/tiny", folder / "copies/tiny")
    (folder / "models").rename(folder / "moved")
    assert resume("--resume-from", "moved/tiny", *MORE) == 0
    before = contents(folder / "moved") | contents(folder / "logs")
    assert find_log(folder / "copies/tiny", 42) is None  # whose last rows are the other's
    assert resume("--resume-from", "copies/tiny", *MORE) == 0
    assert "its log goes on in" in " ".join(capsys.readouterr().out.split())
    assert unchanged(before)
    assert_same_end(folder / "copies/tiny", extended)
    for each in ("copies/tiny", "moved/tiny"):
        assert steps(find_log(folder / each, 42)) == ALL_STEPS
    assert find_log(folder / "copies/tiny", 42).parent == folder / "copies/tiny"
    assert resume("--resume-from", "moved/tiny", "--total-timesteps", "496") == 0
    assert steps(folder / "copies/tiny/tiny_progress.csv") == ALL_STEPS


def test_a_copy_put_where_the_original_was_leaves_its_log(undisturbed, folder):
    shutil.copytree(undisturbed, folder, dirs_exist_ok=True)
    shutil.copytree(folder / "models/tiny", folder / "backup")
    (folder / "models").rename(folder / "moved")
    assert resume("--resume-from", "moved/tiny", *MORE) == 0
    (folder / "models").mkdir()
    (folder / "backup").rename(folder / "models/tiny")
    before = contents(folder / "moved") | contents(folder / "logs")
    assert resume("--resume-from", "models/tiny", *MORE) == 0
    assert tiny.train(folder, "--resume", "--total-timesteps", "496") == 0
    assert unchanged(before)
    assert steps(folder / "models/tiny/tiny_progress.csv") == [*ALL_STEPS, 496]


def test_overwriting_a_copy_leaves_the_log_of_the_moved_original(undisturbed, folder, capsys):
    shutil.copytree(undisturbed, folder, dirs_exist_ok=True)
    shutil.copytree(folder / "models/tiny", folder / "copy")
    (folder / "models").rename(folder / "moved")
    before = contents(folder)
    place = ["--output-dir", "copy", "--overwrite", "--total-timesteps", "16"]
    assert tiny.train(folder, *place) == 2
    assert "logs/tiny/tiny_progress.csv is nothing that" in capsys.readouterr().err
    assert tiny.train(folder, *place, "--log-dir", "copied logs") == 0
    assert unchanged(each for each in before.items() if "copy" not in each[0].parts)
    assert orbax_steps(folder / "copy") == [16]


def test_overwriting_a_copy_leaves_the_originals_log(undisturbed, folder):
    shutil.copytree(undisturbed, folder, dirs_exist_ok=True)
    shutil.copytree(folder / "models/tiny", folder / "copy")
    before = contents(folder / "models") | contents(folder / "logs")
    flags = ["--output-dir", "copy", "--log-dir", "copied logs", "--overwrite"]
    assert tiny.train(folder, *flags, "--total-timesteps", "16") == 0
    assert unchanged(before) and orbax_steps(folder / "copy") == [16]


# --- removed by hand ----------------------------------------------------------------------------


def test_later_weights_without_an_orbax_checkpoint_are_kept(undisturbed, folder, capsys):
    shutil.copytree(undisturbed, folder, dirs_exist_ok=True)
    output = folder / "models/tiny"
    shutil.rmtree(output / "checkpoints/400")
    assert resume("--resume-from", "models/tiny") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "continuing at step 336" in out and "set aside in later_than_336" in out
    assert "they stay until you remove them" in out
    assert "1 later rows of the log are made again" in out
    for name in ("checkpoint_400.pth", "policy_final.pth"):
        kept = output / "later_than_336" / name
        assert kept.read_bytes() == (undisturbed / "models/tiny" / name).read_bytes()
    assert tiny.results(folder) == tiny.results(undisturbed)
    shutil.rmtree(output / "checkpoints/400")
    assert (
        resume("--resume-from", "models/tiny", "--learning-rate", "1e-3") == 0
    )  # kept again, and so are the first
    kept = output / "later_than_336_2/checkpoint_400.pth"
    assert kept.read_bytes() == (undisturbed / "models/tiny/checkpoint_400.pth").read_bytes()
    assert (output / "checkpoint_400.pth").read_bytes() != kept.read_bytes()


def test_what_going_back_drops_is_told(undisturbed, folder, capsys):
    shutil.copytree(undisturbed, folder, dirs_exist_ok=True)
    assert resume("--resume-from", "models/tiny/checkpoint_224.pth", "--overwrite") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "2 checkpoint_*.pth of later steps are removed" in out
    assert "3 later rows of the log are made again" in out
    assert tiny.results(folder) == tiny.results(undisturbed)


def killed_after_row_240(undisturbed, folder):
    """At step 224; the log has a row more than the checkpoint, and the best policy is of it."""
    tiny.cut_off_at_224(undisturbed, folder)
    log = folder / "logs/tiny/tiny_progress.csv"
    lines = log.read_text().splitlines()[:4]
    cells = lines[3].split(",")
    cells[lines[0].split(",").index("test_reward_mean")] = "1000"
    log.write_text("\n".join([*lines[:3], ",".join(cells)]) + "\n")
    return folder / "models/tiny/policy_best.pth"


def test_a_best_policy_of_a_dropped_timeline_goes(undisturbed, folder, capsys):
    best = killed_after_row_240(undisturbed, folder)
    stale = best.read_bytes()
    assert resume("--resume-from", "models/tiny", "--learning-rate", "1e-3") == 0
    assert "1 later rows of the log are made again" in " ".join(capsys.readouterr().out.split())
    assert best.read_bytes() != stale
    assert (folder / "models/tiny/later_than_224/policy_best.pth").read_bytes() == stale


def test_a_best_policy_that_will_come_again_stays(undisturbed, folder):
    """A requeued run sets nothing aside."""
    killed_after_row_240(undisturbed, folder)
    assert resume("--resume-from", "models/tiny") == 0
    assert not (folder / "models/tiny/later_than_224").exists()
    assert tiny.results(folder) == tiny.results(undisturbed)


@pytest.mark.parametrize("cell", ["", "1,5", "=A1", "#REF!"])
def test_cells_that_are_no_numbers_are_one_line_before_training(undisturbed, folder, capsys, cell):
    """As a spreadsheet leaves them, say."""
    shutil.copytree(undisturbed, folder, dirs_exist_ok=True)
    log = folder / "logs/tiny/tiny_progress.csv"
    lines = log.read_text().splitlines()
    cells = lines[2].split(",")
    cells[5] = cell
    log.write_text("\n".join([*lines[:2], ",".join(cells), *lines[3:]]) + "\n")
    before = contents(folder)
    for more in ([], MORE):
        assert resume("--resume-from", "models/tiny", *more) == 2
        captured = capsys.readouterr()
        assert captured.err.count("\n") == 1 and str(log.relative_to(folder)) in captured.err
        assert "compiled" not in captured.out
    assert unchanged(before)


# --- nothing left, something else than before ---------------------------------------------------


def test_a_finished_run_has_nothing_left_to_do_and_compiles_nothing(undisturbed, folder, capsys):
    shutil.copytree(undisturbed, folder, dirs_exist_ok=True)
    before = contents(folder)
    assert resume("--resume-from", "models/tiny") == 0
    out = capsys.readouterr().out
    assert "nothing left to do at step 400" in out and "compiled" not in out
    assert unchanged(before)
    trainer = Trainer(load_config(None, {"resume_from": "models/tiny"} | tiny.TINY))
    result = trainer.run()
    assert result.status == "finished" and result.log["step"].tolist() == ALL_STEPS[:5]
    assert result.weights("final") and result.comparison


def test_a_schedule_that_has_ended_is_told(undisturbed, folder, capsys):
    flags = ["--learning-rate", "{linear: [1e-3, 1e-4]}", "--total-timesteps", "112"]
    assert tiny.train(folder, *flags) == 0
    capsys.readouterr()
    assert resume("--resume-from", "models/tiny", "--total-timesteps", "144") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "the schedule of learning_rate has ended at step 112: it stays 0.0001" in out


def test_updates_that_do_not_tell_the_step_refuse_schedules(undisturbed, folder, capsys):
    """As in files of the old stack, whose epochs are no updates."""
    contents = torch_format.load(undisturbed / "models/tiny/checkpoint_112.pth")
    policies.write(folder / "alone.pth", contents | {"epoch": 3})
    rate = ["--learning-rate", "{linear: [1e-3, 1e-4]}"]
    place = ["--resume-from", "alone.pth", "--experiment-name", "new"]
    assert tiny.train(folder, *place, *rate) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "at step 112 after 3 updates, which are 48 steps" in error
    assert not (folder / "models").exists()
    config = str(tiny.write_config(folder, learning_rate={"linear": [1e-3, 1e-4]}))
    assert convert.main(["alone.pth", "models/converted", "--config", config]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "schedules count updates" in error
    assert not (folder / "models").exists()
    assert tiny.train(folder, *place, "--total-timesteps", "128") == 0


# --- --resume auto ------------------------------------------------------------------------------


def test_resume_auto_starts_continues_and_has_nothing_left(undisturbed, folder, capsys):
    """The same command, sent again and again."""
    flags = ["--resume", "auto"]
    assert tiny.train(folder, *flags) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "nothing to continue in models/tiny: starting anew" in out
    assert tiny.results(folder) == tiny.results(undisturbed)
    shutil.rmtree(folder / "models/tiny/checkpoints/400")
    assert tiny.train(folder, *flags) == 0
    assert "continuing at step 336" in capsys.readouterr().out
    assert tiny.results(folder) == tiny.results(undisturbed)
    assert resume(*flags, "--experiment-name", "tiny") == 0  # without its file, by its own
    assert "nothing left to do at step 400" in capsys.readouterr().out


def test_resume_auto_replaces_nothing(folder, capsys):
    (folder / "models/tiny").mkdir(parents=True)
    (folder / "models/tiny/policy_best.pth").write_text("a user's")
    assert tiny.train(folder, "--resume", "auto") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "models/tiny" in error
    assert tiny.train(folder, "--resume", "auto", "--overwrite") == 2
    assert (folder / "models/tiny/policy_best.pth").read_text() == "a user's"


def test_a_folder_without_its_configuration_is_refused(undisturbed, folder, capsys):
    shutil.copytree(undisturbed / "models/tiny", folder / "bare")
    (folder / "bare/config.yaml").unlink()
    before = sorted(folder.rglob("*"))
    for source in ("bare", "bare/checkpoint_224.pth", "bare/checkpoints", "bare/checkpoints/224"):
        assert resume("--resume-from", source) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and "no config.yaml" in error
    assert sorted(folder.rglob("*")) == before


def test_home_is_expanded(undisturbed, folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder / "home"))
    shutil.copytree(undisturbed, folder / "home")
    assert resume("--resume-from", "~/models/tiny", *MORE) == 0
    assert orbax_steps(folder / "home/models/tiny")[-1] == 480


# --- version 0.1 --------------------------------------------------------------------------------


def test_checkpoints_of_version_0_1_resume(folder):
    """Which had other names for parts of the state; to rounding, the end is the one it came to."""
    shutil.unpack_archive(DATA / "version_0_1.zip", folder)  # at step 224; and what came of it
    assert resume("--resume-from", "models/tiny") == 0
    one, other = (
        torch_format.load(path) for path in ("models/tiny/policy_final.pth", "expected_final.pth")
    )
    start = torch_format.load("models/tiny/checkpoint_224.pth")["model"]
    for name, array in one.items():
        np.testing.assert_allclose(array, other[name], rtol=1e-4, atol=1e-6)
    assert any(np.abs(one[name] - start[name]).max() > 1e-3 for name in one)
    logs = Path("logs/tiny/tiny_progress.csv"), Path("expected_progress.csv")
    for row, expected in zip(*map(tiny.rows_without_timings, logs), strict=True):
        trained = [name for name in row if not name.startswith("test_")]  # on other clients now
        numbers = [np.array([each[name] for name in trained], float) for each in (row, expected)]
        np.testing.assert_allclose(*numbers, rtol=1e-3, atol=1e-5)


# --- file systems without locks -----------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_file_systems_without_locks_are_told_of_once(folder, monkeypatch, capsys, number):
    def without(lock, **options):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(filelock.FileLock, "acquire", without)
    assert tiny.train(folder, "--total-timesteps", "16") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert out.count("file system without locks") == 1
    status = json.loads((folder / "models/tiny/run.json").read_text())["status"]
    assert status == "finished"


def test_a_lock_that_fails_otherwise_is_an_error(folder, monkeypatch, capsys):
    def broken(lock, **options):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(filelock.FileLock, "acquire", broken)
    assert tiny.train(folder, "--total-timesteps", "16") == 2
    assert "Input/output error" in capsys.readouterr().err


def test_a_run_that_was_stopped_before_it_began_says_how_it_begins(folder, capsys):
    (folder / "models/tiny").mkdir(parents=True)
    (folder / "models/tiny/.lock").touch()
    assert tiny.train(folder, "--resume") == 2
    out, error = capsys.readouterr()
    assert "start without --resume, or with --resume auto" in error and not out
