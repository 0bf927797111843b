"""Pickles from strangers: honest ones are read in every protocol, crafted ones end in one line and take no memory."""

import bz2
import collections
import io
import pickle
import struct
import time
import zipfile
import zlib

import joblib
import numpy as np
import pytest
import torch

from infinitedance.motion.files import limits, pickles, read_pickle
from infinitedance.motion.files.estimates import read_estimates
from infinitedance.motion.files.joint_arrays import read_number_file

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(4, 3))
HONEST = {
    "array": ROWS,
    "the same again": ROWS,
    "columns first": np.asfortranarray(ROWS),
    "big endian": ROWS.astype(">f4"),
    "nothing": np.zeros((0, 3)),
    "one": np.array(5),
    "half": ROWS.astype(np.float16),
    "flags": np.array([True, False]),
    "texts": np.array(["a", "bcd"]),
    "bytes": np.array([b"a", b"bcd"]),
    "scalar": np.float32(2.5),
    "number": np.int64(7),
    "tensor": torch.arange(6.0).reshape(2, 3).T,
    "complex": np.array([1 + 2j]),
}
PLAIN = {
    "list": [1, -2.5, "text", None, True, (1, 2), b"bytes", bytearray(b"more"), 10**30, 1 + 2j],
    "sets": ({1, 2}, frozenset({"a"})),
    "ordered": collections.OrderedDict(b=1, a=2),
    "defaults": collections.defaultdict(dict, {3: {"x": 1}}),
    7: {np.int64(3): "number as a key", (1, "a"): "pair"},
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_what_is_honest_comes_back_in_every_protocol(protocol, tmp_path):
    (tmp_path / "clip.pkl").write_bytes(pickle.dumps({**HONEST, **PLAIN}, protocol=protocol))
    read = read_pickle(tmp_path / "clip.pkl", True)
    for name, value in HONEST.items():
        np.testing.assert_array_equal(read[name], np.asarray(value), err_msg=name)
        assert np.asarray(read[name]).dtype == np.asarray(value).dtype, name
    assert {name: read[name] for name in PLAIN} == PLAIN


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3)], ids=str)
def test_what_joblib_compresses_comes_back(compress, tmp_path):
    honest = {name: value for name, value in HONEST.items() if name != "tensor"}
    joblib.dump({"people": {0: honest, 1: honest}}, tmp_path / "clip.pkl", compress=compress)
    read = read_pickle(tmp_path / "clip.pkl", True)["people"]
    for name, value in honest.items():
        np.testing.assert_array_equal(read[1][name], value, err_msg=name)


def test_old_module_names_and_strings_of_python_2_are_read(tmp_path):
    content = pickle.dumps({"x": ROWS, "n": np.float64(2)}, protocol=2).replace(b"numpy._core", b"numpy.core")
    (tmp_path / "clip.pkl").write_bytes(content)
    np.testing.assert_array_equal(read_pickle(tmp_path / "clip.pkl", True)["x"], ROWS)
    python_2 = (
        b"(dp0\nS'poses'\np1\ncnumpy.core.multiarray\n_reconstruct\np2\n(cnumpy\nndarray\np3\n(I0\ntp4\nS'b'\np5\ntp6\n"
        b"Rp7\n(I1\n(I2\ntp8\ncnumpy\ndtype\np9\n(S'f4'\np10\nI0\nI1\ntp11\nRp12\n(I3\nS'<'\np13\nNNNI-1\nI-1\nI0\n"
        b"tp14\nbI00\nS'\\x00\\x00\\x80?\\x00\\x00\\x00@'\np15\ntp16\nbs."
    )
    (tmp_path / "clip.pkl").write_bytes(python_2)
    np.testing.assert_array_equal(read_pickle(tmp_path / "clip.pkl", True)["poses"], [1.0, 2.0])


def test_dictionaries_and_lists_in_arrays_become_lists(tmp_path):
    np.save(tmp_path / "clip.npy", np.array([{"x": ROWS}, None], dtype=object), allow_pickle=True)
    first, second = read_number_file(tmp_path / "clip.npy", True)
    np.testing.assert_array_equal(first["x"], ROWS)
    assert second is None


def called(function, *arguments, then=b""):
    """Return a pickle that calls a function by name, with arguments that are pickled or given as opcodes."""
    module, name = function.rsplit(".", 1)
    values = b"".join(
        argument if isinstance(argument, bytes) else pickle.dumps(argument, protocol=2)[2:-1] for argument in arguments
    )
    return b"\x80\x02" + named(module, name) + b"(" + values + b"tR" + then + b"."


def named(module, name):
    return b"c" + module.encode() + b"\n" + name.encode() + b"\n"


def opcodes(value):
    return pickle.dumps(value, protocol=2)[2:-1]


