"""Imports point one way: a room knows only those before it."""

import ast
from pathlib import Path

import jaxtherapy

ROOT = Path(jaxtherapy.__file__).parent
ROOMS = (
    *("errors", "discovery", "config", "fast", "client", "envs", "networks", "ppo", "devices"),
    *("storage", "evaluation", "reporting", "gym", "training", "studies", "cli"),
)


def rooms_imported_by(path):
    """Of every import in a file, also those inside of functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            package, _, rest = name.partition(".")
            room = rest.partition(".")[0]
            if package == "jaxtherapy" and room in ROOMS:
                yield room


def test_imports_point_one_way():
    wrong = []
    for path in sorted(ROOT.rglob("*.py")):
        place = path.relative_to(ROOT)
        room = place.parts[0].removesuffix(".py")
        if room in ROOMS:  # the others are what users start and import
            for imported in rooms_imported_by(path):
                allowed = () if room == "fast" else ROOMS[: ROOMS.index(room) + 1]
                if imported not in allowed and imported != room:
                    wrong.append(f"{place} imports {imported}")
    assert not wrong


def test_every_folder_is_a_room():
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert folders <= set(ROOMS)


def test_files_and_functions_are_short():
    """What is read in one sitting; PPO is one page."""
    for path in sorted(ROOT.rglob("*.py")):
        text = path.read_text()
        assert len(text.splitlines()) <= (200 if path.name == "ppo.py" else 450), path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < 60, (path, node.name)
