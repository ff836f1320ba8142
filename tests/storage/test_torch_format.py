"""The PyTorch file format: round trips, files that PyTorch wrote, and files made to do harm."""

import io
import os
import pickle
import struct
import tracemalloc
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from jaxtherapy.storage.torch_format import WeightsFileError, dumps, load, loads, reader

DATA = Path(__file__).parents[1] / "data"
POLICY = DATA / "tianshou_policy.pth"
CHECKPOINT = DATA / "tianshou_checkpoint.pth"
DTYPES = [
    *(np.float64, np.float32, np.float16, ml_dtypes.bfloat16),
    *(np.int64, np.int32, np.int16, np.int8, np.uint8, np.bool_),
]
HIDDEN = 64  # of the recorded policy


def contract_shapes(hidden: int) -> dict[str, tuple[int, ...]]:
    """The keys of a policy file, in order, as the project's contract lists them."""
    shapes: dict[str, tuple[int, ...]] = {}
    for prefix in "", "_actor_critic.":
        for head, outputs in ("actor", 8), ("critic", 1):
            name = f"{prefix}{head}"
            shapes[f"{name}.preprocess.client_action_embed.weight"] = (8, 16)
            shapes[f"{name}.preprocess.history_embed.weight"] = (9, 8)
            shapes[f"{name}.preprocess.mlp.0.weight"] = (hidden, 417)
            shapes[f"{name}.preprocess.mlp.0.bias"] = (hidden,)
            shapes[f"{name}.preprocess.mlp.2.weight"] = (hidden, hidden)
            shapes[f"{name}.preprocess.mlp.2.bias"] = (hidden,)
            shapes[f"{name}.output_layer.weight"] = (outputs, hidden)
            shapes[f"{name}.output_layer.bias"] = (outputs,)
    return shapes


# -------------------------------------------------------------------------------------- Round trips


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: np.dtype(dtype).name)
@pytest.mark.parametrize("shape", [(), (1,), (5,), (3, 4), (2, 3, 4), (0,), (3, 0, 2)], ids=str)
def test_arrays_of_every_type_and_shape(dtype, shape):
    array = (np.arange(np.prod(shape, dtype=int)) % 3).reshape(shape).astype(dtype)
    result = loads(dumps(array))
    assert result.dtype == array.dtype and result.shape == shape
    assert result.tobytes() == array.tobytes()
    assert result.flags.writeable


def test_special_numbers_keep_their_bits():
    bits = np.array([0x7FC00001, 0xFF800000, 0x80000000, 1], np.uint32)  # NaN, -inf, -0, denormal
    result = loads(dumps({"weights": bits.view(np.float32), "number": float("nan")}))
    assert (result["weights"].view(np.uint32) == bits).all()
    assert np.isnan(result["number"])


def test_nested_containers_and_values():
    obj = OrderedDict(
        text="größe ☃ 😀\n",
        empty=["", (), [], {}, OrderedDict()],
        numbers=[0, -1, 255, 256, 65536, 2**31 - 1, -(2**31), 2**31, 2**63, -(2**100), 1e-8],
        flags=(True, False, None),
        by_number={0: {"step": 3}, -5: "five"},
        more=[(1, (2, (3, [4, {"five": (5,)}])))],
    )
    result = loads(dumps(obj))
    assert result == obj
    assert type(result) is OrderedDict
    assert [type(value) for value in result["flags"]] == [bool, bool, type(None)]
    assert type(result["by_number"]) is dict and type(result["empty"][4]) is OrderedDict
    assert list(result) == list(obj)


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16, np.int8])
def test_an_array_that_appears_twice_is_stored_once_and_stays_one(dtype):
    array = np.arange(24).reshape(4, 6).astype(dtype)
    contents = dumps({"one": array, "other": [array], "equal": array.copy()})
    result = loads(contents)
    result["one"][2, 3] = 99
    assert result["other"][0][2, 3] == 99 and result["equal"][2, 3] == array[2, 3]
    assert sum("/data/" in name for name in names_in(contents)) == 2