NDARRAY, DTYPE = named("numpy", "ndarray"), named("numpy", "dtype")
OBJECT_DTYPE = DTYPE + b"(" + opcodes("O8") + opcodes(False) + opcodes(True) + b"tR"
OBJECT_STATE = opcodes((3, "|", None, None, None, -1, -1, 63)) + b"b"
FLOAT_DTYPE = DTYPE + b"(" + opcodes("f8") + opcodes(False) + opcodes(True) + b"tR"
RECONSTRUCT = named("numpy.core.multiarray", "_reconstruct") + b"(" + NDARRAY + opcodes((0,)) + opcodes(b"b") + b"tR"
ADDRESS = struct.pack("<Q", id(ROWS))


def built(dtype, shape, content):
    return b"\x80\x02" + RECONSTRUCT + b"(K\x01" + opcodes(shape) + dtype + b"\x89" + content + b"tb."


CRAFTED = {
    "an array laid over bytes": called("numpy.ndarray", (1,), "O", opcodes(ADDRESS)),
    "ndarray by new": b"\x80\x02" + NDARRAY + b"(" + opcodes((1,)) + opcodes("O") + opcodes(ADDRESS) + b"t\x81.",
    "ndarray by obj": b"\x80\x02(" + NDARRAY + opcodes((1,)) + opcodes("O") + b"o.",
    "ndarray by inst": b"(" + opcodes((1,)) + b"inumpy\nndarray\n.",
    "a scalar of objects": called("numpy.core.multiarray.scalar", OBJECT_DTYPE + OBJECT_STATE, opcodes(ADDRESS)),
    "a scalar of objects without state": called("numpy.core.multiarray.scalar", OBJECT_DTYPE, opcodes(ADDRESS)),
    "a float with the flags of objects": called(
        "numpy.core.multiarray.scalar",
        FLOAT_DTYPE + opcodes((3, "<", None, None, None, -1, -1, 63)) + b"b",
        opcodes(ADDRESS * 2),
    ),
    "an array of objects from bytes": built(OBJECT_DTYPE + OBJECT_STATE, (1,), opcodes(ADDRESS)),
    "a buffer of objects": called(
        "numpy._core.numeric._frombuffer", opcodes(ADDRESS), OBJECT_DTYPE + OBJECT_STATE, (1,), "C"
    ),
    "a dtype of its own size": called("numpy.dtype", "V8", then=opcodes((3, "|", None, ("a",), {}, 8, 1, 27)) + b"b"),
    "fields that overlap": built(
        DTYPE + b"(" + opcodes("f8") + b"tR" + opcodes((3, "<", None, ("a",), {"a": 1}, 8, 1, 16)) + b"b",
        (1,), opcodes(b"\0" * 8),
    ),
    "a subarray": built(
        DTYPE + b"(" + opcodes("f8") + b"tR" + opcodes((3, "<", ("f8", (2,)), None, None, 8, 1, 0)) + b"b",
        (1,), opcodes(b"\0" * 8),
    ),
    "fewer bytes than its shape": built(FLOAT_DTYPE + opcodes((3, "<", None, None, None, -1, -1, 0)) + b"b",
                                       (1000,), opcodes(b"\0" * 8)),
    "a shape of the size of the moon": built(FLOAT_DTYPE + opcodes((3, "<", None, None, None, -1, -1, 0)) + b"b",
                                            (2**40, 2**40), opcodes(b"")),
    "a negative shape": built(FLOAT_DTYPE + opcodes((3, "<", None, None, None, -1, -1, 0)) + b"b",
                              (-1, -8), opcodes(b"\0" * 64)),
    "the state of a list": b"\x80\x02]" + opcodes({"x": 1}) + b"b.",
    "the state of a function": b"\x80\x02" + DTYPE + opcodes((None, {"__defaults__": (1,)})) + b"b.",
    "the state of a class": b"\x80\x02" + named("joblib.numpy_pickle", "NumpyArrayWrapper")
    + opcodes({"build": 1}) + b"b.",
    "a million bytes of nothing": called("builtins.bytearray", 10**12),
    "bytes of nothing": called("builtins.bytes", 10**12),
    "an eight byte length": b"\x80\x05\x96" + struct.pack("<Q", 2**62) + b".",
    "a long string": b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b".",
    "a frame": b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b".",
    "an extension": b"\x80\x02\x82\x01.",
    "a persistent id": b"\x80\x02\x8c\x01aQ.",
    "a number of a million digits": b"I" + b"9" * 1_000_000 + b"\n.",
    "eval": called("builtins.eval", "1"),
    "getattr": called("builtins.getattr", "a", "b"),
    "a dotted name": b"\x80\x04\x8c\x05numpy\x8c\x0bdtype.mro\x93.",
    "a string that is called": b"\x80\x02" + opcodes("text") + b")R.",
    "deep lists": b"\x80\x02" + b"(" * 100_000 + b"l" * 100_000 + b".",
    "an empty stack": b"\x80\x020.",
    "a missing memo": b"\x80\x02h\x07.",
    "a storage of text": called("torch._utils._rebuild_tensor_v2", "storage", 0, (1,), (1,), False, None),
    "torch in torch": called("torch.storage._load_from_bytes", opcodes(pickle.dumps({"a": 1}))),
    "a list as a key": b"\x80\x02}](K\x01K\x02e" + b"K\x01s.",
}  # fmt: skip


