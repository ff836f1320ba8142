"""What a run leaves that came to nothing."""

import pytest

from jaxtherapy.errors import RunError
from jaxtherapy.storage.locks import ExperimentLock


def test_a_folder_that_was_made_for_a_lock_goes_with_it(tmp_path):
    folder = tmp_path / "models/a"
    with ExperimentLock(folder), ExperimentLock(folder, ".a.lock"):
        assert len(list(folder.iterdir())) == 2
    assert not list(tmp_path.iterdir())
    (tmp_path / "models").mkdir()
    with ExperimentLock(folder):
        pass
    assert list(tmp_path.iterdir()) == [tmp_path / "models"]


def test_a_folder_with_anything_else_in_it_stays(tmp_path):
    folder = tmp_path / "a"
    with ExperimentLock(folder):
        (folder / "config.yaml").touch()
    assert {path.name for path in folder.iterdir()} == {".lock", "config.yaml"}
    (folder / "config.yaml").unlink()
    with ExperimentLock(folder):  # which was there before
        pass
    assert folder.exists()


def test_the_lock_of_another_run_in_a_folder_stays(tmp_path):
    folder = tmp_path / "logs"
    first, second = ExperimentLock(folder, ".a.lock"), ExperimentLock(folder, ".b.lock")
    with first:
        second.__enter__()
    with pytest.raises(RunError, match="another run"), ExperimentLock(folder, ".b.lock"):
        pass
    assert [path.name for path in folder.iterdir()] == [".b.lock"]
    second.__exit__(None, None, None)
    assert not list(folder.iterdir())
