"""Read the pickles of other projects without running what they hold: numbers, texts, arrays and tensors only."""

from __future__ import annotations

import builtins
import collections
import importlib
import io
import os
import pickle
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

RESTRICTED_PICKLE_NOTE = (
    "Even then only numbers, texts, NumPy arrays and torch tensors are read: a pickle that asks for anything else is "
    "refused."
)
_SAFE_BUILTINS = {"bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list", "set", "str"}
_SAFE_NUMPY = {"_reconstruct", "scalar", "_frombuffer"}
_DECOMPRESS_ANY = zlib.MAX_WBITS | 32
"""Lets zlib tell its own header from gzip's."""


def read_pickle(path: str | os.PathLike, trust_pickle: bool = False) -> Any:
    """Read a pickle that `pickle.dump` or `joblib.dump` wrote.

    Args:
        path: The file; joblib's may be compressed by zlib or gzip.
        trust_pickle: Must be set: pickles can run code when they are opened.

    Returns:
        What it holds, of builtin types, arrays and tensors.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If `trust_pickle` is not set, or the file is broken, or it asks for any other class or function.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    require_trust(path, trust_pickle)
    content = path.read_bytes()
    try:
        if content[:1] in (b"\x78", b"\x1f"):
            content = zlib.decompress(content, wbits=_DECOMPRESS_ANY)
        return load_restricted(io.BytesIO(content))
    except pickle.UnpicklingError as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    except (zlib.error, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise ValueError(f"{path} is not a readable pickle: {error}") from error


def require_trust(path: Path, trust_pickle: bool) -> None:
    """Raise `ValueError` unless the caller has said that pickles may be read."""
    if not trust_pickle:
        raise ValueError(
            f"{path} is a Python pickle, which can run code when it is opened. If you trust where it comes from, pass "
            f"`trust_pickle=True` (`--trust-pickle` on the command line). {RESTRICTED_PICKLE_NOTE}"
        )


def load_restricted(file: BinaryIO) -> Any:
    """Load one pickle; `pickle.UnpicklingError` if it asks for what is not on the list."""
    return _RestrictedUnpickler(file).load()


class _JoblibArray:
    """What joblib pickles in place of an array; the array's bytes follow it in the file."""

    shape: tuple[int, ...]
    dtype: np.dtype
    order: str
    numpy_array_alignment_bytes: int | None = None

    def read(self, file: BinaryIO) -> np.ndarray:
        """Read the array whose bytes come next."""
        if self.dtype.hasobject:
            raise pickle.UnpicklingError("it holds an array of Python objects, which is not read.")
        if self.numpy_array_alignment_bytes is not None:
            file.read(int.from_bytes(file.read(1), "little"))
        count = int(np.prod(self.shape, dtype=np.int64))
        values = np.frombuffer(file.read(count * self.dtype.itemsize), dtype=self.dtype, count=count)
        return values.reshape(self.shape, order="F" if self.order == "F" else "C").copy()


def _storage_from_bytes(content: bytes) -> Any:
    return torch.load(io.BytesIO(content), weights_only=True)


# The unpickler that is written in Python: the one in C has no place to read joblib's arrays at.
_PythonUnpickler: Any = pickle._Unpickler  # type: ignore[attr-defined]


class _RestrictedUnpickler(_PythonUnpickler):
    dispatch = dict(_PythonUnpickler.dispatch)

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="latin1")  # of pickles that Python 2 wrote
        self._file = file

    def find_class(self, module: str, name: str) -> Any:
        """Return a class or function of the list."""
        if module in ("builtins", "__builtin__") and name in _SAFE_BUILTINS:
            return getattr(builtins, name)
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("_codecs", "encode"):
            return _encode_latin1
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        if module in ("numpy.core.multiarray", "numpy._core.multiarray", "numpy._core.numeric", "numpy.core.numeric"):
            if name in _SAFE_NUMPY:
                home = "numeric" if name == "_frombuffer" else "multiarray"
                return getattr(importlib.import_module(f"numpy._core.{home}"), name)
        if (module, name) == ("joblib.numpy_pickle", "NumpyArrayWrapper"):
            return _JoblibArray
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return torch._utils._rebuild_tensor_v2
        if (module, name) == ("torch.storage", "_load_from_bytes"):
            return _storage_from_bytes
        raise pickle.UnpicklingError(
            f"it asks for `{module}.{name}`. Only builtin types, NumPy arrays and torch tensors are read; save its "
            "arrays as .npz."
        )

    def load_build(self) -> None:
        """Fill the object on the stack; after joblib's stand-in for an array comes the array."""
        super().load_build()
        if isinstance(self.stack[-1], _JoblibArray):
            self.stack[-1] = self.stack[-1].read(self._file)

    dispatch[pickle.BUILD[0]] = load_build


def _encode_latin1(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it encodes text as {encoding}, only latin1 is read.")
    return text.encode("latin1")