@pytest.mark.parametrize("name", CRAFTED)
def test_a_crafted_pickle_ends_in_one_line_that_names_the_file(name, tmp_path):
    (tmp_path / "crafted.pkl").write_bytes(CRAFTED[name])
    with pytest.raises(ValueError, match="crafted.pkl") as error:
        value = read_pickle(tmp_path / "crafted.pkl", True)
        raise AssertionError(f"it became {value!r:.200}")
    assert "\n" not in str(error.value)


def doubled(start, step, times):
    """Return a pickle of a value that holds the one before twice, many times over."""
    body = b"\x80\x02" + start + b"q\x00"
    for index in range(times):
        body += step(index) + b"q" + bytes([index + 1])
    return body + b"."


BOMBS = {
    "a long number as a key": b"\x80\x02" + opcodes(1 << 8_000_000) + b"q\x05}" + b"h\x05K\x01s" * 100_000 + b".",
    "a long tuple as a key": b"\x80\x02(" + b"K\x01" * 200_000 + b"tq\x05}" + b"h\x05K\x01s" * 100_000 + b".",
    "a list that is folded again and again": b"\x80\x02(" + b"K\x01" * 200_000 + b"lq\x05"
    + OBJECT_DTYPE + OBJECT_STATE
    + b"q\x06" + (RECONSTRUCT + b"(K\x01" + opcodes((1, 200_000)) + b"h\x06\x89h\x05tb") * 20_000 + b".",
    "tuples as a key": doubled(b")", lambda index: b"h" + bytes([index]) + b"h" + bytes([index]) + b"\x86", 60)[:-1]
    + b"}h\x3cK\x01s.",
    "tuples in a set": doubled(b")", lambda index: b"h" + bytes([index]) + b"h" + bytes([index]) + b"\x86", 60)[:-1]
    + named("builtins", "frozenset") + b"]h\x3ca\x85R.",
    "one array again and again": b"\x80\x02" + opcodes(b"\0" * 8_000_000) + b"q\x00" + FLOAT_DTYPE
    + opcodes((3, "<", None, None, None, -1, -1, 0)) + b"bq\x01"
    + (RECONSTRUCT + b"(K\x01" + opcodes((1_000_000,)) + b"h\x01\x89h\x00tb") * 500 + b".",
    "one text again and again": b"\x80\x02" + opcodes("a" * 8_000_000) + b"q\x05" + opcodes("latin1") + b"q\x06"
    + (named("_codecs", "encode") + b"h\x05h\x06\x86R") * 500 + b".",
    "a list copied again and again": b"\x80\x02(" + b"K\x01" * 200_000 + b"lq\x00"
    + (named("builtins", "set") + b"h\x00\x85R") * 20_000 + b".",
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_few_bytes_do_not_become_many(name, tmp_path, monkeypatch):
    monkeypatch.setattr(pickles, "MAX_FILE_BYTES", 1 << 26)
    (tmp_path / "bomb.pkl").write_bytes(BOMBS[name])
    started = time.monotonic()
    with pytest.raises(ValueError, match="bomb.pkl"):
        read_pickle(tmp_path / "bomb.pkl", True)
    assert time.monotonic() - started < 20


def test_nested_lists_do_not_become_a_large_array(tmp_path):
    bomb = doubled(b"](" + b"K\x01" * 200 + b"e", lambda index: b"](" + (b"h" + bytes([index])) * 200 + b"e", 5)
    (tmp_path / "bomb.pkl").write_bytes(bomb[:-1] + b"\x80\x02" + b".")
    from infinitedance.motion.files import read_motion

    with pytest.raises(ValueError, match="bomb.pkl.*in lists of 6 levels"):
        read_motion(tmp_path / "bomb.pkl", trust_pickle=True)


def test_too_many_instructions_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(pickles, "MAX_INSTRUCTIONS", 1000)
    (tmp_path / "long.pkl").write_bytes(pickle.dumps(list(range(2000))))
    with pytest.raises(ValueError, match="long.pkl.*more than 1000 instructions"):
        read_pickle(tmp_path / "long.pkl", True)


@pytest.mark.parametrize("compress", [zlib.compress, bz2.compress], ids=["zlib", "bz2"])
def test_a_compressed_bomb_is_refused_before_it_is_unpacked(compress, tmp_path, monkeypatch):
    monkeypatch.setattr(pickles, "MAX_FILE_BYTES", 1 << 20)
    (tmp_path / "bomb.pkl").write_bytes(compress(b"\0" * (1 << 24)))
    with pytest.raises(ValueError, match="bomb.pkl must hold at most 1 MiB"):
        read_pickle(tmp_path / "bomb.pkl", True)


def test_a_file_too_large_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "MAX_FILE_BYTES", 1000)
    (tmp_path / "large.pkl").write_bytes(b"\0" * 1001)
    with pytest.raises(ValueError, match="large.pkl must hold at most"):
        read_pickle(tmp_path / "large.pkl", True)


