"""Arrays, tensors and containers that a restricted pickle may build, each checked before memory is taken for it.

NumPy's own functions trust a pickle: `ndarray` can be laid over any bytes, and `__setstate__` of arrays and dtypes
takes flags that make numbers into pointers. None of them is called with what a file says.
"""

from __future__ import annotations

import io
import itertools
import math
import pickletools
import re
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from pickle import UnpicklingError
from typing import Any, BinaryIO

import numpy as np
import torch

from .limits import MAX_FILE_BYTES, MAX_VALUES

_NUMBERS_AND_TEXTS = re.compile(r"[<>=|]?(b1|[iu][1248]|f2|f4|f8|f16|c8|c16|c32|[SU]\d{1,6})")
_OBJECTS = re.compile(r"[<>=|]?O[48]?")
OBJECT_DTYPE = "objects"
"""Stands for NumPy's dtype of Python objects: arrays of it become lists."""
NDARRAY = "numpy.ndarray"
"""Stands for the class, which nothing may call."""
_MAX_TORCH_PICKLE_BYTES = 1 << 23
_MAX_TORCH_INSTRUCTIONS = 1_000_000
"""Of the pickles in a torch file, which torch itself does not count; results have some thousands."""
_PICKLES_OF_OLD_TORCH_FILES = 5
_MAX_DIMENSIONS = 16
_MAX_KEY_BITS = 128
_KEY_TYPES = (str, int, float, bytes, type(None), np.generic)


class Unbuilt(ABC):
    """What a pickle makes first, and fills in by a later instruction."""

    @abstractmethod
    def build(self, state: Any, file: BinaryIO) -> Any:
        """Return what takes its place.

        Args:
            state: Of the pickle, unchecked.
            file: The file, at the byte after the instruction.
        """


class _Dtype(Unbuilt):
    def __init__(self, kind: str) -> None:
        self.kind = kind

    def build(self, state: Any, file: BinaryIO) -> Any:
        if not isinstance(state, tuple) or len(state) < 5 or state[1] not in ("<", ">", "|", "="):
            raise UnpicklingError("it holds a dtype with a state that is not known.")
        if any(part is not None for part in state[2:5]):
            raise UnpicklingError("it holds an array of records, which is not read.")
        if _OBJECTS.fullmatch(self.kind):
            return OBJECT_DTYPE
        return np.dtype(self.kind).newbyteorder(state[1])


class _Array(Unbuilt):
    def build(self, state: Any, file: BinaryIO) -> Any:
        if not isinstance(state, tuple) or len(state) not in (4, 5):
            raise UnpicklingError("it holds an array with a state that is not known.")
        shape, dtype, is_fortran, content = state[-4:]
        if dtype is not OBJECT_DTYPE:
            return array_from_bytes(content, dtype, shape, "F" if is_fortran else "C")
        sizes = _sizes(shape)
        if not isinstance(content, list) or len(content) != math.prod(sizes):
            raise UnpicklingError("it holds an array of objects of another number than its shape says.")
        for size in reversed(sizes[1:]):
            content = [content[start : start + size] for start in range(0, len(content), size)] if size else []
        return content if sizes else content[0]


class JoblibArray(Unbuilt):
    """What joblib pickles in place of an array; the array's bytes follow it in the file."""

    def build(self, state: Any, file: BinaryIO) -> np.ndarray:
        """Read the array whose bytes come next."""
        if not isinstance(state, dict) or not {"shape", "dtype", "order"} <= set(state):
            raise UnpicklingError("it holds an array of joblib with a state that is not known.")
        if state.get("numpy_array_alignment_bytes") is not None:
            file.read(int.from_bytes(file.read(1), "little"))
        num_bytes = _num_bytes(state["dtype"], state["shape"])
        order = "F" if state["order"] == "F" else "C"
        return array_from_bytes(file.read(num_bytes), state["dtype"], state["shape"], order)


def _sizes(shape: Any) -> tuple[int, ...]:
    """Return a shape that an array may have."""
    sizes = (shape,) if isinstance(shape, int) else tuple(shape) if isinstance(shape, (tuple, list)) else (None,)
    sizes = tuple(int(size) if isinstance(size, np.integer) else size for size in sizes)
    if len(sizes) > _MAX_DIMENSIONS or any(type(size) is not int or size < 0 for size in sizes):
        raise UnpicklingError("it holds an array with a shape of other things than numbers.")
    return sizes


