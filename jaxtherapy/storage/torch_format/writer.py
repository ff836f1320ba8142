"""Writing: the pickle of an object, and the storages that its arrays lie in."""

import functools
import io
import pickle  # for the names of its operations
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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


@dataclass(slots=True)
class _Span:
    """The bytes of a base array, from ``low`` to ``high``, that its views cover: a storage."""

    key: str
    base: np.ndarray
    dtype: np.dtype
    low: int
    high: int

    def contents(self) -> memoryview:
        start = self.low - _address(self.base)
        # Not a copy, because the base is contiguous.
        raw = np.asarray(self.base).ravel(order="K").view(np.uint8)
        return raw[start : start + self.high - self.low].data


def _address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


class Writer:
    """The operations that build an object, and the spans of memory that its arrays cover."""

    def __init__(self, obj: Any) -> None:
        # Arrays leave themselves and their spans here: where those start is known only at the end.
        self.operations: list[bytes | tuple[np.ndarray, _Span]] = []
        self.spans: dict[tuple[int, str, int], _Span] = {}
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
                put(self.place(value, where))
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

    def place(self, array: np.ndarray, where: str) -> tuple[np.ndarray, _Span]:
        """Find or make the span in which an array lies; copy what PyTorch has no view for."""
        supported = array.dtype.name in STORAGE_NAMES
        require(supported, f"{where} has dtype {array.dtype}", f"use one of {[*STORAGE_NAMES]}")
        dtype = STORAGE_TYPES[STORAGE_NAMES[array.dtype.name]]
        base = array
        while isinstance(base.base, np.ndarray):
            base = base.base
        low, item = _address(array), dtype.itemsize
        axes = list(zip(array.shape, array.strides, strict=True))
        high = low + sum((extent - 1) * step for extent, step in axes) + item
        if (
            array.dtype != dtype  # of the other byte order
            or any(step < 0 or step % item for _, step in axes)
            or not 0 < array.nbytes <= high - low  # empty, or elements repeat
            or not (base.flags.c_contiguous or base.flags.f_contiguous)
            or base.dtype.hasobject
        ):
            array = base = np.array(array, dtype, order="C")
            low, high = _address(array), _address(array) + array.nbytes
        # As in PyTorch, all elements of a storage are of one type, and none begins within another.
        new_span = _Span(str(len(self.spans)), base, dtype, low, high)
        span = self.spans.setdefault((id(base), dtype.name, low % item), new_span)
        span.low, span.high = min(span.low, low), max(span.high, high)
        return array, span

    @functools.cached_property
    def program(self) -> bytes:
        """The pickle."""
        operations = [x if isinstance(x, bytes) else _tensor(*x) for x in self.operations]
        return b"".join([pickle.PROTO + b"\x02", *operations, pickle.STOP])

    def contents(self) -> bytes:
        """The file.

        Raises:
            Exception: it could not be read back.
        """
        spans = self.spans.values()
        # The same bounds: all that is written can be read. What is refused depends on no elements
        # but booleans, not every byte of which is one, so seeds by the hundred are read back once.
        _read_back(
            self.program,
            tuple(
                bytes(span.contents()) if span.dtype == np.bool_ else span.high - span.low
                for span in spans
            ),
        )
        contents = _archive(self.program, [span.contents() for span in spans])
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


def _tensor(array: np.ndarray, span: _Span) -> bytes:
    """The operations that build a tensor."""
    item = span.dtype.itemsize
    strides: list[int] = []
    contiguous = 1
    for extent, step in zip(reversed(array.shape), reversed(array.strides), strict=True):
        # Where a stride means nothing, NumPy has anything, and PyTorch what is here.
        strides.insert(0, step // item if extent > 1 and array.size else contiguous)
        contiguous = max(extent, 1) * strides[0]
    storage = [
        pickle.MARK + _string("storage") + _global("torch", STORAGE_NAMES[span.dtype.name]),
        _string(span.key) + _string("cpu") + _integer((span.high - span.low) // item),
        pickle.TUPLE + pickle.BINPERSID,
    ]
    view = [
        _integer((_address(array) - span.low) // item),
        _integers(array.shape) + _integers(strides),
        pickle.NEWFALSE + _ORDERED_DICT,  # requires_grad, hooks
    ]
    function = _global("torch._utils", "_rebuild_tensor_v2")
    return b"".join([function, pickle.MARK, *storage, *view, pickle.TUPLE, pickle.REDUCE])
