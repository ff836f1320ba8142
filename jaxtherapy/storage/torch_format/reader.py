"""Reading: the archive, its pickle, and what is refused of both.

A pickle is a program, so it is never handed to Python's ``pickle``: ``pickletools`` tells its
operations, of which a machine of ours runs only those that weights need. It "calls" only the three
functions in ``_Function`` and builds only arrays, dicts, lists, tuples, numbers, strings, booleans
and None. Sizes are checked against the bytes that are really there before anything is allocated:
reading takes at most a few times the size of the file, plus some tens of MB.
"""

import enum
import io
import math
import pickletools
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxtherapy.storage.torch_format.common import (
    INDEX_ENTRY,
    LOCAL_HEADER,
    MAX_RECORDS,
    STORAGE_TYPES,
    Refused,
    quoted,
    require,
)

# Bounds far above any file of weights, so that a hostile one costs little time and memory.
_MAX_OPERATIONS = 200_000  # of the pickle; a tensor takes about 40
_MAX_PICKLE_BYTES = 4 * 2**20
_MAX_DEPTH = 100  # of containers within containers
_MAX_DIMENSIONS = 32  # NumPy 1 has no more
_MAX_VALUES = 1_000_000  # counting a value at each place where it appears
# Tensors may repeat elements (stride 0). What copies of all of them would take is bounded too, by
# the greater of these two:
_MAX_UNFOLDED_BYTES = 64 * 2**20
_MAX_UNFOLDED_FILE_SIZES = 16

MAGIC_BYTES = 262  # as many as any format takes to be told from others


class _Function(enum.Enum):
    """What a pickle may call. Nothing is imported: `_Machine.call` stands in for them all."""

    ORDERED_DICT = "collections OrderedDict"
    REBUILD_TENSOR = "torch._utils _rebuild_tensor_v2"
    REBUILD_PARAMETER = "torch._utils _rebuild_parameter"


@dataclass(frozen=True, slots=True)
class _Storage:
    elements: np.ndarray


def parse(contents: bytes) -> Any:
    """The object in a file's bytes.
    Raises Exception: of whatever kind, out of NumPy or zipfile too, where it is refused."""
    require(isinstance(contents, bytes), "it yields no bytes", "open it in mode 'rb'")
    records = _read_archive(contents)
    byte_order = bytes(records.get("byteorder", b"little")[:10])
    require(byte_order == b"little", "it is not little-endian", "re-save it on a usual PC")
    obj = _Machine(records).run()
    _check_result(obj, max(_MAX_UNFOLDED_BYTES, _MAX_UNFOLDED_FILE_SIZES * len(contents)))
    return obj


def check_magic(start: bytes) -> None:
    """What tells a file's format stands in its first bytes."""
    require(len(start) > 0, "it is empty")
    legacy = start.startswith(b"\x80") or start[257:262] == b"ustar"
    require(
        not legacy,
        "it has the legacy format of PyTorch before 1.6",
        "if you trust it, torch.load it with a newer PyTorch and torch.save it again",
    )
    require(
        start.startswith(b"PK\x03\x04"),
        "it is not PyTorch's zip format",
        "give an undamaged .pth file",
    )


