"""What the real command left, run once for all tests."""

import pytest

from tests.training import tiny


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """The folder of a tiny training that ran from start to end."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert tiny.train(folder, pictures=True) == 0
    return folder
