"""Read the pickles of other projects without running what they hold: numbers, texts, arrays and tensors only."""

from __future__ import annotations

import bz2
import io
import lzma
import os
import pickle
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from .limits import MAX_FILE_BYTES, check_file, check_size, naming
from .pickle_objects import KNOWN, JoblibArray, Unbuilt, check_key, load_tensors, size_of

RESTRICTED_PICKLE_NOTE = (
    "Even then only numbers, texts, NumPy arrays and torch tensors are read: a pickle that asks for anything else is "
    "refused."
)
MAX_INSTRUCTIONS = 4_000_000
"""Of a pickle. They take some seconds; results of an hour of video have a tenth."""
MAX_NESTING = 1000
_COMPRESSED: dict[bytes, Callable[[], Any]] = {
    b"\x78": zlib.decompressobj,
    b"\x1f\x8b": lambda: zlib.decompressobj(wbits=zlib.MAX_WBITS | 16),
    b"BZh": bz2.BZ2Decompressor,
    b"\xfd7zXZ": lzma.LZMADecompressor,
    b"\x5d\x00\x00": lzma.LZMADecompressor,
}
"""First bytes of a file that joblib compressed."""
_ZIP = b"PK\x03\x04"


def read_pickle(path: str | os.PathLike, trust_pickle: bool = False) -> Any:
    """Read a pickle that `pickle.dump` or `joblib.dump` wrote, or `torch.save` under the name of a pickle.

    Args:
        path: The file; joblib's may be compressed by zlib, gzip, bz2, xz or lzma.
        trust_pickle: Must be set: pickles can run code when they are opened.

    Returns:
        What it holds, of builtin types, arrays and tensors; arrays of Python objects become lists.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If `trust_pickle` is not set, or the file is broken or too large, or it asks for any other class or
            function.
    """
    path = check_file(path)
    require_trust(path, trust_pickle)
    with naming(path):
        content = path.read_bytes()
        if content.startswith(_ZIP):
            return load_tensors(io.BytesIO(content))
        return load_restricted(io.BytesIO(_decompressed(content, path)))


def require_trust(path: Path, trust_pickle: bool) -> None:
    """Raise `ValueError` unless the caller has said that pickles may be read."""
    if not trust_pickle:
        raise ValueError(
            f"{path} is a Python pickle, which can run code when it is opened. If you trust where it comes from, pass "
            f"`--trust-pickle` (`trust_pickle=True` in Python). {RESTRICTED_PICKLE_NOTE}"
        )


def _decompressed(content: bytes, path: Path) -> bytes:
    """Unpack a file that joblib compressed, and stop as soon as it is too large."""
    start = next((first for first in _COMPRESSED if content.startswith(first)), None)
    if start is None:
        return content
    decompressor = _COMPRESSED[start]()
    unpacked = decompressor.decompress(content, MAX_FILE_BYTES + 1)
    check_size(len(unpacked), path, MAX_FILE_BYTES)
    if not decompressor.eof:
        raise EOFError("its compressed content is cut off.")
    return unpacked


def load_restricted(file: BinaryIO) -> Any:
    """Load one pickle.

    Args:
        file: At its first byte; what follows the pickle is left unread.

    Raises:
        pickle.UnpicklingError: If it asks for what is not on the list, or is too deep or too long.
        EOFError: If it is cut off.
    """
    return _RestrictedUnpickler(file).load()


class _Counted(dict):
    """Instructions by their byte, which counts how often it is asked for one."""

    count = 0

    def __getitem__(self, instruction: int) -> Any:
        self.count += 1
        if self.count > MAX_INSTRUCTIONS:
            raise pickle.UnpicklingError(f"it has more than {MAX_INSTRUCTIONS} instructions, which is too much.")
        return super().__getitem__(instruction)


# The unpickler that is written in Python: the one in C has no place to read joblib's arrays at.
_PythonUnpickler: Any = pickle._Unpickler  # type: ignore[attr-defined]


