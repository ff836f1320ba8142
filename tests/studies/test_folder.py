"""Whose folder it is."""

import pytest

from jaxtherapy.errors import RunError
from jaxtherapy.storage import run_info
from jaxtherapy.studies.folder import SweepFolder


def test_a_sweep_that_was_killed_before_its_first_file_is_in_nobodys_way(tmp_path):
    folder = SweepFolder(tmp_path)
    run_info.write(folder.info, run_info.about(["python", "-m", "jaxtherapy.sweep"]))
    folder.check_free()
    folder.table.touch()
    with pytest.raises(RunError, match=r"runs\.csv is there already"):
        folder.check_free()
