"""Files appear whole or not at all."""

import pytest

from jaxtherapy.storage.files import write_atomically


def test_an_error_names_the_file_that_was_to_be_written(tmp_path):
    path = tmp_path / "nowhere/a.pth"
    with pytest.raises(FileNotFoundError) as error:
        write_atomically(path, b"")
    assert error.value.filename == str(path)
