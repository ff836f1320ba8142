"""Choices are the files of a folder, known by name and imported when asked for."""

import subprocess
import sys

import pytest

from jaxtherapy import discovery
from jaxtherapy.discovery import Choices, lazily, names_in


@pytest.fixture
def room(tmp_path, monkeypatch):
    """A folder of choices within a package that looks like ours."""
    folder = tmp_path / "jaxtherapy" / "greetings"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "_private.py").write_text("")
    for name in ("zulu", "alpha", "mike"):
        (folder / f"{name}.py").write_text(f"greeting = 'I am {name}'\n")
    monkeypatch.setattr(discovery, "ROOT", tmp_path / "jaxtherapy")
    monkeypatch.setattr("jaxtherapy.__path__", [str(tmp_path / "jaxtherapy")])
    yield folder
    for name in [name for name in sys.modules if name.startswith("jaxtherapy.greetings")]:
        del sys.modules[name]


def test_names_are_those_of_public_files_by_alphabet(room):
    assert names_in("greetings") == ("alpha", "mike", "zulu")


def test_a_choice_is_imported_when_it_is_asked_for(room):
    choices = Choices("greetings", "greeting", first=("mike",))
    assert list(choices) == ["mike", "alpha", "zulu"]
    assert len(choices) == 3
    assert not [name for name in sys.modules if name.startswith("jaxtherapy.greetings.")]
    assert choices["zulu"] == "I am zulu"
    assert "jaxtherapy.greetings.zulu" in sys.modules
    assert "jaxtherapy.greetings.alpha" not in sys.modules


@pytest.mark.parametrize("name", ["yankee", "_private", "__init__", "os"])
def test_what_is_no_choice_is_not_imported(room, name):
    choices = Choices("greetings", "greeting")
    assert name not in choices
    with pytest.raises(KeyError):
        choices[name]


def test_a_file_that_offers_nothing_says_so(room):
    (room / "november.py").write_text("")
    with pytest.raises(AttributeError, match=r"november.*greeting"):
        Choices("greetings", "greeting")["november"]


def test_packages_import_their_names_late():
    get = lazily("tests", {"sqrt": "math", "json": "json"})
    assert get("sqrt")(4) == 2
    assert get("json").loads("1") == 1
    with pytest.raises(AttributeError, match="'tests' has no attribute 'floor'"):
        get("floor")


def test_names_are_known_without_jax():
    """So that ``--help`` starts quickly."""
    code = "import sys; import jaxtherapy.config; print('jax' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "False\n"