def test_views_store_what_they_show_only():
    stacked = np.ones((1000, 64), np.float32)
    contents = dumps({"first": stacked[3], "second": stacked[4], "third": stacked[:, 5][:64]})
    assert len(contents) < 3000
    assert all((each == 1).all() and each.shape == (64,) for each in loads(contents).values())


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0)[::-1],
        np.broadcast_to(np.float32(2), (3, 4)),
        np.arange(12, dtype=">i4").reshape(3, 4),
        np.lib.stride_tricks.sliding_window_view(np.arange(9), 3),
        np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        np.frombuffer(b"\1" * 33, np.uint8)[1:].view(np.float64),
        np.zeros(3, [("a", "u1"), ("b", "<f4")])["b"],
        np.arange(4, dtype=np.longlong),
        np.zeros((2, 3)).view(np.matrix),
    ],
    ids=[
        "reversed",
        "repeated",
        "big-endian",
        "windows",
        "Fortran",
        "odd",
        "field",
        "longlong",
        "matrix",
    ],
)
def test_arrays_of_any_layout(array):
    result = loads(dumps(array))
    assert np.array_equal(result, array) and result.dtype == array.dtype.newbyteorder("=")


def test_result_does_not_depend_on_what_it_was_read_from():
    array = np.zeros(3, np.float32)
    contents = dumps(array)
    loads(contents)[:] = 7
    assert (loads(contents) == 0).all() and (array == 0).all()


def names_in(contents: bytes) -> list[str]:
    return zipfile.ZipFile(io.BytesIO(contents)).namelist()


def test_same_object_same_bytes_and_aligned_records():
    twice = np.ones((4, 6))
    obj = {"twice": (twice, twice), "loose": [np.zeros(5, np.int8), np.ones(3)]}
    contents = dumps(obj)
    assert contents == dumps(obj)
    assert dumps(loads(contents)) == contents
    with zipfile.ZipFile(io.BytesIO(contents)) as archive:
        assert archive.testzip() is None
        assert archive.read("archive/byteorder") == b"little"
        for member in archive.infolist():
            start = member.header_offset + 30 + len(member.filename) + len(member.extra)
            assert start % 64 == 0
            assert member.date_time == (1980, 1, 1, 0, 0, 0)


# ------------------------------------------------------------------------- Files that PyTorch wrote


def test_recorded_policy_has_the_keys_of_the_contract():
    state = load(POLICY)
    shapes = contract_shapes(HIDDEN)
    assert {name: array.shape for name, array in state.items()} == shapes
    assert list(state) == list(shapes)
    for name in shapes:
        assert state[name].dtype == np.float32
        if not name.startswith("_"):
            assert np.shares_memory(state[name], state[f"_actor_critic.{name}"])


def policy_outputs(state, client_action, session_number, history):
    """The network of the contract in a few lines of NumPy: action probabilities and values."""
    outputs = []
    for head in "actor", "critic":
        weights = {
            name.removeprefix(f"{head}."): array
            for name, array in state.items()
            if name.startswith(head)
        }
        act = weights["preprocess.client_action_embed.weight"][client_action]
        past = weights["preprocess.history_embed.weight"][history].reshape(len(history), -1)
        hidden = np.concatenate([act, session_number, past], axis=1)
        for layer in "preprocess.mlp.0", "preprocess.mlp.2":
            hidden = hidden @ weights[f"{layer}.weight"].T + weights[f"{layer}.bias"]
            hidden = np.maximum(hidden, 0)
        outputs.append(hidden @ weights["output_layer.weight"].T + weights["output_layer.bias"])
    logits, values = outputs
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True), values


@pytest.mark.parametrize("rewritten", [False, True])
def test_recorded_policy_gives_the_recorded_outputs(rewritten):
    state = load(POLICY)
    if rewritten:
        state = loads(dumps(state))
    recorded = np.load(DATA / "tianshou_outputs.npz")
    inputs = (recorded[name] for name in ("client_action", "session_number", "history"))
    probabilities, values = policy_outputs(state, *inputs)
    np.testing.assert_allclose(probabilities, recorded["action_probabilities"], atol=1e-5)
    np.testing.assert_allclose(values, recorded["value"], atol=1e-5)


def test_recorded_checkpoint():
    checkpoint = load(CHECKPOINT)
    assert list(checkpoint) == ["model", "optim", "epoch", "env_step", "gradient_step"]
    assert [checkpoint[name] for name in ("epoch", "env_step", "gradient_step")] == [2, 1024, 32]
    parameters = [name for name in contract_shapes(HIDDEN) if not name.startswith("_")]
    state = checkpoint["optim"]["state"]
    assert list(state) == list(range(16))
    for number, name in enumerate(parameters):
        shape = checkpoint["model"][name].shape
        assert state[number]["step"].shape == () and state[number]["step"] == 32
        assert state[number]["exp_avg"].shape == state[number]["exp_avg_sq"].shape == shape
    (group,) = checkpoint["optim"]["param_groups"]
    assert group["params"] == list(range(16))
    assert (group["lr"], group["betas"], group["eps"]) == (3e-4, (0.9, 0.999), 1e-8)


