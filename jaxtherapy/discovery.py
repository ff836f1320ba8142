"""Folders in which every file is a choice: its name is the file's, what it offers an attribute.

A mechanism, a pattern, a baseline, an observation, an encoder or a logger is added by adding its
file. Names are known without importing any of them, so that ``--help`` need not load JAX.
"""

import importlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent


def names_in(folder: str) -> tuple[str, ...]:
    """Names of the choices in a folder of the package, by alphabet."""
    found = (path.stem for path in (ROOT / folder).glob("*.py"))
    return tuple(sorted(name for name in found if not name.startswith("_")))


class Choices(Mapping[str, Any]):
    """The choices in a folder by name, each imported when it is asked for.

    Args:
        folder: below the package, such as ``client/mechanisms``.
        attribute: what each module offers under this name.
        first: names in the order in which they are listed; others follow by alphabet.
    """

    def __init__(self, folder: str, attribute: str, first: tuple[str, ...] = ()) -> None:
        self._package = f"jaxtherapy.{folder.replace('/', '.')}"
        self._attribute = attribute
        self._names = tuple(dict.fromkeys([*first, *names_in(folder)]))

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            raise KeyError(name)
        return getattr(importlib.import_module(f"{self._package}.{name}"), self._attribute)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def lazily(package: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """A package's ``__getattr__`` (PEP 562) that imports each name when it is first asked for.

    Args:
        package: that gets it.
        names: by public name, the module that has it, or that it is.
    """

    def get(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(names[name])
        is_module = names[name].rpartition(".")[2] == name
        value = module if is_module else getattr(module, name)
        setattr(importlib.import_module(package), name, value)
        return value

    return get
