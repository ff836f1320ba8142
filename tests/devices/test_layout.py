"""Where programs run, and where they are kept."""

import warnings
from pathlib import Path

from jaxtherapy.devices import layout


def test_a_cache_that_cant_be_written_is_told_once(monkeypatch, tmp_path):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "/dev/null/nowhere")
    with warnings.catch_warnings(record=True) as told:
        note = layout._keep_compiled()
        warnings.warn("Error writing persistent compilation cache entry for 'f'", stacklevel=1)
    assert "can't be kept in /dev/null/nowhere (Not a directory)" in note and not told
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "new"))
    assert layout._keep_compiled() == "" and list(Path(tmp_path).iterdir()) == [tmp_path / "new"]
