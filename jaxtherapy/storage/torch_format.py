"""Read and write PyTorch weight files (``.pth``) with NumPy alone.

``save`` writes what ``torch.load(file, weights_only=True)`` reads; ``load`` reads what
``torch.save`` writes. NumPy arrays stand for tensors both ways (``ml_dtypes`` adds bfloat16)::

    save("policy.pth", {"layer.weight": np.zeros((8, 64), np.float32)})
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

**Safety.** A pickle is a program, so ``load`` never hands it to Python's ``pickle``. A machine of
its own runs only the operations that weights need, "calls" only the three functions in
``_Function`` and builds only arrays, dicts, lists, tuples, numbers, strings, booleans and None.
Sizes are checked against the bytes that are really there before anything is allocated: reading
takes at most a few times the size of the file, plus some tens of MB. Whatever is wrong with a
file, ``WeightsFileError`` is what it raises.
"""

import enum
import functools
import io
import math
import os
import pickle  # for the names of its operations
import stat
import struct
import zipfile
import zlib
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np

__all__ = ["WeightsFileError", "dumps", "load", "loads", "save"]

# PyTorch's name of each type of storage, and its elements (little-endian).
_STORAGE_TYPES = {
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}
# By name, because np.longlong and np.int64 are the same type, yet unequal as keys of a dict.
_STORAGE_NAMES = {dtype.name: name for name, dtype in _STORAGE_TYPES.items()}

# Bounds far above any file of weights, so that a hostile one costs little time and memory.
_MAX_OPERATIONS = 200_000  # of the pickle; a tensor takes about 40
_MAX_PICKLE_BYTES = 4 * 2**20
_MAX_RECORDS = 20_000  # one per storage
_MAX_DEPTH = 100  # of containers within containers
_MAX_DIMENSIONS = 32  # NumPy 1 has no more
_MAX_VALUES = 1_000_000  # counting a value at each place where it appears
# Tensors may repeat elements (stride 0). What copies of all of them would take is bounded too, by
# the greater of these two:
_MAX_UNFOLDED_BYTES = 64 * 2**20
_MAX_UNFOLDED_FILE_SIZES = 16

_MAX_FILE_BYTES = 8 * 2**30  # hidden_size 16384 takes 6.5 GB with Adam's moments
_MAGIC_BYTES = 262  # as many as any format takes to be told from others

_ALIGNMENT = 64
_INDEX_ENTRY = b"PK\x01\x02"
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature; lengths of the name and of the extra field


class WeightsFileError(ValueError):
    """A file of weights cannot be read or written. One line: which file, why, what to do."""


class _Refused(Exception):
    """Why, and what to do. `_error` adds the file."""


def _require(condition: bool, reason: str, advice: str = "use an undamaged copy") -> None:
    if not condition:
        raise _Refused(f"{reason}; {advice}")


def save(file: str | os.PathLike[str] | BinaryIO, obj: Any) -> None:
    """Write ``obj`` to a path or a binary file object, for ``torch.load(weights_only=True)``.

    ``obj``: arrays, str, int, float, bool and None, in any nesting of dicts (keys: str or int),
    lists and tuples. Arrays that are views of one base array share a storage, and share memory
    when read back. The same object makes the same bytes. A path is written in place.
    """
    name = _name_of(file)
    contents = _dumps(obj, name)
    try:
        if isinstance(file, (str, os.PathLike)):
            with open(file, "wb") as stream:
                stream.write(contents)
        else:
            file.write(contents)
    except OSError as error:
        raise _error(name, "cannot be written", error) from None


def dumps(obj: Any) -> bytes:
    """The bytes that ``save`` writes."""
    return _dumps(obj, "<bytes>")


def load(file: str | os.PathLike[str] | BinaryIO) -> Any:
    """Read a path or a binary file object. The arrays are writable and independent of the file."""
    name = _name_of(file)
    try:
        if isinstance(file, (str, os.PathLike)):
            mode = os.stat(file).st_mode
            _require(not stat.S_ISDIR(mode), "it is a directory", "give the path of a .pth file")
            # A pipe or a device need never end.
            _require(stat.S_ISREG(mode), "it is no regular file", "give the path of a .pth file")
            with open(file, "rb") as stream:
                start = stream.read(_MAGIC_BYTES)
                _check_magic(start)  # before a huge file of another kind fills the memory
                size = os.fstat(stream.fileno()).st_size
                _require(size <= _MAX_FILE_BYTES, "it is too large", "save nothing but weights")
                contents = start + stream.read(_MAX_FILE_BYTES)
        else:
            contents = file.read()
    except (_Refused, OSError, ValueError, MemoryError) as error:
        raise _error(name, "cannot be read", error) from None
    return _loads(contents, name)


