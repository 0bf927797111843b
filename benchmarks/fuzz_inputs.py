"""What `benchmarks.fuzz` damages: files of every kind that the package reads, with their readers; and how."""

from __future__ import annotations

import io
import json
import pickle
import random
import re
import zipfile
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from infinitedance.assets import DEFAULT_RESTORER
from infinitedance.audio.features import MusicFeatureExtractor
from infinitedance.audio.loading import load_audio
from infinitedance.cli.energy_file import energy_option
from infinitedance.dataset_builder.build import build_dataset
from infinitedance.dataset_builder.built import BuiltDataset
from infinitedance.dataset_builder.clip_folder import read_clip_folder
from infinitedance.dataset_builder.library import built_clips
from infinitedance.dataset_builder.procedural.dance import synthesize_dance
from infinitedance.dataset_builder.procedural.dataset import make_procedural_dataset
from infinitedance.dataset_builder.stages import SourceFolder
from infinitedance.evaluation.folders import read_pairing_manifest
from infinitedance.modeling.choreollama.configuration_choreollama import ChoreoLlamaConfig
from infinitedance.modeling.choreollama.modeling_choreollama import ChoreoLlamaForConditionalGeneration
from infinitedance.modeling.music_dance.configuration_music_dance import MusicDanceConfig
from infinitedance.modeling.music_dance.modeling_music_dance import MusicDanceEncoder
from infinitedance.motion.files import export_motion, read_motion, save_motion, write_bvh
from infinitedance.motion.kinematics import quaternion_to_matrix
from infinitedance.motion.looping import loop_of_whole_bars
from infinitedance.motion.motion import Motion
from infinitedance.pipeline import MusicToDancePipeline
from infinitedance.restoration.contact_files import read_contacts, write_contacts
from infinitedance.restoration.pipeline_frdm import FrdmPipeline
from infinitedance.retrieval.references import ReferenceRetriever
from infinitedance.spaces_demo.view_dances import read_show
from infinitedance.tokenization.configuration_motion_codec import MotionCodecConfig
from infinitedance.tokenization.modeling_motion_codec import MotionCodecModel
from infinitedance.tokenization.processing_choreollama import ChoreoLlamaProcessor

SONG_SECONDS = 3.0
MAX_METRES, MAX_SPEED, MAX_BONE_METRES = 1000.0, 50.0, 2.0
"""Of anybody's root, also in m/s, and bones: a file that says more has been misread."""


@dataclass(frozen=True)
class Reading:
    """What a reader made of a file.

    Args:
        amount: How much it read: seconds of a song, frames of a dance, rows of a table.
        digest: Of what must not change unseen, as weights; empty where a changed file is another file.
        problem: What is wrong with it that the reader did not say; empty if nothing.
    """

    amount: float
    digest: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Target:
    """A file to damage, in its folder.

    Args:
        area: Row of the report.
        file: The file.
        root: The folder that is copied before it is damaged; what is read.
        read: Reads the copy of `root`, or the file.
        kind: `"bytes"`, `"text"`, `"json"`, `"csv"` or `"npz"`: which damages fit.
        is_cut_noticed: Whether the file says how much it holds, so that a cut one must be refused.
    """

    area: str
    file: Path
    root: Path
    read: Callable[[Path], Reading]
    kind: str = "bytes"
    is_cut_noticed: bool = False


def make_targets(folder: Path) -> list[Target]:
    """Write files of every kind to a folder, and say how each is read."""
    targets: list[Target] = []
    for make in (_songs, _dances, _models, _library, _data_sets, _tables):
        part = folder / make.__name__.strip("_")
        part.mkdir()
        targets += make(part)
    return targets