# ----------------------------------------------------------------------- What cannot be read at all


def refusal(contents: bytes) -> str:
    """The message with which bytes are refused, after checking that it is one line."""
    with pytest.raises(WeightsFileError) as caught:
        loads(contents)
    message = str(caught.value)
    assert "\n" not in message and message.isprintable() and len(message) < 400
    assert message.startswith("<bytes> cannot be read: ") and ";" in message
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return message


def test_missing_files_directories_and_odd_ones(tmp_path):
    with pytest.raises(WeightsFileError, match=r"gone\.pth cannot be read: No such file"):
        load(tmp_path / "gone.pth")
    with pytest.raises(WeightsFileError, match="is a directory; give the path"):
        load(tmp_path)
    with pytest.raises(WeightsFileError, match="no regular file"):
        load("/dev/zero")
    with pytest.raises(WeightsFileError, match="null"):
        load("a\0b")
    path = tmp_path / "two\nlines.pth"
    path.write_bytes(b"")
    with pytest.raises(WeightsFileError, match=r"two\\nlines\.pth' cannot be read: it is empty"):
        load(path)


def test_forbidden_file(tmp_path, monkeypatch):
    path = tmp_path / "secret.pth"
    path.write_bytes(dumps({}))

    def refuse(*arguments, **keywords):  # root may read everything: no mode of the file refuses it
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(WeightsFileError, match="Permission denied"):
        load(path)


def test_legacy_and_foreign_formats():
    assert "legacy format of PyTorch before 1.6" in refusal(pickle.dumps(0x1950A86A20F9469CFC6C, 2))
    assert "legacy" in refusal(b"storages".ljust(257, b"\0") + b"ustar" + b"\0" * 300)
    assert "not PyTorch's zip format" in refusal(b"just text")
    assert "is empty" in refusal(b"")
    buffer = io.BytesIO()
    np.savez(buffer, a=np.arange(3))
    refusal(buffer.getvalue())
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w"):
        pass
    refusal(buffer.getvalue())


def test_every_truncation_is_refused():
    contents = dumps({"a": np.arange(3.0), "b": [1, "two"]})
    for length in range(len(contents)):
        refusal(contents[:length])


def test_every_damaged_byte_is_refused_or_harmless():
    """Padding and dates may change; whatever is read must then be what was written."""
    contents = dumps({"a": np.arange(3.0), "b": [1, "two"]})
    refused = 0
    for position in range(len(contents)):
        damaged = bytearray(contents)
        damaged[position] ^= 0x55
        try:
            result = loads(bytes(damaged))
        except WeightsFileError:
            refused += 1
        else:
            assert result["b"] == [1, "two"] and (result["a"] == [0, 1, 2]).all()
    assert refused > 300


