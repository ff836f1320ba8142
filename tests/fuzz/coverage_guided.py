"""Fuzzing led by coverage: the reader of weight files and the configuration loader, by Atheris.

By hand, because it needs an environment of its own and gets better the longer it runs:
``make fuzz ARGS="program -max_total_time=300"``, or, where Atheris is installed,
``python -m tests.fuzz.coverage_guided TARGET [FLAGS OF LIBFUZZER]``. Targets:

* ``file``: the bytes of a ``.pth`` file.
* ``program``: the pickle within one; around it the archive and its checksums are in order, so that
  mutations reach the machine that runs it.
* ``config``: a YAML file of settings.

It stops at the first input that ends in anything but success or one line of our own errors, and
writes that input to a file. Executions per second are in libFuzzer's last line.
"""

import io
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import atheris
import numpy as np

with atheris.instrument_imports(include=["jaxtherapy.config", "jaxtherapy.storage.torch_format"]):
    from jaxtherapy.config import ConfigError, load_config
    from jaxtherapy.storage import torch_format as torch_weights

ROOT = Path(__file__).parents[2]
HERE = Path(tempfile.mkdtemp(prefix="jaxtherapy-fuzz-"))
STORAGES = {"0": bytes(96), "1": bytes(8)}


def a_line(error: Exception) -> None:
    message = str(error)
    assert message.isprintable() and 0 < len(message) < 2000, message


def read_file(contents: bytes) -> None:
    try:
        torch_weights.loads(contents)
    except torch_weights.WeightsFileError as error:
        a_line(error)


def run_program(program: bytes) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", program)
        for key, contents in STORAGES.items():
            archive.writestr(f"archive/data/{key}", contents)
    read_file(buffer.getvalue())


def read_config(contents: bytes) -> None:
    path = HERE / "fuzz.yaml"
    path.write_bytes(contents)
    try:
        load_config(path)
    except ConfigError as error:
        a_line(error)


def valid_files() -> list[bytes]:
    """Small files that can be read, as inputs to begin with."""
    base = np.arange(24, dtype=np.float32).reshape(4, 6)
    objects = [
        {"a": base, "b": base.T, "c": base[1:3, ::2]},
        {"state": {0: {"step": np.asarray(3.0)}}, "groups": [{"betas": (0.9, 1), "x": None}]},
        [True, 1, 300, 2**40, 1.5, "ü"],
    ]
    return [torch_weights.dumps(obj) for obj in objects]


def program_of(contents: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(contents)) as archive:
        return archive.read("archive/data.pkl")


def configurations() -> list[bytes]:
    return [path.read_bytes() for path in (ROOT / "configs").glob("*.yaml")]


TARGETS: dict[str, tuple[Callable[[bytes], None], Callable[[], list[bytes]]]] = {
    "file": (read_file, valid_files),
    "program": (run_program, lambda: [program_of(contents) for contents in valid_files()]),
    "config": (read_config, configurations),
}


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"error: say what to fuzz: {', '.join(TARGETS)}")
    target, begin_with = TARGETS[sys.argv[1]]
    corpus = HERE / "corpus"
    corpus.mkdir()
    for number, contents in enumerate(begin_with()):
        (corpus / str(number)).write_bytes(contents)
    print(f"inputs that reached something new: {corpus}")
    atheris.Setup([sys.argv[0], str(corpus), *sys.argv[2:]], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
