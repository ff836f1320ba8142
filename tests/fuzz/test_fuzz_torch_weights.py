"""Whatever bytes it is given, the reader of weight files returns or raises its own error.

The number of inputs is JAXTHERAPY_FUZZ_INPUTS (default 2 000; `make test-hard` takes 20 000); they
are the same in every run.
"""

import io
import itertools
import os
import pickle
import pickletools
import random
import struct
import sys
import tracemalloc
import warnings
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jaxtherapy.storage.torch_format import WeightsFileError, dumps, load, loads

INPUTS = int(os.environ.get("JAXTHERAPY_FUZZ_INPUTS", "2000"))
DATA = Path(__file__).parents[1] / "data"
MEASURE_EVERY = 20  # inputs; the tracing of memory is slow

# ------------------------------------------------------------------------------------ The verdict

# What would show that an input had something run, opened or imported. "import" itself is left out:
# NumPy imports lazily.
SUSPECT_EVENTS = ("exec", "compile", "open", "os.", "subprocess.", "pickle.", "socket.", "ctypes.")
suspects: list[str] | None = None


def watch(event: str, arguments: object) -> None:
    if suspects is not None and event.startswith(SUSPECT_EVENTS):
        suspects.append(f"{event}{arguments}")


sys.addaudithook(watch)  # it stays until the process ends, idle while `suspects` is None


@contextmanager
def nothing_runs():
    global suspects
    suspects = []
    try:
        yield
        assert suspects == []
    finally:
        suspects = None


def assert_plain(value: Any, depth: int = 0) -> None:
    assert depth <= 101
    if isinstance(value, dict):
        assert type(value) in (dict, OrderedDict)
        for key, item in value.items():
            assert type(key) in (str, int)
            assert_plain(item, depth + 1)
    elif isinstance(value, (list, tuple)):
        assert type(value) in (list, tuple)
        for item in value:
            assert_plain(item, depth + 1)
    elif isinstance(value, np.ndarray):
        if 0 < value.size < 10**6:
            value.copy()  # reads every element that it claims
    else:
        assert value is None or type(value) in (bool, int, float, str)


def verdict(contents: bytes) -> str:
    """Read an input; fail on whatever but a plain result or an honest refusal."""
    try:
        with nothing_runs():
            result = loads(contents)
    except WeightsFileError as error:
        message = str(error)
        assert message.isprintable() and len(message) < 500
        return "refused"
    assert_plain(result)
    return "read"


def verdict_and_memory(contents: bytes) -> str:
    tracemalloc.start()
    try:
        result = verdict(contents)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # A copy of an array that repeats an element may have 10**6 of them, see `assert_plain`.
    assert peak < 2**20 + 30 * len(contents) + (8 * 10**6 if result == "read" else 0)
    return result


# ------------------------------------------------------------------------------------- The inputs