DEEP: list = []
for _ in range(150):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "value",
    [
        {1, 2},
        b"bytes",
        1j,
        np.zeros(3, complex),
        np.zeros(3, np.uint16),
        np.array(["text"]),
        np.array([None]),
        np.float32(1),
        np.int64(1),
        print,
        {"key": object()},
        {(1, 2): 3},
        {2**70: 3},
        {True: 3},
        {None: 3},
        1 << 3000,
        "\ud800",
        DEEP,
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_values_that_cannot_be_written(value):
    with pytest.raises(WeightsFileError) as caught:
        dumps({"outer": [value]})
    message = str(caught.value)
    assert message.startswith("<bytes> cannot be written: ") and "\n" not in message


def test_message_tells_where_the_value_is():
    with pytest.raises(WeightsFileError, match=r"it\['model'\]\[1\] has dtype complex128; use"):
        dumps({"model": [0, np.zeros(2, complex)]})


def test_objects_that_contain_themselves_cannot_be_written():
    endless = []
    endless.append(endless)
    with pytest.raises(WeightsFileError):
        dumps(endless)


# -------------------------------------------------------------------------------- Hostile zip files


def archive(records, folder="archive/", compression=zipfile.ZIP_STORED) -> bytes:
    """A zip archive of (name, contents) pairs, with correct checksums."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as output, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # duplicated names
        for name, contents in records:
            output.writestr(f"{folder}{name}", contents)
    return buffer.getvalue()


def program(code: bytes, *records: tuple[str, bytes]) -> bytes:
    """A well-formed archive around a pickle program."""
    return archive([("data.pkl", code), ("byteorder", b"little"), *records, ("version", b"3\n")])


GOOD = b"\x80\x02K\x01."


def test_the_helper_makes_readable_files():
    assert loads(program(GOOD)) == 1
    assert loads(archive([("data.pkl", GOOD)])) == 1  # byteorder came with PyTorch 2.1


def test_compressed_and_bombs():
    bomb = archive([("data.pkl", GOOD), ("data/0", b"\0" * 2**24)], compression=8)
    assert len(bomb) < 2**16
    assert "compressed" in refusal(bomb)
    big = program(GOOD, ("data/0", b"\0" * 2**20))
    # Claims of 4 GB, in the index and in the header of the record.
    claim = big.replace(struct.pack("<II", 2**20, 2**20), b"\xff\xff\xff\xfe" * 2)
    assert claim != big
    refusal(claim)
    refusal(big.replace(struct.pack("<II", 2**20, 2**20), b"\xff\xff\xff\xff" * 2))


def test_encrypted():
    contents = bytearray(program(GOOD))
    for signature, flags in (b"PK\1\2", 8), (b"PK\3\4", 6):
        contents[contents.index(signature) + flags] |= 1
    assert "encrypted" in refusal(bytes(contents))


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "archive/../data/0", "archive/./a", "archive//a", "..", "a\\b", "archive/a\\b",
     "other/data/0", "data.pkl", "archive/", "C:/a"],
)  # fmt: skip
def test_forbidden_names(name):
    message = refusal(archive([("archive/data.pkl", GOOD), (name, b"")], folder=""))
    assert "forbidden name" in message or "another folder" in message


def test_name_with_a_null_byte():
    contents = program(GOOD, ("dataX0", b"1234"))
    assert "forbidden name" in refusal(contents.replace(b"dataX0", b"data\0" + b"0"))


def test_duplicated_names():
    assert "appears twice" in refusal(program(GOOD, ("data/0", b"a"), ("data/0", b"b")))


def test_names_that_differ_between_header_and_index():
    contents = program(GOOD, ("data/0", b"1234"))
    assert "not where the index says" in refusal(contents.replace(b"data/0", b"data/1", 1))


def test_overlapping_records():
    contents = bytearray(program(GOOD, ("data/0", b"1234"), ("data/1", b"1234")))
    index = [i for i in range(len(contents)) if contents[i : i + 4] == b"PK\1\2"]
    # Two names for one place; then a place within another record.
    contents[index[3] + 42 : index[3] + 46] = contents[index[2] + 42 : index[2] + 46]
    contents[index[3] + 46 :] = contents[index[3] + 46 :].replace(b"data/1", b"data/0", 1)
    assert "overlaps" in refusal(bytes(contents))
    nested = program(GOOD, ("data/9", program(GOOD, ("data/0", b"x" * 99))))
    offset = nested.rindex(b"data/0", 0, nested.index(b"x" * 99)) - 30
    index = nested.index(b"PK\1\2", nested.rindex(b"PK\5\6") - 400)
    refusal(nested[: index + 42] + struct.pack("<I", offset) + nested[index + 46 :])


def test_wrong_checksum():
    contents = dumps(np.full(4, 1234.5))
    value = struct.pack("<d", 1234.5)
    assert "checksum" in refusal(contents.replace(value, struct.pack("<d", 1234.25), 1))


def test_too_many_records_cost_little():
    entry = struct.pack("<4s6H3I5H2I", b"PK\1\2", *[0] * 9, 1, *[0] * 6) + b"a"
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 65535, 65535, len(entry) * 65535, 8, 0)
    contents = b"PK\3\4AAAA" + entry * 65535 + end
    assert "too many records" in refusal(contents)


def test_other_archives_of_pytorch():
    assert "TorchScript" in refusal(archive([("data.pkl", GOOD), ("constants.pkl", GOOD)]))
    assert "no data.pkl" in refusal(archive([("weights.pkl", GOOD)]))
    assert "not little-endian" in refusal(archive([("data.pkl", GOOD), ("byteorder", b"big")]))


# --------------------------------------------------------------------------------- Hostile programs


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def harmful_programs(command: str) -> dict[str, bytes]:
    """Pickle programs that run a shell command, each in a way of its own, or come close to it."""
    argument = text(command)
    short = b"\x8c" + bytes([len(command)]) + command.encode()
    ordered = b"ccollections\nOrderedDict\n)R"
    return {
        "REDUCE": b"\x80\x02cposix\nsystem\n" + argument + b"\x85R.",
        "REDUCE os": b"\x80\x02cos\nsystem\n" + argument + b"\x85R.",
        "INST": b"(" + argument + b"iposix\nsystem\n.",
        "OBJ": b"(cposix\nsystem\n" + argument + b"o.",
        "NEWOBJ": b"\x80\x02csubprocess\nPopen\n" + argument + b"\x85\x81.",
        "NEWOBJ_EX": b"\x80\x04csubprocess\nPopen\n" + argument + b"\x85}\x92.",
        "STACK_GLOBAL": b"\x80\x04\x8c\x05posix\x8c\x06system\x93" + short + b"\x85R.",
        "STACK_GLOBAL 2": b"\x80\x02"
        + text("posix")
        + text("system")
        + b"\x93"
        + argument
        + b"\x85R.",
        "memo": b"\x80\x02cposix\nsystem\nq\0" + b"0h\0" + argument + b"\x85R.",
        "getattr": b"\x80\x02cbuiltins\ngetattr\ncos\n__dict__\n" + argument + b"\x86R.",
        "eval": b"\x80\x02cbuiltins\neval\n"
        + text(f"__import__('os').system({command!r})")
        + b"\x85R.",
        "exec in tuple": b"\x80\x02(cbuiltins\nexec\n" + argument + b"\x85Rt.",
        "dotted": b"\x80\x02ctorch\nserialization.os.system\n" + argument + b"\x85R.",
        "dotted 2": b"\x80\x04ccollections\nabc.sys.modules\n" + argument + b"\x85R.",
        "torch loader": b"\x80\x02ctorch.storage\n_load_from_bytes\n" + argument + b"\x85R.",
        "BUILD": b"\x80\x02" + ordered + b"}" + text("__class__") + b"cposix\nsystem\nsb.",
        "BUILD on dict": b"\x80\x02}}" + text("update") + b"K\x01sb.",
        "BUILD on function": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}b.",
        "BUILD on storage type": b"\x80\x02ctorch\nFloatStorage\n}" + text("alignment") + b"K\0sb.",
        "EXT1": b"\x80\x02\x82\x01.",
        "PERSID": b"Pposix\nsystem\n.",
        "persistent function": b"\x80\x02cposix\nsystem\n" + argument + b"\x86Q.",
        "call of a value": b"\x80\x02" + text("posix.system") + argument + b"\x85R.",
        "call of a list": b"\x80\x02])R.",
        "call of a type": b"\x80\x02ctorch\nFloatStorage\n" + argument + b"\x85R.",
        "arguments of OrderedDict": b"\x80\x02ccollections\nOrderedDict\n](]K\x01aK\x02aea\x85R.",
        "function as a result": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n.",
        "type in a list": b"\x80\x02]ctorch\nFloatStorage\na.",
        "function as a key": b"\x80\x02}ccollections\nOrderedDict\nK\x01s.",
    }


def test_the_harmful_programs_do_harm_in_pickle(tmp_path):
    """Else the next test would prove nothing."""
    for name in "REDUCE", "REDUCE os", "INST", "OBJ", "STACK_GLOBAL", "memo", "eval":
        ran = tmp_path / name
        pickle.loads(harmful_programs(f"touch '{ran}'")[name])
        assert ran.exists(), name


@pytest.mark.parametrize("name", harmful_programs(""))
def test_harmful_programs_are_refused_and_do_not_run(name, tmp_path, monkeypatch):
    ran = tmp_path / "ran"

    def forbidden(*arguments, **keywords):
        raise AssertionError("a real unpickler was used")

    code = harmful_programs(f"touch '{ran}'")[name]
    for function in "loads", "load", "Unpickler", "_Unpickler":
        monkeypatch.setattr(pickle, function, forbidden)
    refusal(program(code))
    assert not ran.exists()


REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"
HOOKS = b"ccollections\nOrderedDict\n)R"


def tensor(size, stride, offset=0, key="0", count=4, kind="FloatStorage", location="cpu") -> bytes:
    """The program of a tensor. Numbers may be out of all bounds."""

    def number(value: int) -> bytes:
        length = value.bit_length() // 8 + 1
        return b"\x8a" + bytes([length]) + value.to_bytes(length, "little", signed=True)

    storage = text("storage") + b"ctorch\n" + kind.encode() + b"\n" + text(key) + text(location)
    shape = b"(" + b"".join(map(number, size)) + b"t(" + b"".join(map(number, stride)) + b"t"
    return (
        REBUILD + b"((" + storage + number(count) + b"tQ" + number(offset) + shape + b"\x89"
        + HOOKS + b"tR"
    )  # fmt: skip


FOUR = ("data/0", np.arange(4, dtype=np.float32).tobytes())


def test_the_helper_makes_readable_tensors():
    def read(*arguments, **keywords):
        return loads(program(tensor(*arguments, **keywords) + b".", FOUR)).tolist()

    assert read([4], [1]) == [0, 1, 2, 3]
    assert read([2, 2], [1, 2]) == [[0, 2], [1, 3]]
    assert read([2], [2], 1, location="cuda:3") == [1, 3]
    assert read([], [], 3) == 3
    assert read([3, 2], [0, 0], 1) == [[1, 1]] * 3
    assert read([2, 2], [1, 1]) == [[0, 1], [1, 2]]
    assert read([1, 2], [2**40, 1]) == [[0, 1]]  # the stride of an axis of length 1 means nothing
    assert read([0, 3], [3, 1], 4) == []


@pytest.mark.parametrize(
    "arguments",
    [
        dict(size=[5], stride=[1]),
        dict(size=[4], stride=[1], offset=1),
        dict(size=[], stride=[], offset=4),
        dict(size=[4], stride=[1], offset=-1),
        dict(size=[2], stride=[-1], offset=3),
        dict(size=[-4], stride=[1]),
        dict(size=[2, 2], stride=[1]),
        dict(size=[2], stride=[4]),
        dict(size=[2**62], stride=[4]),
        dict(size=[2**32, 2**32], stride=[1, 1]),
        dict(size=[2], stride=[2**64 - 1]),
        dict(size=[1], stride=[1], offset=2**64),
        dict(size=[2**40], stride=[0]),
        dict(size=[2**30], stride=[0]),
        dict(size=[2**47, 2**47], stride=[0, 0]),
        dict(size=[0, 2**47, 2**47], stride=[0, 0, 0]),
        dict(size=[1] * 33, stride=[1] * 33),
        dict(size=[1] * 1000, stride=[1] * 1000),
        dict(size=[4], stride=[1], count=5),
        dict(size=[4], stride=[1], count=2**62),
        dict(size=[4], stride=[1], count=-4),
        dict(size=[4], stride=[1], kind="DoubleStorage"),
        dict(size=[4], stride=[1], kind="ComplexFloatStorage"),
        dict(size=[1], stride=[1], key="1"),
        dict(size=[1], stride=[1], key="../data.pkl"),
        dict(size=[1], stride=[1], key="/etc/passwd"),
        dict(size=[1], stride=[1], key=""),
    ],
    ids=str,
)
def test_tensors_out_of_bounds(arguments):
    refusal(program(tensor(**arguments) + b".", FOUR))


def test_storages_with_two_types_odd_lengths_and_wild_booleans():
    two = tensor([1], [1]) + tensor([1], [1], kind="IntStorage") + b"\x86."
    assert "two types" in refusal(program(two, FOUR))
    odd = tensor([1], [1], count=1) + b"."
    assert "within an element" in refusal(program(odd, ("data/0", b"12345")))
    wild = tensor([4], [1], kind="BoolStorage") + b"."
    assert "booleans" in refusal(program(wild, ("data/0", b"\0\1\2\xff")))


@pytest.mark.parametrize(
    "arguments",
    [
        b")",
        b"}",
        b"K\1\x85",
        b"(K\1K\0))\x89" + HOOKS + b"t",
        tensor([4], [1])[len(REBUILD) : -1].replace(b"\x89", b"N"),
        tensor([4], [1])[len(REBUILD) : -1].replace(HOOKS + b"t", HOOKS + b"}t"),
        tensor([4], [1])[len(REBUILD) : -1].replace(HOOKS, b"N"),
        tensor([4], [1])[len(REBUILD) : -1].replace(b"\x8a\1\4t", b"\x88t"),
    ],
    ids=range(8),
)
def test_wrong_arguments_of_a_tensor(arguments):
    refusal(program(REBUILD + arguments + b"R.", FOUR))


@pytest.mark.parametrize(
    "identifier",
    [b"N", b"K\1", b")", text("storage"), b"(" + text("storage") + b"t",
     b"(" + text("module") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"K\4t",
     b"(" + text("storage") + text("FloatStorage") + text("0") + text("cpu") + b"K\4t",
     b"(" + text("storage") + b"ctorch\nFloatStorage\nK\0" + text("cpu") + b"K\4t",
     b"(" + tensor([2**40], [0]) * 5 + b"t"],
    ids=range(9),
)  # fmt: skip
def test_persistent_ids_that_are_no_storages(identifier):
    refusal(program(identifier + b"Q.", FOUR))


def test_a_storage_is_no_value():
    storage = tensor([4], [1])[len(REBUILD) :].partition(b"Q")[0][1:]
    for code in storage + b"Q.", b"]" + storage + b"Qa.":
        assert "loose part of a tensor" in refusal(program(code, FOUR))


def test_parameters_are_read_as_arrays():
    parameter = (
        b"ctorch._utils\n_rebuild_parameter\n(" + tensor([4], [1]) + b"\x88" + HOOKS + b"tR."
    )
    assert loads(program(parameter, FOUR)).tolist() == [0, 1, 2, 3]


MALFORMED = [
    b"", b".", b"\x80", b"\x80\x02", b"\x80\x04K\1.", b"K", b"J\1", b"G\0", b"h\0.", b"j\0\0\0\0.",
    b"q\0.", b"t.", b"\x85.", b"a.", b"K\1K\2a.", b"K\1K\2K\3s.", b"}(K\1u.", b"](K\1u.",
    b"}(K\1e.", b"e.", b"u.", b"(.", b"R.", b"K\1R.", b"b.", b"Nb.", b"Q.", b"0.", b"1.", b"2.",
    b"c\n\n.",
    b"c" + b"a" * 10**6, b"ccollections\nOrderedDict", b"ccollections\nOrderedDict\n.",
    b"c\xff\n\xff\n.", b"X\4\0\0\0\xff\xff\xff\xff.", b"X\xff\xff\xff\xff.",
    b"X\xff\xff\xff\x7fabc.",
    b"\x8d" + b"\xff" * 8 + b".", b"\x8b\xff\xff\xff\x7f.", b"\x8a\xff.", b"I1\n.", b"L1L\n.",
    b"F1\n.", b"S'a'\n.", b"U\1a.", b"B\1\0\0\0a.", b"C\1a.", b"\x95" + b"\xff" * 8 + b".",
    b"\x94.", b"\x8f.", b"\x96" + b"\xff" * 8, b"\x97.", b"}]K\1s.", b"}NK\1s.", b"})K\1s.",
    b"}\x88K\1s.",
    b"}\x8a\x09" + b"\1" * 9 + b"K\1s.", b"}G" + b"\0" * 8 + b"K\1s.",
    b"]q\0h\0a.", b"]q\0(h\0t\x85a.", b"}q\0K\1h\0s.",
]  # fmt: skip


@pytest.mark.parametrize("code", MALFORMED, ids=lambda code: repr(code[:12]))
def test_malformed_programs(code):
    refusal(program(code, FOUR))


def deep(levels: int) -> bytes:
    return b"]" * levels + b"a" * (levels - 1) + b"."


def laughs(levels: int, container: bytes = b"]", close: bytes = b"e") -> bytes:
    """Each list holds the one before ten times."""
    code = container + b"q\0"
    for level in range(levels):
        code += b"(" if close == b"t" else b"](" if close == b"e" else b"}("
        reference = b"j" + struct.pack("<I", level)
        code += b"".join(
            (b"K" + bytes([i]) if close == b"u" else b"") + reference for i in range(10)
        )
        code += close + b"r" + struct.pack("<I", level + 1)
    return code + b"."


LIMIT = 20_000  # operations; a tenth of the real bound, for the sake of time
HARMLESS_BOMBS = {
    "empty dicts": b"(" + b"}" * (LIMIT - 3) + b"t.",
    "lists of one": b"(" + b"]Na" * (LIMIT // 3 - 3) + b"t.",
    "ordered dicts": b"ccollections\nOrderedDict\nq\0(" + b"h\0)R" * (LIMIT // 3 - 3) + b"t.",
    "full memo": b"N"
    + b"".join(b"r" + struct.pack("<I", i * 8191) for i in range(LIMIT - 2))
    + b".",
    "far memo": b"Nr\xff\xff\xff\xff.",
    "long strings": b"(" + text("a" * 10**6) * 4 + b"t.",
    "wide strings": b"(" + text("\U0001f600" + "a" * 10**6) * 4 + b"t.",
    "huge integers": b"(" + (b"\x8a\xff" + b"\x7f" * 255) * (LIMIT // 2) + b"t.",
    "many views": tensor([1], [1]) + b"q\1" + b"(" + b"h\1" * (LIMIT // 2) + b"t.",
}
BOMBS = {
    "deep lists": deep(LIMIT // 2),
    "deep tuples": b")" + b"\x85" * (LIMIT - 2) + b".",
    "deep tuple as a key": b"})" + b"\x85" * (LIMIT - 5) + b"K\1s.",
    "deep marks": b"(" * (LIMIT - 2) + b".",
    "deep by reference": b"]" + deep(60)[:-1] + b"q\0a" + b"]" * 60 + b"h\0" + b"a" * 60 + b"a.",
    "laughing lists": laughs(30),
    "laughing tuples": laughs(30, b")", b"t"),
    "laughing dicts": laughs(30, b"}", b"u"),
    "pushes": b"N" * (LIMIT + 1) + b".",
    "repeated tensor": tensor([2**20], [0]) + b"q\0(" + b"h\0" * (LIMIT // 2) + b"t.",
    "huge pickle": text("a" * 2**24) + b".",
    "keys of equal hash": b"}("
    + b"".join(
        b"\x8a\x0c" + (i * (2**61 - 1)).to_bytes(12, "little") + b"N" for i in range(LIMIT // 3)
    )
    + b"u.",
}


def peak_memory(contents: bytes) -> int:
    tracemalloc.start()
    try:
        loads(contents)
    except WeightsFileError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak


@pytest.mark.parametrize("name", BOMBS | HARMLESS_BOMBS)
def test_bombs_cost_little_memory(name, monkeypatch):
    monkeypatch.setattr(reader, "_MAX_OPERATIONS", LIMIT)
    contents = program((BOMBS | HARMLESS_BOMBS)[name], FOUR)
    assert peak_memory(contents) < 5 * 2**20 + 6 * len(contents)


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused(name, monkeypatch):
    monkeypatch.setattr(reader, "_MAX_OPERATIONS", LIMIT)
    refusal(program(BOMBS[name], FOUR))


@pytest.mark.parametrize("name", HARMLESS_BOMBS)
def test_large_but_honest_files_are_read(name, monkeypatch):
    monkeypatch.setattr(reader, "_MAX_OPERATIONS", LIMIT)
    loads(program(HARMLESS_BOMBS[name], FOUR))


def test_as_many_objects_as_the_real_bound_allows_cost_little_memory():
    empty_dicts = b"(" + b"}" * (reader._MAX_OPERATIONS - 3) + b"t."
    assert peak_memory(program(empty_dicts)) < 40 * 2**20


def test_reading_takes_a_small_multiple_of_the_file():
    contents = dumps({str(i): np.ones(100_000, np.float32) for i in range(50)})
    assert peak_memory(contents) < 1.5 * len(contents)


def test_limits_of_depth():
    assert loads(program(deep(reader._MAX_DEPTH))) is not None
    assert "too deep" in refusal(program(deep(reader._MAX_DEPTH + 2)))


def test_any_failure_within_is_reported_as_ours(monkeypatch):
    for error in MemoryError(), RecursionError("deep"), OverflowError("big"), KeyError("x"):

        def fail(*arguments, error=error):
            raise error

        monkeypatch.setattr(reader, "_check_result", fail)
        assert type(error).__name__ in refusal(program(GOOD))


def test_a_huge_file_of_another_kind_costs_no_memory(tmp_path):
    """Sparse files: they take no room on the disk either."""
    for start, reason in ((b"hello", "not PyTorch's zip"), (b"\x80\x02", "legacy"), (b"", "zip")):
        path = tmp_path / "huge.pth"
        path.write_bytes(start)
        os.truncate(path, 2**36)
        tracemalloc.start()
        with pytest.raises(WeightsFileError, match=reason):
            load(path)
        assert tracemalloc.get_traced_memory()[1] < 2**20
        tracemalloc.stop()
    path.write_bytes(b"PK\x03\x04")
    os.truncate(path, 2**36)
    with pytest.raises(WeightsFileError, match="too large; save nothing but weights"):
        load(path)


def test_what_cannot_be_read_is_refused_whatever_was_written_before():
    """Contents of one outline are read back once; of another outline, or with numbers that look
    like an archive's index, again."""
    fine = {"weights": np.zeros(4 * 20_001, np.uint8)}
    assert dumps(fine) == dumps(fine)
    index_entries = np.frombuffer(b"PK\x01\x02" * 20_001, np.uint8)
    for _ in range(2):
        with pytest.raises(WeightsFileError, match="too many records"):
            dumps({"weights": index_entries})
    assert np.array_equal(loads(dumps(fine))["weights"], fine["weights"])
    dumps({"mask": np.zeros(4, bool)})
    for _ in range(2):
        with pytest.raises(WeightsFileError, match="neither 0 nor 1"):
            dumps({"mask": np.array([2, 0, 0, 1], np.uint8).view(bool)})