def loads(contents: bytes) -> Any:
    """Read the bytes of a file."""
    return _loads(contents, "<bytes>")


def _name_of(file: Any) -> str:
    is_path = isinstance(file, (str, os.PathLike))
    text = str(file if is_path else getattr(file, "name", "<file object>"))
    return text if text.isprintable() else ascii(text)  # keeps the message on one line


def _error(name: str, what: str, error: Exception) -> WeightsFileError:
    reason = str(error)
    if isinstance(error, OSError):
        reason = f"{error.strerror or error}; check the path and its permissions"
    elif not isinstance(error, _Refused):
        detail = f"{type(error).__name__}: {error}"
        reason = f"it is damaged or incomplete ({detail}); use an undamaged copy"
    return WeightsFileError(f"{name} {what}: {' '.join(reason.split())[:500]}")


def _quoted(text: object) -> str:
    """Text from a file, fit for a one-line message."""
    quoted = ascii(text)
    return quoted if len(quoted) <= 80 else quoted[:77] + "..."


# ----------------------------------------------------------------------------------------- Reading


class _Function(enum.Enum):
    """What a pickle may call. Nothing is imported: `_Machine.call` stands in for them all."""

    ORDERED_DICT = "collections OrderedDict"
    REBUILD_TENSOR = "torch._utils _rebuild_tensor_v2"
    REBUILD_PARAMETER = "torch._utils _rebuild_parameter"


@dataclass(frozen=True, slots=True)
class _Storage:
    elements: np.ndarray


def _loads(contents: bytes, name: str, what: str = "cannot be read") -> Any:
    try:
        _require(isinstance(contents, bytes), "it yields no bytes", "open it in mode 'rb'")
        records = _read_archive(contents)
        byte_order = bytes(records.get("byteorder", b"little")[:10])
        _require(byte_order == b"little", "it is not little-endian", "re-save it on a usual PC")
        obj = _Machine(records).run()
        _check_result(obj, max(_MAX_UNFOLDED_BYTES, _MAX_UNFOLDED_FILE_SIZES * len(contents)))
        return obj
    # The net under the checks: no file may raise anything else, be it out of NumPy or zipfile.
    except Exception as error:
        raise _error(name, what, error) from None


def _check_magic(start: bytes) -> None:
    """What tells a file's format stands in its first bytes."""
    _require(len(start) > 0, "it is empty")
    legacy = start.startswith(b"\x80") or start[257:262] == b"ustar"
    _require(
        not legacy,
        "it has the legacy format of PyTorch before 1.6",
        "if you trust it, torch.load it with a newer PyTorch and torch.save it again",
    )
    _require(start.startswith(b"PK\x03\x04"), "it is not PyTorch's zip format")


def _read_archive(contents: bytes) -> dict[str, memoryview]:
    """The records by their names within the archive's folder, every range of bytes checked."""
    _check_magic(contents[:_MAGIC_BYTES])
    # Counted before zipfile makes an object of each.
    _require(contents.count(_INDEX_ENTRY) <= _MAX_RECORDS, "it has too many records")
    with zipfile.ZipFile(io.BytesIO(contents)) as archive:
        members = sorted(archive.infolist(), key=lambda member: member.header_offset)
        limits = [member.header_offset for member in members[1:]] + [archive.start_dir]

    script = any(member.filename.endswith("/constants.pkl") for member in members)
    _require(not script, "it is a TorchScript program", "save its state_dict() instead")

    records: dict[str, memoryview] = {}
    for member, limit in zip(members, limits, strict=False):
        name, shown = member.orig_filename, f"its record {_quoted(member.orig_filename)}"
        folder, _, key = name.partition("/")
        forbidden = {"", ".", ".."} & set(name.split("/")) or "\\" in name or "\0" in name
        _require(not forbidden and key != "", f"{shown} has a forbidden name")
        _require(folder == members[0].filename.split("/")[0], f"{shown} is in another folder")
        _require(key not in records, f"{shown} appears twice")
        stored = member.compress_type == zipfile.ZIP_STORED and not member.flag_bits & 0x1
        stored = stored and member.compress_size == member.file_size
        _require(stored, f"{shown} is compressed or encrypted", "re-save it with torch.save")

        _require(member.header_offset >= 0, f"{shown} lies outside the file")
        header = _LOCAL_HEADER.unpack_from(contents, member.header_offset)
        signature, name_length, extra_length = header
        start = member.header_offset + _LOCAL_HEADER.size + name_length + extra_length
        end = start + member.file_size
        local_name = contents[start - name_length - extra_length : start - extra_length]
        same_name = local_name == name.encode("utf-8" if member.flag_bits & 0x800 else "cp437")
        _require(signature == b"PK\x03\x04" and same_name, f"{shown} is not where the index says")
        _require(end <= limit, f"{shown} overlaps what follows it")
        records[key] = memoryview(contents)[start:end]
        _require(zlib.crc32(records[key]) == member.CRC, f"{shown} fails its checksum")
    _require("data.pkl" in records, "it has no data.pkl", "give a file that torch.save wrote")
    return records


