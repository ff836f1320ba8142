"""Writing: the pickle of an object, and the storages that its arrays lie in."""

import functools
import io
import math
import pickle  # for the names of its operations
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from jaxtherapy.storage.torch_format.common import (
    INDEX_ENTRY,
    LOCAL_HEADER,
    MAX_RECORDS,
    STORAGE_NAMES,
    STORAGE_TYPES,
    Refused,
    quoted,
    require,
)
from jaxtherapy.storage.torch_format.reader import parse

_ALIGNMENT = 64


class Writer:
    """The operations that build an object, and the arrays in it."""

    def __init__(self, obj: Any) -> None:
        self.operations: list[bytes] = []
        self.storages: dict[Any, tuple[str, np.ndarray]] = {}
        """By the memory that an array in the object shows, its key and its elements."""
        self.write(obj, "it")

    def write(self, value: Any, where: str) -> None:
        """Add the operations that build a value. ``where`` names it in messages."""
        put = self.operations.append
        match value:
            case None:
                put(pickle.NONE)
            case bool():
                put(pickle.NEWTRUE if value else pickle.NEWFALSE)
            case int():
                put(_integer(value))
            case float():
                put(pickle.BINFLOAT + struct.pack(">d", value))
            case str():
                put(_string(value))
            case np.ndarray():
                put(self.tensor(value, where))
            case dict():
                put(_ORDERED_DICT if isinstance(value, OrderedDict) else pickle.EMPTY_DICT)
                put(pickle.MARK)
                for key, item in value.items():
                    self.write(key, f"a key of {where}")
                    self.write(item, f"{where}[{key!r}]")
                put(pickle.SETITEMS)
            case list() | tuple():
                put(pickle.EMPTY_LIST + pickle.MARK if isinstance(value, list) else pickle.MARK)
                for index, item in enumerate(value):
                    self.write(item, f"{where}[{index}]")
                put(pickle.APPENDS if isinstance(value, list) else pickle.TUPLE)
            case _:
                advice = "use NumPy arrays, dicts, lists, tuples, str, int, float, bool or None"
                raise Refused(f"{where} is of type {type(value).__name__}; {advice}")

    def tensor(self, array: np.ndarray, where: str) -> bytes:
        """The operations that build a tensor, whose elements are stored once."""
        name = STORAGE_NAMES.get(array.dtype.name, "")
        require(name != "", f"{where} has dtype {array.dtype}", f"use one of {[*STORAGE_NAMES]}")
        elements = np.asarray(array, STORAGE_TYPES[name], order="C").reshape(-1)
        memory = array.__array_interface__["data"], array.shape, array.strides, array.dtype
        key, _ = self.storages.setdefault(memory, (str(len(self.storages)), elements))
        inner = (array.shape[axis + 1 :] for axis in range(array.ndim))
        strides = [math.prod(max(extent, 1) for extent in extents) for extents in inner]
        storage = [
            pickle.MARK + _string("storage") + _global("torch", name),
            _string(key) + _string("cpu") + _integer(array.size),
            pickle.TUPLE + pickle.BINPERSID,
        ]
        view = [
            _integer(0) + _integers(array.shape) + _integers(strides),
            pickle.NEWFALSE + _ORDERED_DICT,  # requires_grad, hooks
        ]
        function = _global("torch._utils", "_rebuild_tensor_v2")
        return b"".join([function, pickle.MARK, *storage, *view, pickle.TUPLE, pickle.REDUCE])

    def contents(self) -> bytes:
        """The file. Raises Exception: it could not be read back."""
        program = b"".join([pickle.PROTO + b"\x02", *self.operations, pickle.STOP])
        arrays = [elements for _, elements in self.storages.values()]
        storages = [each.view(np.uint8).data for each in arrays]
        # The same bounds: all that is written can be read. What is refused depends on no elements
        # but booleans, not every byte of which is one, so seeds by the hundred are read back once.
        _read_back(
            program, tuple(each.tobytes() if each.dtype == bool else each.nbytes for each in arrays)
        )
        contents = _archive(program, storages)
        if contents.count(INDEX_ENTRY) > MAX_RECORDS:  # the numbers look like it
            parse(contents)
        return contents


@functools.lru_cache(maxsize=8)
def _read_back(program: bytes, storages: tuple[bytes | int, ...]) -> None:
    """Reads what would be written, with zeros for elements that don't matter (their number)."""
    parse(_archive(program, [bytes(storage) for storage in storages]))


def _archive(program: bytes, storages: Sequence[bytes | memoryview]) -> bytes:
    records: dict[str, Any] = {"data.pkl": program, "byteorder": b"little"}
    records |= {f"data/{key}": contents for key, contents in enumerate(storages)}
    records["version"] = b"3\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, contents in records.items():
            # A fixed date and system (Unix), so that the same object makes the same bytes.
            record = zipfile.ZipInfo(f"archive/{name}", date_time=(1980, 1, 1, 0, 0, 0))
            record.create_system = 3
            # Like PyTorch, pad with an extra field "FB" to where the contents are aligned.
            unpadded = buffer.tell() + LOCAL_HEADER.size + len(record.filename) + 4
            padding = -unpadded % _ALIGNMENT
            record.extra = b"FB" + struct.pack("<H", padding) + b"Z" * padding
            archive.writestr(record, contents)
    return buffer.getvalue()


def _global(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


_ORDERED_DICT = _global("collections", "OrderedDict") + pickle.EMPTY_TUPLE + pickle.REDUCE


def _string(value: str) -> bytes:
    try:
        encoded = value.encode()
    except UnicodeEncodeError:
        raise Refused(f"its string {quoted(value)} is not valid Unicode; correct it") from None
    return pickle.BINUNICODE + struct.pack("<I", len(encoded)) + encoded


def _integer(value: int) -> bytes:
    if -(2**31) <= value < 2**31:
        return pickle.BININT + struct.pack("<i", value)
    length = value.bit_length() // 8 + 1
    require(length <= 255, "it has an integer of more than 255 bytes", "shorten it")
    return pickle.LONG1 + bytes([length]) + value.to_bytes(length, "little", signed=True)


def _integers(values: Iterable[int]) -> bytes:
    return pickle.MARK + b"".join(map(_integer, values)) + pickle.TUPLE