def archive(program: bytes, storages: dict[str, bytes], chance: random.Random) -> bytes:
    """A readable archive with correct checksums around a pickle program."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as output, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # duplicated names
        output.writestr("archive/data.pkl", program)
        if chance.random() < 0.9:
            output.writestr("archive/byteorder", b"little")
        for key, contents in storages.items():
            output.writestr(f"archive/data/{key}", contents)
    return buffer.getvalue()


def seeds() -> list[bytes]:
    base = np.arange(24, dtype=np.float32).reshape(4, 6)
    objects: list[Any] = [
        None,
        {"a": base, "b": base.T, "c": base[1:3, ::2], "d": [base[0], (base[2, 3:4].reshape(()),)]},
        [np.ones(3, t) for t in (np.float64, np.float16, ml_dtypes.bfloat16, np.int64, np.int32)],
        [np.ones(3, t) for t in (np.int16, np.int8, np.uint8, np.bool_)] + [np.zeros((0, 2))],
        OrderedDict(text="ü" * 9, numbers=[1, -1, 300, 2**40, 1.5], flags=(True, False, None)),
        {"optim": {"state": {0: {"step": np.asarray(3.0)}}, "param_groups": [{"betas": (0.9, 1)}]}},
    ]
    return [dumps(obj) for obj in objects]


def read_zip(contents: bytes) -> tuple[bytes, dict[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(contents)) as opened:
        records = {name.partition("/")[2]: opened.read(name) for name in opened.namelist()}
    storages = {name[5:]: data for name, data in records.items() if name.startswith("data/")}
    return records["data.pkl"], storages


def operations(program: bytes) -> list[bytes]:
    starts = [position for _, _, position in pickletools.genops(program)] + [len(program)]
    return [program[a:b] for a, b in itertools.pairwise(starts)]


EDGES = [0, 1, 2, 3, 4, 127, 128, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1]
NAMES = [
    "collections OrderedDict", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter",
    "torch FloatStorage", "torch BoolStorage", "torch BFloat16Storage", "torch Storage",
    "posix system", "builtins eval", "builtins getattr", "torch._utils os", "collections abc",
]  # fmt: skip


def random_operation(chance: random.Random) -> bytes:
    """Any operation of any protocol, with an argument that fits it more or less."""
    number = chance.choice(EDGES)
    kind = chance.randrange(8)
    if kind == 0:
        return pickle.GLOBAL + chance.choice(NAMES).replace(" ", "\n").encode() + b"\n"
    if kind == 1:
        size = chance.choice([0, 1, 2, 3, 8, 9, 40, 255])
        return pickle.LONG1 + bytes([size]) + chance.randbytes(size)
    if kind == 2:
        length = chance.choice([0, 1, 5, number])
        return pickle.BINUNICODE + struct.pack("<I", length) + b"0" * min(length, 50)
    if kind == 3:
        memo = struct.pack("<I", chance.randrange(20))
        return chance.choice([pickle.LONG_BINGET, pickle.LONG_BINPUT]) + memo
    if kind == 4:
        return pickle.BININT + struct.pack("<I", number)
    if kind == 5:
        return b"".join([chance.choice([b"N", b"K\1", b"]", b"}", b")"]) for _ in range(3)])
    code = chance.choice(pickletools.opcodes).code.encode("latin-1")
    return code + chance.choice(
        [b"", b"", b"", b"\0", struct.pack("<I", number), b"a\n", b"a\nb\n"]
    )


def mutate_program(contents: bytes, corpus: list[bytes], chance: random.Random) -> bytes:
    """Change operations, and let the archive around them be in order, so that they are reached."""
    program, storages = read_zip(contents)
    code = operations(program)
    for _ in range(chance.choice([1, 1, 1, 2, 3, 8])):
        place = chance.randrange(len(code))
        match chance.randrange(8):
            case 0:
                del code[place]
            case 1:
                code.insert(place, code[place])
            case 2:
                other = chance.randrange(len(code))
                code[place], code[other] = code[other], code[place]
            case 3:
                code.insert(place, random_operation(chance))
            case 4:
                code[place] = random_operation(chance)
            case 5:  # numbers of tensors: extents, strides, offsets, lengths
                places = [i for i, op in enumerate(code) if op[:1] in b"KMJ"] or [place]
                code[chance.choice(places)] = random_operation(chance)
            case 6:
                other_code = operations(read_zip(chance.choice(corpus))[0])
                start = chance.randrange(len(other_code))
                code[place:place] = other_code[start : start + chance.randrange(1, 12)]
            case 7:
                code[place:] = code[place:] * chance.choice([2, 3, 50])
        code = code or [b"."]
    program = b"".join(code)
    if chance.random() < 0.2:
        program = flip(program, corpus, chance)
    if storages and chance.random() < 0.2:
        key = chance.choice(list(storages))
        length = chance.choice([0, 1, len(storages[key]) + 1, 64])
        storages[key] = chance.randbytes(length)
    return archive(program, storages, chance)


def flip(contents: bytes, corpus: list[bytes], chance: random.Random) -> bytes:
    changed = bytearray(contents or b"\0")
    for _ in range(chance.choice([1, 1, 2, 5, 20])):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def truncate(contents: bytes, corpus: list[bytes], chance: random.Random) -> bytes:
    start = chance.choice([0, 0, 0, chance.randrange(len(contents))])
    return contents[start : chance.randrange(len(contents))]


def splice(contents: bytes, corpus: list[bytes], chance: random.Random) -> bytes:
    other = chance.choice(corpus)
    cut, start = chance.randrange(len(contents)), chance.randrange(len(other))
    return contents[:cut] + other[start:]


def overwrite(contents: bytes, corpus: list[bytes], chance: random.Random) -> bytes:
    """Put telling numbers anywhere, above all in the headers of the zip archive."""
    changed = bytearray(contents)
    for _ in range(chance.choice([1, 1, 2, 4])):
        signature = chance.choice([b"PK\1\2", b"PK\3\4", b"PK\5\6", b""])
        starts = [i for i in range(len(changed)) if changed.startswith(signature, i)]
        place = chance.choice(starts or [0]) + chance.randrange(50)
        layout = chance.choice("BHIQ")
        value = struct.pack(f"<{layout}", chance.choice(EDGES) % 256 ** struct.calcsize(layout))
        changed[place : place + len(value)] = value
    return bytes(changed)


def noise(contents: bytes, corpus: list[bytes], chance: random.Random) -> bytes:
    if chance.random() < 0.5:
        return chance.choice([b"", b"PK\3\4", b"PK\5\6", b"\x80\2"]) + chance.randbytes(200)
    return archive(b"".join(random_operation(chance) for _ in range(30)) + b".", {}, chance)


Mutation = Callable[[bytes, list[bytes], random.Random], bytes]
# Half of the inputs reach the machine that runs the pickle.
MUTATIONS: list[Mutation] = [flip, truncate, splice, overwrite, overwrite, noise]
MUTATIONS += [mutate_program] * len(MUTATIONS)


# -------------------------------------------------------------------------------------- The tests


def test_mutated_files():
    chance = random.Random(0)
    corpus = seeds()
    verdicts: Counter[str] = Counter()
    for number in range(INPUTS - INPUTS // 10):
        mutation = chance.choice(MUTATIONS)
        contents = mutation(chance.choice(corpus), corpus, chance)
        try:
            check = verdict if number % MEASURE_EVERY else verdict_and_memory
            verdicts[f"{mutation.__name__} {check(contents)}"] += 1
        except BaseException:
            print(f"input {number}, {mutation.__name__}: {contents!r}")
            raise
    # The inputs are neither all sound nor all broken in the first byte.
    if INPUTS >= 1000:
        assert verdicts["mutate_program read"] > INPUTS // 100
        assert verdicts["mutate_program refused"] > INPUTS // 10


def test_mutated_files_of_pytorch():
    chance = random.Random(1)
    policy = (DATA / "tianshou_policy.pth").read_bytes()
    for _ in range(min(200, INPUTS)):
        mutation = chance.choice(MUTATIONS)
        verdict(mutation(policy, [policy], chance))


quick = settings(
    max_examples=max(1, INPUTS // 20),
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@quick
@given(st.binary(max_size=300))
def test_any_bytes(contents):
    verdict(contents)


@quick
@given(st.lists(st.sampled_from([bytes([code]) for code in range(256)]) | st.binary(max_size=9)))
def test_any_program(parts):
    verdict(archive(b"".join(parts) + b".", {"0": b"\0" * 8}, random.Random(0)))


leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**200), 2**200)
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
)
keys = st.text(max_size=5) | st.integers(-(2**63), 2**63 - 1)
objects = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(keys, inner, max_size=4)
    ),
)


@settings(quick, max_examples=max(1, min(300, INPUTS)))
@given(objects)
def test_any_object_survives(obj):
    assert loads(dumps(obj)) == obj


def test_recorded_files_pass_the_verdict():
    for path in sorted(DATA.glob("tianshou_*.pth")):
        assert verdict(path.read_bytes()) == "read"
        assert_plain(load(path))