def _songs(folder: Path) -> list[Target]:
    import av
    import soundfile

    times = np.arange(round(SONG_SECONDS * 24_000)) / 24_000
    song = 0.5 * np.sin(2 * np.pi * 220 * times) * np.exp(-20 * (times % 0.5))
    for name, subtype in {"pcm.wav": "PCM_16", "float.wav": "FLOAT", "song.flac": "PCM_16", "song.aiff": None}.items():
        soundfile.write(folder / name, song, 24_000, subtype=subtype)
    soundfile.write(folder / "song.ogg", song, 24_000)
    soundfile.write(folder / "song.mp3", song, 24_000)
    for name, codec in {"song.m4a": "aac", "song.webm": "libopus", "song.aac": "aac"}.items():
        with av.open(str(folder / name), "w") as container:
            stream: Any = container.add_stream(codec, rate=24_000, layout="mono")
            for start in range(0, len(song), 960):
                piece = np.ascontiguousarray(song[None, start : start + 960], np.float32)
                frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout="mono")
                frame.sample_rate, frame.pts = 24_000, start
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    stated = {"pcm.wav", "float.wav", "song.flac", "song.aiff", "song.m4a"}
    return [Target("songs", path, path, _read_song, "bytes", path.name in stated) for path in sorted(folder.iterdir())]


def _read_song(path: Path) -> Reading:
    waveform = load_audio(path, 24_000)
    is_sound = np.isfinite(waveform).all() and np.abs(waveform).max() < 1e4
    return Reading(len(waveform) / 24_000, problem="" if is_sound else "samples that are no sound")


def _dances(folder: Path) -> list[Target]:
    dance = synthesize_dance("rumba", 96, 2.0, seed=0)
    positions = dance.joint_positions().astype(np.float32)
    matrices = quaternion_to_matrix(torch.from_numpy(dance.joint_rotations)).numpy()
    vectors = _rotation_vectors(matrices)
    write_bvh(dance, folder / "dance.bvh")
    save_motion(dance, folder / "dance.npz")
    export_motion(dance, folder / "amass.smplx.npz")
    np.save(folder / "joints.npy", positions)
    (folder / "joints.json").write_text(json.dumps(positions.round(4).tolist()))
    smpl = {"smpl_poses": vectors.reshape(len(vectors), -1), "smpl_trans": dance.root_positions.astype(np.float32)}
    (folder / "edge.pkl").write_bytes(pickle.dumps(smpl | {"full_pose": _with_hands(positions)}))
    (folder / "aist.pkl").write_bytes(
        pickle.dumps(
            {
                "smpl_poses": np.pad(vectors, ((0, 0), (0, 2), (0, 0))).reshape(len(vectors), 72),
                "smpl_trans": 93.0 * dance.root_positions,
                "smpl_scaling": np.array([93.0]),
            }
        )
    )
    numbers = {"body_pose": vectors[:, 1:].reshape(len(vectors), 63), "global_orient": vectors[:, 0]}
    world = {name: torch.tensor(value, dtype=torch.float32) for name, value in numbers.items()}
    world["transl"] = torch.tensor(dance.root_positions, dtype=torch.float32)
    world["betas"] = torch.zeros(len(vectors), 10)
    torch.save({"smpl_params_global": world}, folder / "hmr4d_results.pt")
    kinds = {".bvh": "text", ".json": "json", ".npz": "npz"}
    targets = [
        Target("motion files", path, path, _read_dance, kinds.get(path.suffix, "bytes"), path.suffix == ".bvh")
        for path in sorted(folder.iterdir())
    ]
    told = folder / "told.npz"
    save_motion(dance, told)
    return [*targets, Target("provenance", told, told, _show_dance, "provenance")]


def _rotation_vectors(matrices: np.ndarray) -> np.ndarray:
    from scipy.spatial.transform import Rotation

    return Rotation.from_matrix(matrices.reshape(-1, 3, 3)).as_rotvec().reshape(*matrices.shape[:2], 3)


def _with_hands(positions: np.ndarray) -> np.ndarray:
    return np.concatenate([positions, positions[:, 20:22]], axis=1)


def _read_dance(path: Path) -> Reading:
    return _reading_of(read_motion(path, trust_pickle=True, frame_rate=None if path.suffix != ".npy" else 30))


