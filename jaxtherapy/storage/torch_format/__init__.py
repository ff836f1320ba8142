"""Read and write PyTorch weight files (``.pth``) with NumPy alone.

``dumps`` gives what ``torch.load(file, weights_only=True)`` reads; ``load`` reads what
``torch.save`` writes. NumPy arrays stand for tensors both ways (``ml_dtypes`` adds bfloat16)::

    Path("policy.pth").write_bytes(dumps({"layer.weight": np.zeros((8, 64), np.float32)}))
    weights = load("policy.pth")["layer.weight"]

**The format** (PyTorch 1.6 and later; sources: PyTorch's ``torch/serialization.py``,
``torch/_utils.py``, ``torch/_weights_only_unpickler.py``, ``caffe2/serialize/inline_container.cc``)
is an uncompressed zip archive of one folder, its records aligned to 64 bytes:

* ``data.pkl``: the object, as a protocol-2 pickle. A tensor is a call of
  ``torch._utils._rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks)``, its
  storage the persistent id ``("storage", torch.FloatStorage, key, device, element count)``. Offset
  and strides count elements. Tensors that name the same key share memory.
* ``data/{key}``: the raw elements of a storage, in the byte order that ``byteorder`` names.
* ``version``: the number of the format.

Whatever is wrong with a file, ``WeightsFileError`` is what it raises; nothing in it is ever run.
"""

import os
import stat
from typing import Any

from jaxtherapy.storage.torch_format.common import (
    Refused,
    WeightsFileError,
    one_line_error,
    require,
)
from jaxtherapy.storage.torch_format.reader import MAGIC_BYTES, check_magic, parse
from jaxtherapy.storage.torch_format.writer import Writer

__all__ = ["WeightsFileError", "dumps", "load", "loads"]

_MAX_FILE_BYTES = 8 * 2**30  # hidden_size 16384 takes 6.5 GB with Adam's state


def dumps(obj: Any) -> bytes:
    """The bytes of a file with ``obj``.

    ``obj``: arrays, str, int, float, bool and None, in any nesting of dicts (keys: str or int),
    lists and tuples. An array that appears twice is stored once, and its copies share memory when
    read back. The same object makes the same bytes.
    """
    try:
        return Writer(obj).contents()
    except RecursionError:
        problem = Refused("it nests too deep or contains itself; flatten it")
        raise one_line_error("<bytes>", "cannot be written", problem) from None
    except Exception as error:
        raise one_line_error("<bytes>", "cannot be written", error) from None


def load(path: str | os.PathLike[str]) -> Any:
    """Read a file. The arrays are writable and independent of it."""
    try:
        mode = os.stat(path).st_mode
        require(not stat.S_ISDIR(mode), "it is a directory", "give the path of a .pth file")
        # A pipe or a device need never end.
        require(stat.S_ISREG(mode), "it is no regular file", "give the path of a .pth file")
        with open(path, "rb") as stream:
            start = stream.read(MAGIC_BYTES)
            check_magic(start)  # before a huge file of another kind fills the memory
            size = os.fstat(stream.fileno()).st_size
            require(size <= _MAX_FILE_BYTES, "it is too large", "save nothing but weights")
            contents = start + stream.read(_MAX_FILE_BYTES)
    except (Refused, OSError, ValueError, MemoryError) as error:
        raise one_line_error(_shown(path), "cannot be read", error) from None
    return loads(contents, _shown(path))


def loads(contents: bytes, name: str = "<bytes>") -> Any:
    """Read the bytes of a file; ``name`` is for messages."""
    try:
        return parse(contents)
    # The net under the checks: no file may raise anything else, be it out of NumPy or zipfile.
    except Exception as error:
        raise one_line_error(name, "cannot be read", error) from None


def _shown(path: str | os.PathLike[str]) -> str:
    text = os.fspath(path)
    return text if text.isprintable() else ascii(text)  # keeps the message on one line