def _num_bytes(dtype: Any, shape: Any) -> int:
    if not isinstance(dtype, np.dtype):
        raise UnpicklingError("it holds an array of Python objects, which is not read.")
    num_bytes = math.prod(_sizes(shape)) * dtype.itemsize
    if num_bytes > MAX_FILE_BYTES:
        raise UnpicklingError(f"it holds an array of {num_bytes >> 20} MiB, which is too much.")
    return num_bytes


def array_from_bytes(content: Any, dtype: Any, shape: Any, order: str = "C") -> np.ndarray:
    """Return an array of numbers or texts, or raise `pickle.UnpicklingError` if its parts do not fit each other."""
    content = content.encode("latin1") if isinstance(content, str) else content  # of Python 2
    num_bytes = _num_bytes(dtype, shape)
    if not isinstance(content, (bytes, bytearray)) or len(content) != num_bytes:
        raise UnpicklingError(f"it holds an array of {num_bytes} bytes whose content is of another size.")
    if num_bytes == 0:
        return np.zeros(_sizes(shape), dtype)
    return np.frombuffer(content, dtype=dtype).reshape(_sizes(shape), order="F" if order == "F" else "C").copy()


def size_of(value: Any) -> int:
    """Return the bytes of memory that an array, a text or a container takes, roughly."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, torch.TypedStorage):
        return value._untyped_storage.nbytes()
    if isinstance(value, (str, bytes, bytearray)):
        return len(value)
    return 64 * len(value) if isinstance(value, (set, frozenset, dict, list, tuple)) else 64


def check_key(key: Any) -> Any:
    """Return a key of a dictionary or a member of a set: to hash nested and long ones can take for ever."""
    parts = key if type(key) is tuple else (key,)
    is_short = len(parts) <= _MAX_DIMENSIONS and all(
        isinstance(part, _KEY_TYPES) and (not isinstance(part, int) or part.bit_length() <= _MAX_KEY_BITS)
        for part in parts
    )
    if not is_short:
        raise UnpicklingError(f"it has a key of type {type(key).__name__}: only short texts and numbers are read.")
    return key


def _dtype(kind: Any, *_: Any) -> _Dtype:
    if not isinstance(kind, str) or not (_NUMBERS_AND_TEXTS.fullmatch(kind) or _OBJECTS.fullmatch(kind)):
        raise UnpicklingError(f"it holds an array of {str(kind)[:20]!r}: only numbers and texts are read.")
    return _Dtype(kind)


def _reconstruct(cls: Any, *_: Any) -> _Array:
    if cls is not NDARRAY:
        raise UnpicklingError("it holds an array of a class that is not known.")
    return _Array()


def _scalar(dtype: Any, content: Any = None) -> Any:
    return array_from_bytes(content, dtype, ())[()]


def _items(values: Any) -> Iterable:
    if not isinstance(values, (list, tuple)):
        raise UnpicklingError("it fills a container with what is no list.")
    return values


def _set(values: Any = ()) -> set:
    return {check_key(value) for value in _items(values)}


def _frozenset(values: Any = ()) -> frozenset:
    return frozenset(_set(values))


def _dict(pairs: Any = ()) -> dict:
    result = {}
    for pair in _items(pairs):
        key, value = _items(pair)
        result[check_key(key)] = value
    return result


def _default_dict(*_: Any) -> dict:
    return {}


def _encode_latin1(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise UnpicklingError(f"it encodes text as {str(encoding)[:20]}, only latin1 is read.")
    return text.encode("latin1")


def _bytes(content: Any = b"", *encoding: Any) -> bytes:
    if isinstance(content, str):
        return _encode_latin1(content, *encoding)
    if not isinstance(content, (bytes, bytearray)):
        raise UnpicklingError("it makes bytes of what is no text.")
    return bytes(content)


def _bytearray(content: Any = b"", *encoding: Any) -> bytearray:
    return bytearray(_bytes(content, *encoding))


def _complex(real: Any = 0.0, imaginary: Any = 0.0) -> complex:
    if not isinstance(real, (int, float)) or not isinstance(imaginary, (int, float)):
        raise UnpicklingError("it makes a number of what is none.")
    return complex(real, imaginary)


def _named_class(*_: Any) -> None:
    raise UnpicklingError("it calls a class that may only be named.")


def _storage(content: Any) -> torch.TypedStorage:
    if not isinstance(content, bytes):
        raise UnpicklingError("it holds a tensor without bytes.")
    storage = load_tensors(io.BytesIO(content))
    if not isinstance(storage, torch.TypedStorage):
        raise UnpicklingError("it holds a tensor without storage.")
    return storage


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> np.ndarray:
    """Return a tensor as an array; nothing outside its storage is looked at."""
    if not isinstance(storage, torch.TypedStorage):
        raise UnpicklingError("it holds a tensor without storage.")
    (start,), sizes, steps = _sizes(offset), _sizes(shape), _sizes(strides)
    if len(sizes) != len(steps) or math.prod(sizes) > MAX_VALUES:
        raise UnpicklingError("it holds a tensor of a shape that is not read.")
    last = start + sum((size - 1) * step for size, step in zip(sizes, steps, strict=True))
    values = storage._untyped_storage.nbytes() // storage.dtype.itemsize
    if math.prod(sizes) and last >= values:
        raise UnpicklingError("it holds a tensor that is larger than its storage.")
    flat = torch.empty(0, dtype=storage.dtype).set_(storage._untyped_storage, 0, (values,), (1,))
    return tensor_values(flat.as_strided(sizes, steps, start) if math.prod(sizes) else torch.zeros(sizes))


def tensor_values(tensor: torch.Tensor) -> np.ndarray:
    """Return the values of a tensor, or raise `ValueError` if there are too many or none that NumPy knows."""
    if tensor.numel() > MAX_VALUES:
        raise ValueError(f"a tensor must have at most {MAX_VALUES} values, got {tensor.numel()}.")
    tensor = tensor.detach()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy().copy()


def load_tensors(file: BinaryIO) -> Any:
    """Open a torch file of tensors only.

    Args:
        file: Its bytes.

    Raises:
        pickle.UnpicklingError: If it holds anything else, or unpacks to too much.
        RuntimeError: If torch finds it broken.
    """
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
        largest = max((member.file_size for member in members if member.filename.endswith(".pkl")), default=0)
        if sum(member.file_size for member in members) > MAX_FILE_BYTES:
            raise UnpicklingError(f"it holds more than {MAX_FILE_BYTES >> 20} MiB, which is too much.")
        if largest > _MAX_TORCH_PICKLE_BYTES:
            raise UnpicklingError(f"it has more than {_MAX_TORCH_PICKLE_BYTES >> 20} MiB of instructions.")
    else:
        file.seek(0)
        parts = itertools.chain.from_iterable(pickletools.genops(file) for _ in range(_PICKLES_OF_OLD_TORCH_FILES))
        if sum(1 for _ in itertools.islice(parts, _MAX_TORCH_INSTRUCTIONS)) == _MAX_TORCH_INSTRUCTIONS:
            raise UnpicklingError(f"it has more than {_MAX_TORCH_INSTRUCTIONS} instructions, which is too much.")
    file.seek(0)
    return torch.load(file, map_location="cpu", weights_only=True)


_NUMPY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray", "numpy._core.numeric", "numpy.core.numeric")
_NUMPY_CALLS: dict[str, Any] = {"_reconstruct": _reconstruct, "scalar": _scalar, "_frombuffer": array_from_bytes}
_BUILTINS: dict[str, Any] = {
    "bytearray": _bytearray,
    "bytes": _bytes,
    "complex": _complex,
    "frozenset": _frozenset,
    "set": _set,
    **dict.fromkeys(("bool", "dict", "float", "int", "list", "str"), _named_class),
}
KNOWN: dict[tuple[str, str], Callable | str | type] = {
    **{(module, name): call for module in ("builtins", "__builtin__") for name, call in _BUILTINS.items()},
    **{(module, name): call for module in _NUMPY_MODULES for name, call in _NUMPY_CALLS.items()},
    ("numpy", "ndarray"): NDARRAY,
    ("numpy", "dtype"): _dtype,
    ("collections", "OrderedDict"): _dict,
    ("collections", "defaultdict"): _default_dict,
    ("_codecs", "encode"): _encode_latin1,
    ("joblib.numpy_pickle", "NumpyArrayWrapper"): JoblibArray,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch.storage", "_load_from_bytes"): _storage,
}
"""All that a pickle may ask for."""