def _reading_of(motion: Motion) -> Reading:
    root = motion.root_positions
    speed = np.abs(np.diff(root, axis=0)).max(initial=0) * motion.frame_rate
    problem = ""
    if not np.isfinite(motion.joint_rotations).all() or not np.abs(root).max() < MAX_METRES:
        problem = "a dance that is not finite or kilometres away"
    elif not np.abs(motion.skeleton.offsets).max() < MAX_BONE_METRES:
        problem = f"a bone of {np.abs(motion.skeleton.offsets).max():g} m"
    elif speed > MAX_SPEED:
        problem = f"a root at {speed:.0f} m/s"
    elif not 1 <= motion.frame_rate <= 1000:
        problem = f"{motion.frame_rate:g} Hz"
    return Reading(motion.num_frames, problem=problem)


def _show_dance(path: Path) -> Reading:
    """Read a dance, and use all that its file says beside the motion."""
    motion = read_motion(path)
    json.dumps(read_show([path]).dances, allow_nan=False)
    for suffix in (".csv", ".glb"):
        export_motion(motion, path.with_suffix(suffix))
    with suppress(ValueError):  # two seconds hold no bars, and damaged times none at all
        loop_of_whole_bars(motion)
    return _reading_of(motion)


_TINY_BACKBONE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 48,
}


def _models(folder: Path) -> list[Target]:
    torch.manual_seed(0)
    codec = MotionCodecModel(
        MotionCodecConfig(hidden_size=24, codebook_dim=8, codebook_size=16, residual_dilations=[1])
    )
    config = ChoreoLlamaConfig(
        backbone_config=_TINY_BACKBONE,
        genres=["rumba", "waltz"],
        codebook_size=16,
        codebook_dim=8,
        expert_hidden_size=16,
        expert_num_heads=2,
    )
    model = ChoreoLlamaForConditionalGeneration(config)
    codec.codebooks.normal_()
    model.generation_config.default_num_references = 0
    model.generation_config.genre_gaze_degrees = {"rumba": 3.0, "waltz": -5.0}
    model.set_codec(codec)
    generator = folder / "generator"
    processor = ChoreoLlamaProcessor(MusicFeatureExtractor(), genres=config.genres)
    MusicToDancePipeline(model, processor).save_pretrained(generator)
    (generator / "README.md").write_text("---\nlicense: cc-by-4.0\ntags: [dance]\n---\n\n# A model\n")
    restorer = folder / "restorer"
    FrdmPipeline.from_pretrained(DEFAULT_RESTORER).save_pretrained(restorer)
    readers: dict[Path, Callable[[Path], Reading]] = {generator: _read_generator, restorer: _read_restorer}
    kinds = {".json": "json", ".md": "text", "": "text"}
    return [
        Target("checkpoints", path, root, read, kinds.get(path.suffix, "bytes"))
        for root, read in readers.items()
        for path in sorted(root.iterdir())
    ]


def _read_generator(folder: Path) -> Reading:
    pipeline = MusicToDancePipeline.from_pretrained(folder)
    clicks = np.where(np.arange(36_000) % 12_000 < 600, np.float32(0.5), np.float32(0))
    dance = pipeline(clicks, bpm=120)
    reading = _reading_of(dance.motion)
    return Reading(reading.amount, _weights_digest(pipeline.model), reading.problem)


def _read_restorer(folder: Path) -> Reading:
    return Reading(1, _weights_digest(FrdmPipeline.from_pretrained(folder).model))


def _weights_digest(model: torch.nn.Module) -> str:
    checksum = 0
    for name, weight in sorted(model.state_dict().items()):
        checksum = zlib.crc32(name.encode() + weight.float().numpy().tobytes(), checksum)
    return f"{checksum:08x}"


def _library(folder: Path) -> list[Target]:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    encoder = MusicDanceEncoder(MusicDanceConfig(window_frames=60, stride_frames=30, **sizes)).eval()
    data = _built(folder, folder / "built")
    library = folder / "library"
    ReferenceRetriever.build(encoder, built_clips(BuiltDataset(data))).save_pretrained(library)
    return [
        Target("libraries", path, library, _read_library, "json" if path.suffix == ".json" else "bytes")
        for path in sorted(library.rglob("*"))
        if path.is_file()
    ]