class _RestrictedUnpickler(_PythonUnpickler):
    instructions = dict(_PythonUnpickler.dispatch)

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="latin1")  # of pickles that Python 2 wrote
        self._file = file
        self._built: dict[int, tuple[Unbuilt, Any]] = {}
        self.dispatch = _Counted(self.instructions)
        self._used_bytes = 0

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a class or function of the list."""
        if (module, name) not in KNOWN:
            raise pickle.UnpicklingError(
                f"it asks for `{module}.{name}`. Only builtin types, NumPy arrays and torch tensors are read; save "
                "its arrays as .npz."
            )
        return KNOWN[module, name]

    def load_mark(self) -> None:
        """Begin a container, if it is not too deep."""
        if len(self.metastack) >= MAX_NESTING:
            raise pickle.UnpicklingError(f"it is nested more than {MAX_NESTING} deep.")
        super().load_mark()

    instructions[pickle.MARK[0]] = load_mark

    def load_reduce(self) -> None:
        """Call a function of the list."""
        arguments, function = self.stack.pop(), self.stack.pop()
        if not callable(function) or type(arguments) is not tuple:
            raise pickle.UnpicklingError(f"it calls an object of type {type(function).__name__}.")
        self._count(*arguments)
        value = function(*arguments)
        self._count(value)
        self.append(value)

    instructions[pickle.REDUCE[0]] = load_reduce

    def _count(self, *values: Any) -> None:
        """Count what is read and made: a few bytes of a file can ask for work on the same values again and again."""
        self._used_bytes += sum(map(size_of, values))
        if self._used_bytes > 2 * MAX_FILE_BYTES:
            raise pickle.UnpicklingError(f"it unpacks to more than {MAX_FILE_BYTES >> 20} MiB, which is too much.")

    def load_other_object(self) -> None:
        """Refuse ways of making objects that no pickle of data takes."""
        raise pickle.UnpicklingError("it makes an object of a class that is not known.")

    for _opcode in (pickle.INST, pickle.OBJ, pickle.NEWOBJ_EX, pickle.EXT1, pickle.EXT2, pickle.EXT4):
        instructions[_opcode[0]] = load_other_object

    def load_build(self) -> None:
        """Fill the object on the stack: only what this package made itself can be filled."""
        state = self.stack.pop()
        unbuilt = self.stack[-1]
        if not isinstance(unbuilt, Unbuilt):
            raise pickle.UnpicklingError(f"it sets the attributes of an object of type {type(unbuilt).__name__}.")
        self._count(*(state if type(state) is tuple else ()))
        self.stack[-1] = unbuilt.build(state, self._file)
        self._count(self.stack[-1])
        self._built[id(unbuilt)] = unbuilt, self.stack[-1]

    instructions[pickle.BUILD[0]] = load_build

    def load_newobj(self) -> None:
        """Make an object without calling its class: joblib's stand-ins for arrays are pickled so."""
        arguments, cls = self.stack.pop(), self.stack.pop()
        if cls is not JoblibArray or arguments:
            raise pickle.UnpicklingError("it makes an object of a class that is not known.")
        self.append(JoblibArray())

    instructions[pickle.NEWOBJ[0]] = load_newobj

    def load_bytearray8(self) -> None:
        """Read a bytearray, whose memory is taken after its bytes were found."""
        size = int.from_bytes(self.read(8), "little")
        if size > MAX_FILE_BYTES:
            raise pickle.UnpicklingError("it holds more bytes than the file.")
        self.append(bytearray(self.read(size)))

    instructions[pickle.BYTEARRAY8[0]] = load_bytearray8

    def _from_memo(load: Callable[[Any], None]) -> Callable[[Any], None]:  # noqa: N805
        def load_latest(self: Any) -> None:
            load(self)
            if id(self.stack[-1]) in self._built:  # filled after it was stored
                self.stack[-1] = self._built[id(self.stack[-1])][1]

        return load_latest

    instructions[pickle.GET[0]] = _from_memo(_PythonUnpickler.load_get)
    instructions[pickle.BINGET[0]] = _from_memo(_PythonUnpickler.load_binget)
    instructions[pickle.LONG_BINGET[0]] = _from_memo(_PythonUnpickler.load_long_binget)

    def load_setitem(self) -> None:
        """Set one value of a dictionary."""
        value, key = self.stack.pop(), self.stack.pop()
        self._fill([key, value])

    instructions[pickle.SETITEM[0]] = load_setitem

    def load_setitems(self) -> None:
        """Set values of a dictionary."""
        self._fill(self.pop_mark())

    instructions[pickle.SETITEMS[0]] = load_setitems

    def load_dict(self) -> None:
        """Make a dictionary of keys and values in turn."""
        items = self.pop_mark()
        self.append({})
        self._fill(items)

    instructions[pickle.DICT[0]] = load_dict

    def _fill(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not dict or len(items) % 2:
            raise pickle.UnpicklingError("it sets values of what is no dictionary.")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[check_key(key)] = value

    def load_additems(self) -> None:
        """Add members to a set."""
        items = self.pop_mark()
        if type(self.stack[-1]) is not set:
            raise pickle.UnpicklingError("it adds members to what is no set.")
        self.stack[-1].update(check_key(item) for item in items)

    instructions[pickle.ADDITEMS[0]] = load_additems

    def load_frozenset(self) -> None:
        """Make a frozen set."""
        items = self.pop_mark()
        self.append(frozenset(check_key(item) for item in items))

    instructions[pickle.FROZENSET[0]] = load_frozenset
