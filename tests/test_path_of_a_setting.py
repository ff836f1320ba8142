"""From the command line to its first use, a setting passes few functions in few files."""

import dis
import sys
import threading
from pathlib import Path

import jax
import pytest

import jaxtherapy
from jaxtherapy.client.params import ClientParams
from jaxtherapy.config.settings import Hyperparameters
from jaxtherapy.devices import programs
from jaxtherapy.fast import promotion
from tests.training import tiny

PACKAGE = str(Path(jaxtherapy.__file__).parent)
WRAPPER = promotion.__file__
"""A function and the decorator around it are one."""
AT_MOST = {"functions": 12, "files": 7}


def frames(frame):
    """(file, function) of the package's own frames, outermost first."""
    found = []
    while frame is not None:
        if frame.f_code.co_filename.startswith(PACKAGE) and frame.f_code.co_filename != WRAPPER:
            found.append((frame.f_code.co_filename, frame.f_code.co_name))
        frame = frame.f_back
    return found[::-1]


def is_read_by_name(frame, name):
    """Whether the package itself asks for it: JAX flattens pytrees, which asks for every field."""
    if not frame.f_code.co_filename.startswith(PACKAGE):
        return False
    here = (each for each in dis.get_instructions(frame.f_code) if each.offset == frame.f_lasti)
    return any(each.opname == "LOAD_ATTR" and each.argval == name for each in here)


class Found(Exception):
    """Ends the run before anything is compiled. Its argument: the path from ``main`` on."""


@pytest.fixture
def first_use(monkeypatch):
    """Watches a field; raises ``Found`` where the training program first reads it."""

    def watch(owner, name):
        started = {}
        start = threading.Thread.start

        def started_from(thread):
            started[thread] = frames(sys._getframe(1))
            start(thread)

        def read(self):
            reader, value = sys._getframe(1), self.__dict__[name]
            if isinstance(value, jax.core.Tracer) and is_read_by_name(reader, name):
                before = started.get(threading.current_thread(), [])
                path = before + frames(reader)
                names = [function for _, function in path]
                if "train_step" in names:
                    raise Found(path[names.index("main") :])
            return value

        def write(self, value):
            self.__dict__[name] = value

        monkeypatch.setattr(threading.Thread, "start", started_from)
        monkeypatch.setattr(owner, name, property(read, write), raising=False)

    return watch


@pytest.mark.parametrize(
    ("owner", "name"), [(ClientParams, "threshold"), (Hyperparameters, "learning_rate")]
)
def test_a_setting_passes_few_functions(first_use, folder, owner, name):
    programs._compiled.cache_clear()  # so that there is something to trace
    first_use(owner, name)
    with pytest.raises(Found) as found:
        tiny.train(folder, "--total-timesteps", "16", n_steps=4)
    (path,) = found.value.args
    files = {file for file, _ in path}
    told = "\n".join(f"{Path(file).relative_to(PACKAGE)}: {function}" for file, function in path)
    assert len(path) <= AT_MOST["functions"] and len(files) <= AT_MOST["files"], told
    assert path[0][1] == "main"