def _read_archive(contents: bytes) -> dict[str, memoryview]:
    """The records by their names within the archive's folder, every range of bytes checked."""
    check_magic(contents[:MAGIC_BYTES])
    # Counted before zipfile makes an object of each.
    require(contents.count(INDEX_ENTRY) <= MAX_RECORDS, "it has too many records")
    with zipfile.ZipFile(io.BytesIO(contents)) as archive:
        members = sorted(archive.infolist(), key=lambda member: member.header_offset)
        limits = [member.header_offset for member in members[1:]] + [archive.start_dir]

    script = any(member.filename.endswith("/constants.pkl") for member in members)
    require(not script, "it is a TorchScript program", "save its state_dict() instead")

    records: dict[str, memoryview] = {}
    for member, limit in zip(members, limits, strict=False):
        name, shown = member.orig_filename, f"its record {quoted(member.orig_filename)}"
        folder, _, key = name.partition("/")
        forbidden = {"", ".", ".."} & set(name.split("/")) or "\\" in name or "\0" in name
        require(not forbidden and key != "", f"{shown} has a forbidden name")
        require(folder == members[0].filename.split("/")[0], f"{shown} is in another folder")
        require(key not in records, f"{shown} appears twice")
        stored = member.compress_type == zipfile.ZIP_STORED and not member.flag_bits & 0x1
        stored = stored and member.compress_size == member.file_size
        require(stored, f"{shown} is compressed or encrypted", "re-save it with torch.save")

        require(member.header_offset >= 0, f"{shown} lies outside the file")
        header = LOCAL_HEADER.unpack_from(contents, member.header_offset)
        signature, name_length, extra_length = header
        start = member.header_offset + LOCAL_HEADER.size + name_length + extra_length
        end = start + member.file_size
        local_name = contents[start - name_length - extra_length : start - extra_length]
        same_name = local_name == name.encode("utf-8" if member.flag_bits & 0x800 else "cp437")
        require(signature == b"PK\x03\x04" and same_name, f"{shown} is not where the index says")
        require(end <= limit, f"{shown} overlaps what follows it")
        records[key] = memoryview(contents)[start:end]
        require(zlib.crc32(records[key]) == member.CRC, f"{shown} fails its checksum")
    require("data.pkl" in records, "it has no data.pkl", "give a file that torch.save wrote")
    return records


