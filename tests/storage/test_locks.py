"""What a run leaves that came to nothing."""

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