def _read_library(folder: Path) -> Reading:
    retriever = ReferenceRetriever.from_pretrained(folder)
    features = np.zeros((90, 109), np.float32)
    references, windows = retriever(features, num_references=1)
    for clip_id in retriever.dances:
        retriever.library.features(clip_id)
    checksum = zlib.crc32(references.tobytes() + repr(windows).encode())
    return Reading(len(windows), f"{checksum:08x}")


def _built(folder: Path, output: Path) -> Path:
    clips = make_procedural_dataset(folder / "clips", 2, 3.0)
    return build_dataset([SourceFolder("clip_folder", str(clips))], output, mirror=False)


def _data_sets(folder: Path) -> list[Target]:
    built = _built(folder, folder / "built")
    kinds = {".jsonl": "json", ".json": "json"}
    built_files = [path for path in sorted(built.rglob("*")) if path.is_file() and path.suffix != ".md"]
    targets = [
        Target("data sets", path, built, _read_built, kinds.get(path.suffix, "bytes"))
        for path in built_files
        if path.suffix in (".jsonl", ".npy")
    ]
    again = [
        Target("data sets, built again", path, folder, _build_again, kinds.get(path.suffix, "bytes"))
        for path in built_files
        if path.suffix != ".jsonl" and path.name != "report.json"
    ]
    return targets + again


def _read_built(folder: Path) -> Reading:
    data = BuiltDataset(folder)
    frames = sum(len(data.motion_features(clip)) + len(data.music_or_clock(clip)) for clip in data.clips)
    clips = list(built_clips(data))
    return Reading(frames + len(clips))


def _build_again(folder: Path) -> Reading:
    """Build into the damaged folder, and compare with what was there before: its manifest names every hash."""
    before = (folder / "built" / "manifest.jsonl").read_bytes()
    build_dataset([SourceFolder("clip_folder", str(folder / "clips"))], folder / "built", mirror=False)
    data = BuiltDataset(folder / "built")
    is_same = (folder / "built" / "manifest.jsonl").read_bytes() == before
    is_whole = all(clip.is_intact(data.folder) for clip in data.clips)
    return Reading(1, problem="" if is_same and is_whole else "files that are not those of the build")


def _tables(folder: Path) -> list[Target]:
    clips = make_procedural_dataset(folder / "clips", 2, 3.0)
    contacts, curve, songs = folder / "contacts.csv", folder / "energy.csv", folder / "manifest.csv"
    write_contacts(np.arange(120).reshape(30, 4) % 3 == 0, contacts)
    curve.write_text("seconds,energy\n0,0.5\n2.5,1\n4,0\n")
    songs.write_text("file,song,genre,bpm\na,one,rumba,100\nb,two,waltz,\n")
    return [
        Target("tables", clips / "metadata.csv", clips, lambda path: Reading(len(read_clip_folder(path))), "csv"),
        Target("tables", contacts, contacts, _read_contacts, "csv", is_cut_noticed=True),
        Target("tables", curve, curve, _read_energy, "csv"),
        Target("tables", songs, songs, lambda path: Reading(len(read_pairing_manifest(path))), "csv"),
    ]


def _read_contacts(path: Path) -> Reading:
    """Read contacts; compare them with what a plain reading of the table says of each frame."""
    contacts = read_contacts(path, 30)
    rows = [line.split(",") for line in path.read_text(encoding="utf-8-sig").split("\n")[1:] if line.strip()]
    by_frame = {int(row[0]): [cell.strip() == "1" for cell in row[1:5]] for row in rows if len(row) == 5}
    is_same = len(by_frame) == 30 and all(by_frame[frame] == list(contacts[frame]) for frame in by_frame)
    header = path.read_text(encoding="utf-8-sig").split("\n")[0].strip()
    is_usual = header == "frame,left_ankle,right_ankle,left_foot,right_foot"
    return Reading(len(contacts), problem="" if is_same or not is_usual else "contacts of other frames")


def _read_energy(path: Path) -> Reading:
    points = energy_option(str(path))
    assert isinstance(points, list)
    return Reading(len(points))


