"""Which experiment a path belongs to."""

import pytest

from jaxtherapy.storage.experiment import experiment_folder


@pytest.mark.parametrize(
    "name", ["seed_3", "checkpoints", "checkpoints/5", "checkpoints/seeds_1_2"]
)
def test_an_experiment_may_be_called_as_a_folder_within_one(tmp_path, name):
    folder = tmp_path / "models" / name
    inside = [
        folder / "seed_42",
        folder / "checkpoints" / "5",
        folder / "checkpoints" / "seeds_1_2",
    ]
    for each in inside:
        each.mkdir(parents=True)
    (folder / "config.yaml").touch()
    assert [experiment_folder(path) for path in (folder, *inside)] == [folder] * 4