_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_VALUES = ("BININT", "BININT1", "BININT2", "BINFLOAT", "LONG1")
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Machine:
    """Runs the pickle: a stack of values, the stacks set aside at marks, and a memo."""

    def __init__(self, records: Mapping[str, memoryview]) -> None:
        size = len(records["data.pkl"])
        require(size <= _MAX_PICKLE_BYTES, "its data.pkl is huge", "save nothing but weights")
        self.records = records
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, _Storage] = {}

    def run(self) -> Any:
        operations = pickletools.genops(io.BytesIO(self.records["data.pkl"]))
        for _, (operation, argument, _) in zip(range(_MAX_OPERATIONS), operations, strict=False):
            if operation.name == "STOP":
                return self.stack.pop()
            self.step(operation.name, argument)
        raise Refused("its data.pkl has too many operations; save nothing but weights")

    def since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marked.pop()
        return items

    def step(self, operation: str, argument: Any) -> None:
        stack, pop = self.stack, self.stack.pop
        match operation:
            case "PROTO":
                require(argument == 2, "its pickle protocol is not 2", "re-save it with 2")
            case _ if operation in _CONSTANTS:
                stack.append(_CONSTANTS[operation])
            case _ if operation in _VALUES:
                stack.append(argument)
            case "BINUNICODE":
                argument.encode()  # raises an error where pickletools lets half a character pass
                stack.append(argument)
            case _ if operation in _EMPTY:
                stack.append(_EMPTY[operation]())
            case "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(self.memo[argument])
            case "MARK":
                self.marked.append(stack)
                self.stack = []
            case "TUPLE":
                items = self.since_mark()
                self.stack.append(tuple(items))
            case _ if operation in _TUPLES:
                items = [pop() for _ in range(_TUPLES[operation])]
                stack.append(tuple(reversed(items)))
            case "APPEND":
                self.extend([pop()])
            case "APPENDS":
                self.extend(self.since_mark())
            case "SETITEM":
                value, key = pop(), pop()
                self.set_items([key, value])
            case "SETITEMS":
                self.set_items(self.since_mark())
            case "GLOBAL":
                stack.append(self.find_global(*argument.split(" ", 1)))
            case "BINPERSID":
                stack.append(self.find_storage(pop()))
            case "REDUCE":
                arguments, function = pop(), pop()
                stack.append(self.call(function, arguments))
            case "BUILD":
                # A state dict carries its modules' versions as an attribute; nothing here needs it.
                pop()
                is_state_dict = type(stack[-1]) is OrderedDict
                require(is_state_dict, "it sets attributes of what has none", "do not trust it")
            case _:
                raise Refused(f"weights need no pickle operation {operation}; do not trust it")

    def extend(self, items: list[Any]) -> None:
        require(type(self.stack[-1]) is list, "it appends to what is no list")
        self.stack[-1].extend(items)

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        require(type(target) in (dict, OrderedDict), "it sets items of what is no dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Neither tuples nor long integers: no deep keys, no floods of keys with equal hashes.
            fine = type(key) is str or (type(key) is int and -(2**63) <= key < 2**63)
            require(fine, "a dict has a key that is neither str nor 64-bit int", "change the key")
            target[key] = value

    def find_global(self, module: str, name: str) -> _Function | np.dtype:
        if module == "torch" and name in STORAGE_TYPES:
            return STORAGE_TYPES[name]
        known = f"{module} {name}" in {function.value for function in _Function}
        advice = "if you trust it, re-save its state_dict() alone, without NumPy's or other objects"
        require(known, f"weights need no {quoted(f'{module}.{name}')}", advice)
        return _Function(f"{module} {name}")

    def find_storage(self, persistent_id: Any) -> _Storage:
        # Types before values, here and in `call`: to compare arrays with values could be costly.
        match persistent_id:
            case (str(kind), np.dtype() as dtype, str(key), str(), int(count)):
                require(kind == "storage", "it refers to something other than a storage")
            case _:
                raise Refused("it refers to something other than a storage; do not trust it")
        shown = f"its storage {quoted(key)}"
        if key not in self.storages:
            require(f"data/{key}" in self.records, f"{shown} is missing")
            # A copy, so that it can be written to and does not keep the whole file in memory.
            raw = np.frombuffer(bytearray(self.records[f"data/{key}"]), np.uint8)
            require(len(raw) % dtype.itemsize == 0, f"{shown} ends within an element")
            legal = dtype.kind != "b" or not (raw > 1).any()
            require(legal, f"{shown} has booleans that are neither 0 nor 1")
            self.storages[key] = _Storage(raw.view(dtype))
        elements = self.storages[key].elements
        require(elements.dtype == dtype, f"{shown} is used with two types")
        require(len(elements) == count, f"{shown} is not as long as its tensors say")
        return self.storages[key]

    def call(self, function: Any, arguments: Any) -> Any:
        require(isinstance(function, _Function), "it calls what is no function", "do not trust it")
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
        raise Refused(f"its arguments of {function.value} are not PyTorch's; do not trust it")


def _view(elements: np.ndarray, offset: Any, size: Any, stride: Any) -> np.ndarray:
    """The view of a storage that a tensor is."""
    numbers = (offset, *size, *stride)
    require(len(size) == len(stride) <= _MAX_DIMENSIONS, "a tensor has an impossible shape")
    valid = all(type(number) is int and 0 <= number < 2**48 for number in numbers)
    require(valid, "a tensor has an impossible shape, stride or offset")
    # What an axis of length 1 has for a stride is never used, and may be anything.
    strides = [step if extent > 1 else 1 for extent, step in zip(size, stride, strict=True)]
    if 0 in size:
        require(math.prod(filter(None, size)) < 2**48, "a tensor has an impossible shape")
        return np.empty(size, elements.dtype)
    last = offset + sum((extent - 1) * step for extent, step in zip(size, strides, strict=True))
    require(last < len(elements), "a tensor reaches beyond its storage")
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
        require(is_container, "it has a loose part of a tensor as a value", "do not trust it")
        if id(value) in measures:
            height, count, size = measures[id(value)]
        else:
            height, count, size = 1, 1, 0
            for child in value.values() if isinstance(value, dict) else value:
                require(depth < _MAX_DEPTH, "it nests too deep or contains itself", "flatten it")
                child_height, child_count, child_size = measure(child, depth + 1)
                height = max(height, 1 + child_height)
                count, size = count + child_count, size + child_size
            if count > 1:
                measures[id(value)] = height, count, size
        require(depth + height <= _MAX_DEPTH + 1, "it nests too deep", "flatten it")
        return height, count, size

    _, count, size = measure(obj, 0)
    require(count <= _MAX_VALUES, "it unfolds into too many values", "save nothing but weights")
    require(size <= max_bytes, "its tensors repeat elements too often", "save .contiguous() ones")