def torch_file(value):
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def test_a_torch_file_under_the_name_of_a_pickle_is_read(tmp_path):
    (tmp_path / "clip.pkl").write_bytes(torch_file({"x": torch.arange(3)}))
    assert read_pickle(tmp_path / "clip.pkl", True)["x"].tolist() == [0, 1, 2]


def test_a_torch_file_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    from infinitedance.motion.files import pickle_objects

    monkeypatch.setattr(pickle_objects, "MAX_FILE_BYTES", 1 << 20)
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(torch_file({"x": torch.zeros(1 << 20)}))) as source:
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
            for member in source.infolist():
                target.writestr(member.filename, source.read(member))
    (tmp_path / "bomb.pt").write_bytes(packed.getvalue())
    assert len(packed.getvalue()) < 1 << 16
    with pytest.raises(ValueError, match="bomb.pt is not a torch file of tensors only: it holds more than"):
        read_estimates(tmp_path / "bomb.pt")


@pytest.mark.parametrize("is_zip", [True, False])
def test_a_torch_file_of_too_many_instructions_is_refused(is_zip, tmp_path, monkeypatch):
    from infinitedance.motion.files import pickle_objects

    monkeypatch.setattr(pickle_objects, "_MAX_TORCH_PICKLE_BYTES", 1000)
    monkeypatch.setattr(pickle_objects, "_MAX_TORCH_INSTRUCTIONS", 1000)
    torch.save({"x": [0] * 2000}, tmp_path / "long.pt", _use_new_zipfile_serialization=is_zip)
    with pytest.raises(ValueError, match="long.pt is not a torch file of tensors only: it has more than"):
        read_estimates(tmp_path / "long.pt")


@pytest.mark.parametrize("is_zip", [True, False])
def test_old_and_new_torch_files_are_read(is_zip, tmp_path):
    torch.save({"x": torch.arange(3.0)}, tmp_path / "clip.pt", _use_new_zipfile_serialization=is_zip)
    with pytest.raises(ValueError, match="clip.pt must hold `smpl_params_global` .* got x"):
        read_estimates(tmp_path / "clip.pt")


def test_a_tensor_spread_over_one_number_is_not_unfolded(tmp_path):
    wide = torch.zeros(1).expand(10**10)
    people = {"smpl_params_global": {name: wide for name in ("global_orient", "body_pose", "transl")}}
    (tmp_path / "wide.pt").write_bytes(torch_file(people))
    with pytest.raises(ValueError, match="wide.pt.*at most"):
        read_estimates(tmp_path / "wide.pt")


@pytest.mark.parametrize("seed", range(6))
def test_any_damage_ends_in_one_line_that_names_the_file(seed, tmp_path):
    """Bytes changed, cut and doubled at random, of every container that is read."""
    rng = np.random.default_rng(seed)
    joblib.dump(HONEST["array"], tmp_path / "a", compress=3)
    np.save(tmp_path / "b.npy", np.array({"pred_position": ROWS}, dtype=object), allow_pickle=True)
    originals = {
        "plain.pkl": pickle.dumps({**HONEST, **PLAIN}),
        "old.pkl": pickle.dumps({**HONEST, **PLAIN}, protocol=0),
        "packed.pkl": (tmp_path / "a").read_bytes(),
        "clip.npy": (tmp_path / "b.npy").read_bytes(),
        "clip.pt": torch_file({"smpl_params_global": {"transl": torch.zeros(3, 3)}}),
    }
    for name, content in originals.items():
        for _ in range(30):
            damaged = bytearray(content)
            for _ in range(int(rng.integers(1, 6))):
                damaged[int(rng.integers(len(damaged)))] = int(rng.integers(256))
            if rng.random() < 0.3:
                damaged = damaged[: int(rng.integers(len(damaged)))]
            path = tmp_path / name
            path.write_bytes(bytes(damaged))
            try:
                read_number_file(path, True) if name.endswith("npy") else None
                read_pickle(path, True) if name.endswith("pkl") else None
                read_estimates(path) if name.endswith("pt") else None
            except ValueError as error:
                assert name in str(error)