def damage(content: bytes, kind: str, draw: random.Random) -> tuple[bytes, str]:
    """Damage the content of a file.

    Args:
        content: Of the file.
        kind: Of the file.
        draw: Chooses how.

    Returns:
        The new content, and what was done to it; `"cut"` if it lacks its end.
    """
    fitting = {"text": _TEXT, "csv": _TEXT, "json": {**_TEXT, **_JSON}, "npz": _ARCHIVES, "provenance": _PROVENANCE}
    ways: Mapping[str, Callable[[bytes, random.Random], bytes]] = {**_BYTES, **fitting.get(kind, {})}
    if kind != "bytes" and draw.random() < 0.75:
        ways = fitting[kind]
    name = draw.choice(sorted(ways))
    return ways[name](content, draw), name


def _span(content: bytes, draw: random.Random) -> tuple[int, int]:
    start = draw.randrange(len(content))
    return start, min(len(content), start + draw.choice([1, 4, 64, 1024, len(content) // 3 + 1]))


def _cut(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(len(content))]


def _flip_bits(content: bytes, draw: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(draw.choice([1, 1, 8, 64])):
        # Headers are where a bit matters most.
        place = draw.randrange(min(len(changed), draw.choice([64, 1024, len(changed)])))
        changed[place] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _overwrite(content: bytes, draw: random.Random) -> bytes:
    start, end = _span(content, draw)
    return content[:start] + draw.choice([b"\x00", b"\xff", b"\x80", b"9"]) * (end - start) + content[end:]


def _remove(content: bytes, draw: random.Random) -> bytes:
    start, end = _span(content, draw)
    return content[:start] + content[end:]


def _insert(content: bytes, draw: random.Random) -> bytes:
    start = draw.randrange(len(content))
    return content[:start] + draw.randbytes(draw.choice([1, 16, 4096])) + content[start:]


def _append(content: bytes, draw: random.Random) -> bytes:
    return content + draw.choice([draw.randbytes(1000), content, bytes(100_000)])


def _replace(content: bytes, draw: random.Random) -> bytes:
    return draw.choice([b"", b"\x00", b"PK\x03\x04", b"\x80\x05.", b"{}", b"<html>", draw.randbytes(5000)])


_BYTES = {
    "cut": _cut,
    "bits flipped": _flip_bits,
    "overwritten": _overwrite,
    "a part removed": _remove,
    "bytes inserted": _insert,
    "bytes appended": _append,
    "another file": _replace,
}
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_NUMBERS = (
    b"nan", b"inf", b"-1", b"0", b"1e30", b"-1e-300", b"99999999999999999999", b"1" * 5000, b"", b"x", b"0x10", b"1,5",
    b"1e999", b"2147483648", b"\xef\xbc\x91",
)  # fmt: skip


def _change_number(content: bytes, draw: random.Random) -> bytes:
    places = list(_NUMBER.finditer(content))
    if not places:
        return _overwrite(content, draw)
    place = draw.choice(places[: draw.choice([8, 64, len(places)])])
    return content[: place.start()] + draw.choice(_NUMBERS) + content[place.end() :]


def _change_lines(content: bytes, draw: random.Random) -> bytes:
    lines = content.split(b"\n")
    index = draw.randrange(min(len(lines), draw.choice([8, 64, len(lines)])))
    how = draw.choice(["remove", "double", "swap", "empty", "long", "words"])
    if how == "remove":
        del lines[index]
    elif how == "double":
        lines.insert(index, lines[index])
    elif how == "swap":
        other = draw.randrange(len(lines))
        lines[index], lines[other] = lines[other], lines[index]
    elif how == "words":
        words = lines[index].split(draw.choice([b" ", b",", b":"]))
        draw.shuffle(words)
        lines[index] = b" ".join(words)
    else:
        lines[index] = b"" if how == "empty" else lines[index] * 2000
    return b"\n".join(lines)


def _encode_otherwise(content: bytes, draw: random.Random) -> bytes:
    text = content.decode("utf-8", "replace")
    return text.encode(draw.choice(["utf-16", "utf-32", "utf-8-sig", "utf-16-le"]))


_TEXT = {"cut": _cut, "a number": _change_number, "lines": _change_lines, "another encoding": _encode_otherwise}
_ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1e300,
    float("nan"),
    "text",
    "",
    [],
    {},
    [[]],
    {"a": {}},
    "x" * 100_000,
    10**18,
)


def _change_value(content: bytes, draw: random.Random) -> bytes:
    try:
        lines = [json.loads(line) for line in content.splitlines()] if b"}\n{" in content else [json.loads(content)]
    except ValueError:
        return _overwrite(content, draw)
    holder: Any = lines
    key: Any = draw.randrange(len(lines))
    for _ in range(draw.randrange(1, 5)):
        inner = holder[key]
        if not isinstance(inner, dict | list) or not inner:
            break
        holder, key = inner, draw.choice(sorted(inner)) if isinstance(inner, dict) else draw.randrange(len(inner))
    if isinstance(holder, dict) and draw.random() < 0.3:
        del holder[key]
    else:
        holder[key] = draw.choice(_ODD_VALUES)
    return "\n".join(map(json.dumps, lines)).encode()


def _nest(content: bytes, draw: random.Random) -> bytes:
    depth = draw.choice([500, 100_000])
    return draw.choice([b"[" * depth + b"]" * depth, b'{"a":' * depth + b"1" + b"}" * depth])


_JSON = {"a value": _change_value, "nested": _nest}


def _archive(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _pack(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _array_bytes(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def _change_array(content: bytes, draw: random.Random) -> bytes:
    members = _archive(content)
    name = draw.choice(sorted(members))
    array = np.load(io.BytesIO(members[name]), allow_pickle=False)
    odd: list[Callable[[], Any]] = [
        lambda: array[..., None],
        lambda: array.reshape(-1)[:0],
        lambda: array.reshape(-1)[: max(1, array.size // 2)],
        lambda: array.astype("U8"),
        lambda: np.array([{"a": 1}], dtype=object),
        lambda: np.array(None, dtype=object),
        lambda: array.astype(np.complex64) if array.dtype.kind in "fi" else np.array(1j),
    ]
    if array.dtype.kind in "fi":
        odd += [
            lambda: np.full_like(array, np.nan, dtype=np.float64),
            lambda: np.where(np.arange(array.size).reshape(array.shape) == array.size // 2, np.inf, array),
            lambda: array * 1e30,
            lambda: array.astype(np.float64) * 100,
            lambda: -array,
            lambda: np.zeros_like(array),
            lambda: array.astype(np.int8, casting="unsafe"),
        ]
    members[name] = _array_bytes(draw.choice(odd)())
    return _pack(members)


def _drop_member(content: bytes, draw: random.Random) -> bytes:
    members = _archive(content)
    del members[draw.choice(sorted(members))]
    return _pack(members)


def _swell_member(content: bytes, draw: random.Random) -> bytes:
    """Add a member, or blow one up, whose 1.5 GB are 1.5 MB in the archive."""
    members = _archive(content)
    name = draw.choice([*sorted(members), "stranger.npy"])
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (400_000_000,)})
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for other, data in members.items():
            if other != name:
                archive.writestr(other, data)
        with archive.open(name, "w", force_zip64=True) as member:
            member.write(header.getvalue())
            for _ in range(1500):
                member.write(bytes(1_000_000))
    return buffer.getvalue()


_ARCHIVES = {"an array": _change_array, "a member gone": _drop_member, "a member swollen": _swell_member}
_PROVENANCES = (
    "null", "[]", "3", '"text"', "{", "", '{"song": 3}', '{"beat_times_seconds": null}',
    '{"beat_times_seconds": "many"}', '{"beat_times_seconds": [NaN]}', '{"beat_times_seconds": [1e300, -1]}',
    '{"beat_times_seconds": [[1]]}', '{"downbeat_times_seconds": {"a": 1}}', '{"genre": {"a": []}}', "[" * 100_000,
    '{"song": "../../etc/passwd"}', '{"beat_times_seconds": [' + "1," * 100_000 + "2]}",
)  # fmt: skip


def _change_provenance(content: bytes, draw: random.Random) -> bytes:
    members = _archive(content)
    members["provenance.npy"] = _array_bytes(np.array(draw.choice(_PROVENANCES)))
    return _pack(members)


_PROVENANCE = {"provenance": _change_provenance}