_CONSTANTS = {pickle.NONE: None, pickle.NEWTRUE: True, pickle.NEWFALSE: False}
_NUMBERS = {
    pickle.BININT: "<i",
    pickle.BININT1: "<B",
    pickle.BININT2: "<H",
    pickle.BINFLOAT: ">d",
}


class _Machine:
    """Runs the pickle: a stack of values, the stacks set aside at marks, and a memo."""

    def __init__(self, records: Mapping[str, memoryview]) -> None:
        size = len(records["data.pkl"])
        _require(size <= _MAX_PICKLE_BYTES, "its data.pkl is huge", "save nothing but weights")
        self.records = records
        self.program = io.BytesIO(records["data.pkl"])
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, _Storage] = {}

    def run(self) -> Any:
        for _ in range(_MAX_OPERATIONS):
            operation = self.take(1)
            if operation == pickle.STOP:
                return self.stack.pop()
            self.step(operation)
        raise _Refused("its data.pkl has too many operations; save nothing but weights")

    def take(self, count: int) -> bytes:
        taken = self.program.read(count)
        _require(len(taken) == count, "its data.pkl ends too early")
        return taken

    def number(self, layout: str) -> Any:
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marked.pop()
        return items

    def step(self, operation: bytes) -> None:
        stack, pop = self.stack, self.stack.pop
        match operation:
            case pickle.PROTO:
                _require(
                    self.take(1) == b"\x02", "its pickle protocol is not 2", "re-save it with 2"
                )
            case pickle.NONE | pickle.NEWTRUE | pickle.NEWFALSE:
                stack.append(_CONSTANTS[operation])
            case pickle.BININT | pickle.BININT1 | pickle.BININT2 | pickle.BINFLOAT:
                stack.append(self.number(_NUMBERS[operation]))
            case pickle.LONG1:
                digits = self.take(self.number("<B"))
                stack.append(int.from_bytes(digits, "little", signed=True))
            case pickle.BINUNICODE:
                stack.append(self.take(self.number("<I")).decode())
            case pickle.EMPTY_DICT:
                stack.append({})
            case pickle.EMPTY_LIST:
                stack.append([])
            case pickle.EMPTY_TUPLE:
                stack.append(())
            case pickle.MARK:
                self.marked.append(stack)
                self.stack = []
            case pickle.TUPLE:
                items = self.since_mark()
                self.stack.append(tuple(items))
            case pickle.TUPLE1 | pickle.TUPLE2 | pickle.TUPLE3:
                items = [pop() for _ in range(1 + operation[0] - pickle.TUPLE1[0])]
                stack.append(tuple(reversed(items)))
            case pickle.APPEND:
                self.extend([pop()])
            case pickle.APPENDS:
                self.extend(self.since_mark())
            case pickle.SETITEM:
                value, key = pop(), pop()
                self.set_items([key, value])
            case pickle.SETITEMS:
                self.set_items(self.since_mark())
            case pickle.BINPUT | pickle.LONG_BINPUT:
                self.memo[self.number("<B" if operation == pickle.BINPUT else "<I")] = stack[-1]
            case pickle.BINGET | pickle.LONG_BINGET:
                stack.append(self.memo[self.number("<B" if operation == pickle.BINGET else "<I")])
            case pickle.GLOBAL:
                module, name = self.program.readline(200), self.program.readline(200)
                stack.append(self.find_global((module + name).decode()))
            case pickle.BINPERSID:
                stack.append(self.find_storage(pop()))
            case pickle.REDUCE:
                arguments, function = pop(), pop()
                stack.append(self.call(function, arguments))
            case pickle.BUILD:
                # A state dict carries its modules' versions as an attribute; nothing here needs it.
                pop()
                is_state_dict = type(stack[-1]) is OrderedDict
                _require(is_state_dict, "it sets attributes of what has none", "do not trust it")
            case _:
                raise _Refused(f"weights need no pickle operation {operation!r}; do not trust it")

    def extend(self, items: list[Any]) -> None:
        _require(type(self.stack[-1]) is list, "it appends to what is no list")
        self.stack[-1].extend(items)

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        _require(type(target) in (dict, OrderedDict), "it sets items of what is no dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Neither tuples nor long integers: no deep keys, no floods of keys with equal hashes.
            fine = type(key) is str or (type(key) is int and -(2**63) <= key < 2**63)
            _require(fine, "a dict has a key that is neither str nor 64-bit int", "change the key")
            target[key] = value

    def find_global(self, lines: str) -> _Function | np.dtype:
        module, _, name = lines.removesuffix("\n").partition("\n")
        if module == "torch" and name in _STORAGE_TYPES:
            return _STORAGE_TYPES[name]
        known = f"{module} {name}" in {function.value for function in _Function}
        advice = "if you trust it, re-save its state_dict() alone, without NumPy's or other objects"
        _require(known, f"weights need no {_quoted(f'{module}.{name}')}", advice)
        return _Function(f"{module} {name}")

    def find_storage(self, persistent_id: Any) -> _Storage:
        # Types before values, here and in `call`: to compare arrays with values could be costly.
        match persistent_id:
            case (str(kind), np.dtype() as dtype, str(key), str(), int(count)):
                _require(kind == "storage", "it refers to something other than a storage")
            case _:
                raise _Refused("it refers to something other than a storage; do not trust it")
        shown = f"its storage {_quoted(key)}"
        if key not in self.storages:
            _require(f"data/{key}" in self.records, f"{shown} is missing")
            # A copy, so that it can be written to and does not keep the whole file in memory.
            raw = np.frombuffer(bytearray(self.records[f"data/{key}"]), np.uint8)
            _require(len(raw) % dtype.itemsize == 0, f"{shown} ends within an element")
            legal = dtype.kind != "b" or not (raw > 1).any()
            _require(legal, f"{shown} has booleans that are neither 0 nor 1")
            self.storages[key] = _Storage(raw.view(dtype))
        elements = self.storages[key].elements
        _require(elements.dtype == dtype, f"{shown} is used with two types")
        _require(len(elements) == count, f"{shown} is not as long as its tensors say")
        return self.storages[key]

    def call(self, function: Any, arguments: Any) -> Any:
        _require(isinstance(function, _Function), "it calls what is no function", "do not trust it")
        match function, arguments:
            case _Function.ORDERED_DICT, ():
                return OrderedDict()
            case _Function.REBUILD_PARAMETER, (np.ndarray() as array, bool(), OrderedDict()):
                return array
            case (
                _Function.REBUILD_TENSOR,
                (_Storage(elements), offset, tuple(size), tuple(stride), bool(), OrderedDict()),
            ):
                return _view(elements, offset, size, stride)
        raise _Refused(f"its arguments of {function.value} are not PyTorch's; do not trust it")


def _view(elements: np.ndarray, offset: Any, size: Any, stride: Any) -> np.ndarray:
    """The view of a storage that a tensor is."""
    numbers = (offset, *size, *stride)
    _require(len(size) == len(stride) <= _MAX_DIMENSIONS, "a tensor has an impossible shape")
    valid = all(type(number) is int and 0 <= number < 2**48 for number in numbers)
    _require(valid, "a tensor has an impossible shape, stride or offset")
    # What an axis of length 1 has for a stride is never used, and may be anything.
    strides = [step if extent > 1 else 1 for extent, step in zip(size, stride, strict=True)]
    if 0 in size:
        _require(math.prod(filter(None, size)) < 2**48, "a tensor has an impossible shape")
        return np.empty(size, elements.dtype)
    last = offset + sum((extent - 1) * step for extent, step in zip(size, strides, strict=True))
    _require(last < len(elements), "a tensor reaches beyond its storage")
    item = elements.dtype.itemsize
    byte_strides = [step * item for step in strides]
    return np.ndarray(size, elements.dtype, elements, offset * item, byte_strides)


def _check_result(obj: Any, max_bytes: int) -> None:
    """Refuse what would hang or flood whoever walks through the object: containers in themselves,
    great depth, values repeated endlessly by reference, arrays whose copies would be huge."""
    measures: dict[int, tuple[int, int, int]] = {}  # by id of a container

    def measure(value: Any, depth: int) -> tuple[int, int, int]:
        """Height, number of values and bytes that a value unfolds into."""
        if type(value) is np.ndarray:
            return 0, 1, value.size * value.itemsize
        if value is None or type(value) in (bool, int, float, str):
            return 0, 1, 0
        is_container = type(value) in (dict, OrderedDict, list, tuple)
        _require(is_container, "it has a loose part of a tensor as a value", "do not trust it")
        if id(value) in measures:
            height, count, size = measures[id(value)]
        else:
            height, count, size = 1, 1, 0
            for child in value.values() if isinstance(value, dict) else value:
                _require(depth < _MAX_DEPTH, "it nests too deep or contains itself", "flatten it")
                child_height, child_count, child_size = measure(child, depth + 1)
                height = max(height, 1 + child_height)
                count, size = count + child_count, size + child_size
            if count > 1:
                measures[id(value)] = height, count, size
        _require(depth + height <= _MAX_DEPTH + 1, "it nests too deep", "flatten it")
        return height, count, size

    _, count, size = measure(obj, 0)
    _require(count <= _MAX_VALUES, "it unfolds into too many values", "save nothing but weights")
    _require(size <= max_bytes, "its tensors repeat elements too often", "save .contiguous() ones")


# ----------------------------------------------------------------------------------------- Writing


def _dumps(obj: Any, name: str) -> bytes:
    try:
        writer = _Writer(obj)
        contents = writer.archive()
    except RecursionError:
        problem = _Refused("it nests too deep or contains itself; flatten it")
        raise _error(name, "cannot be written", problem) from None
    except _Refused as error:
        raise _error(name, "cannot be written", error) from None
    # The same bounds: all that is written can be read. Hundreds of seeds have the same outline, and
    # what is refused depends on nothing else but the one thing that their numbers could look like.
    outline = writer.outline()
    if outline not in _readable or contents.count(_INDEX_ENTRY) > _MAX_RECORDS:
        _loads(contents, name, "cannot be written")
        _readable.append(outline)
    return contents


_Outline = tuple[bytes, tuple[int | bytes, ...]]
_readable: deque[_Outline] = deque(maxlen=8)
"""Outlines of the latest contents that were read back. Threads may share it: one that misses
another's entry reads back once more."""


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


class _Writer:
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
                raise _Refused(f"{where} is of type {type(value).__name__}; {advice}")

    def place(self, array: np.ndarray, where: str) -> tuple[np.ndarray, _Span]:
        """Find or make the span in which an array lies; copy what PyTorch has no view for."""
        supported = array.dtype.name in _STORAGE_NAMES
        _require(supported, f"{where} has dtype {array.dtype}", f"use one of {[*_STORAGE_NAMES]}")
        dtype = _STORAGE_TYPES[_STORAGE_NAMES[array.dtype.name]]
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
        operations = [x if isinstance(x, bytes) else _tensor(*x) for x in self.operations]
        return b"".join([pickle.PROTO + b"\x02", *operations, pickle.STOP])

    def outline(self) -> _Outline:
        """All but the elements of the arrays; of booleans, these too: not every byte is one."""
        spans = self.spans.values()
        return self.program, tuple(
            bytes(span.contents()) if span.dtype == np.bool_ else span.high - span.low
            for span in spans
        )

    def archive(self) -> bytes:
        records: dict[str, Any] = {"data.pkl": self.program, "byteorder": b"little"}
        records |= {f"data/{span.key}": span.contents() for span in self.spans.values()}
        records["version"] = b"3\n"
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, contents in records.items():
                # A fixed date and system (Unix), so that the same object makes the same bytes.
                record = zipfile.ZipInfo(f"archive/{name}", date_time=(1980, 1, 1, 0, 0, 0))
                record.create_system = 3
                # Like PyTorch, pad with an extra field "FB" to where the contents are aligned.
                unpadded = buffer.tell() + _LOCAL_HEADER.size + len(record.filename) + 4
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
        raise _Refused(f"its string {_quoted(value)} is not valid Unicode; correct it") from None
    return pickle.BINUNICODE + struct.pack("<I", len(encoded)) + encoded


def _integer(value: int) -> bytes:
    if -(2**31) <= value < 2**31:
        return pickle.BININT + struct.pack("<i", value)
    length = value.bit_length() // 8 + 1
    _require(length <= 255, "it has an integer of more than 255 bytes", "shorten it")
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
        pickle.MARK + _string("storage") + _global("torch", _STORAGE_NAMES[span.dtype.name]),
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
