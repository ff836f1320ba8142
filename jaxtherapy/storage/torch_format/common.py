"""What reading and writing share: types of storages, and how files are refused."""

import struct

import ml_dtypes
import numpy as np

# PyTorch's name of each type of storage, and its elements (little-endian).
STORAGE_TYPES = {
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
STORAGE_NAMES = {dtype.name: name for name, dtype in STORAGE_TYPES.items()}

MAX_RECORDS = 20_000  # one per storage
INDEX_ENTRY = b"PK\x01\x02"
LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature; lengths of the name and of the extra field


class WeightsFileError(ValueError):
    """A file of weights cannot be read or written. One line: which file, why, what to do."""


class Refused(Exception):
    """Why, and what to do. `one_line_error` adds the file."""


def require(condition: bool, reason: str, advice: str = "use an undamaged copy") -> None:
    """Refuses, unless the condition holds."""
    if not condition:
        raise Refused(f"{reason}; {advice}")


def one_line_error(name: str, what: str, error: Exception) -> WeightsFileError:
    """Whatever went wrong, as one line."""
    reason = str(error)
    if isinstance(error, OSError):
        reason = f"{error.strerror or error}; check the path and its permissions"
    elif not isinstance(error, Refused):
        detail = f"{type(error).__name__}: {str(error)[:200]}"
        reason = f"it is damaged or incomplete ({detail}); use an undamaged copy"
    return WeightsFileError(f"{name} {what}: {' '.join(reason.split())[:500]}")


def quoted(text: object) -> str:
    """Text from a file, fit for a one-line message."""
    shown = ascii(text)
    return shown if len(shown) <= 80 else shown[:77] + "..."
