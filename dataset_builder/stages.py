"""The stages that turn one clip of a source into the files of a built data set.

Read the motion, pass the quality gates, motion features, music features, codes. Each stage is a function of its inputs
alone, computed on one thread, so that the files of a clip do not depend on where and beside what they are made.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import torch

from ..audio.beats import GENRE_METERS, BeatClock, estimate_beats
from ..audio.features import MUSIC_FEATURES_VERSION, MusicFeatureExtractor
from ..audio.loading import load_audio
from ..audio.loudness import hop_powers, integrated_loudness
from ..audio.spectra import SAMPLING_RATE
from ..modeling.choreollama.configuration_choreollama import ChoreoLlamaConfig
from ..modeling.choreollama.modeling_choreollama import ChoreoLlamaForConditionalGeneration
from ..motion.features import motion_to_features
from ..motion.files import read_arrays
from ..motion.motion import Motion
from ..restoration.results import input_digest
from ..tokenization.modeling_motion_codec import MotionCodecModel
from ..utils.checkpoints import find_model_type, load_model
from ..utils.extras import require_extra
from .clip_folder import MIRROR_SUFFIX, opposite_side
from .entry_files import write_content, write_entry
from .genres import OTHER, coarse_genre
from .manifest import BuiltClip, file_sha256, json_line
from .pulse_clock import fit_pulse_clock, read_beats
from .quality_gates import GENRE_GUESSED, QualityGates, measure_motion, measure_music_fit
from .sources import SOURCES, open_source
from .sources.base import MotionSource, SourceRecord
from .sources.clip_folder import ClipFolderSource
from .sources.dance_with_melody import joints_from_points, read_points, upright_points

BUILT, REJECTED, FAILED = "built", "rejected", "failed"
ENTRY_FOLDER = "entries"
OUTPUT_FOLDERS = ("motion", "music", "clock", "codes", "audio", ENTRY_FOLDER)
MEASURE_DECIMALS = 6
MAX_STEM_LETTERS = 180
"""Of a clip id as a name of files, of which most systems take 255 letters; a longer one ends in its hash."""


@dataclass(frozen=True)
class StageSettings:
    """What the files of a clip depend on, beside the clip.

    Args:
        gates: Quality gates.
        codec: Folder of a motion codec, or of a generator that holds one; `None` for no codes.
        mirror: Whether a mirrored copy of each clip is made.
        keep_audio: Whether the sound of each clip is kept beside its features.
        trust_pickle: Whether pickles of the sources may be opened.
    """

    gates: QualityGates
    codec: str | None
    mirror: bool
    keep_audio: bool
    trust_pickle: bool


@dataclass(frozen=True)
class SourceFolder:
    """A data set to build from.

    Args:
        name: A key of `SOURCES`.
        folder: Its folder.
        options: Names and values of what else the source takes, as `timing` of Dance with Melody.
    """

    name: str
    folder: str
    options: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> SourceFolder:
        """Read `NAME=FOLDER`, or `NAME=FOLDER,OPTION=VALUE,...`.

        Raises:
            ValueError: If the text has another form, or there is no such source.
        """
        parts = [part.partition("=") for part in text.split(",")]
        if not all(name and value for name, _, value in parts) or parts[0][0] not in SOURCES:
            raise ValueError(
                f"A source must be NAME=FOLDER with one of the names {', '.join(SOURCES)}, and ,OPTION=VALUE after it "
                f"where it takes any, got {text!r}."
            )
        (name, _, folder), *options = parts
        return cls(name, folder, tuple((option, value) for option, _, value in options))

    def open(self, trust_pickle: bool) -> MotionSource:
        """Open the source."""
        return open_source(self.name, self.folder, trust_pickle=trust_pickle, **dict(self.options))


@dataclass(frozen=True)
class ClipJob:
    """One clip to build.

    Args:
        source: The data set that it is of.
        record: The clip, as the source lists it.
    """

    source: SourceFolder
    record: SourceRecord

    @property
    def clip_id(self) -> str:
        """The id of the clip among those of all sources."""
        return self.qualify(self.record.clip_id)

    def qualify(self, name: str) -> str:
        """Return a name of the source as one that is unique among all sources; an empty one stays empty."""
        return f"{self.source.name}/{name}" if name else ""

    def qualified_record(self) -> SourceRecord:
        """Return the record with ids that are unique among all sources."""
        return replace(
            self.record,
            clip_id=self.clip_id,
            song_id=self.qualify(self.record.song_id),
            performer_id=self.qualify(self.record.performer_id),
            units=tuple((self.qualify(label), seconds) for label, seconds in self.record.units),
        )

    def file(self, folder: str, suffix: str) -> str:
        """Return the path of one of the clip's files, relative to the built folder."""
        stem = quote(self.record.clip_id, safe=" ")
        if len(stem) > MAX_STEM_LETTERS:
            digest = hashlib.blake2b(stem.encode(), digest_size=8).hexdigest()
            stem = f"{stem[:MAX_STEM_LETTERS]}~{digest}"
        return f"{folder}/{self.source.name}/{stem}{suffix}"

    def fingerprint(self) -> str:
        """Return a hash of the record, its files and the source's options: another one is built again.

        Contents are hashed, not sizes or dates: a motion that was corrected in place has the size it had.
        """
        values: dict[str, Any] = {}
        for field in fields(self.record):
            value = getattr(self.record, field.name)
            if isinstance(value, Path):
                value = [os.path.relpath(value, self.source.folder), _content_sha256(value)]
            values[field.name] = value
        values["options"] = {name: file_sha256(Path(value)) or value for name, value in self.source.options}
        return hashlib.sha256(json_line(values).encode()).hexdigest()


def _content_sha256(path: Path) -> str | None:
    """Return the hash of a file, or of all files of a folder; `None` if there is none."""
    return input_digest(path) if path.is_dir() else file_sha256(path)


@dataclass(frozen=True, eq=False)
class ClipMusic:
    """The part of a song that a clip is danced to.

    Args:
        waveform: `(samples,)`, mono, 24 kHz, from the first frame of the dance, at most as long as it.
        beat_clock: The song's beats, counted from the first frame.
        features: `(frames, 109)` float32.
    """

    waveform: np.ndarray
    beat_clock: BeatClock
    features: np.ndarray


def build_clip(job: ClipJob, settings: StageSettings, output_dir: str) -> str:
    """Run all stages of a clip, write its files, and last its entry, which says that it is done.

    Args:
        job: The clip.
        settings: What all clips have in common.
        output_dir: The built folder.

    Returns:
        `"built"`, `"rejected"` by the gates, or `"failed"`: the entry says why.

    Raises:
        ImportError: If an optional package is missing.
        OSError: If the output cannot be written.
    """
    with one_thread():
        entry, files = run_stages(job, settings)
    for file, content in files.items():
        write_content(Path(output_dir) / file, content)
    entry |= {"clip_id": job.clip_id, "fingerprint": job.fingerprint()}
    write_entry(entry, Path(output_dir) / job.file(ENTRY_FOLDER, ".json"))
    return entry["status"]


def run_stages(job: ClipJob, settings: StageSettings) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Compute everything of a clip in memory.

    Returns:
        The entry without its name, and the contents of the files by their paths relative to the built folder.
    """
    entry: dict[str, Any] = {"reasons": [], "flags": [], "measures": {}, "clips": []}
    try:
        motion = _open_source(job.source, settings.trust_pickle).load(job.record)
        measures = measure_motion(motion, source_joint_positions(job.record))
        if settings.gates.judge(measures).reasons:
            return _judged(entry, settings.gates, measures), {}
        starts_on_beat = job.source.name == ClipFolderSource.name
        music = read_music(job.record, motion, starts_on_beat)
        if music is not None:
            measures |= measure_music_fit(motion, music.beat_clock, len(music.waveform) / SAMPLING_RATE)
        entry = _judged(entry, settings.gates, measures)
        if job.record.is_genre_guessed:
            entry["flags"] = [*entry["flags"], GENRE_GUESSED]
        if entry["status"] == REJECTED:
            return entry, {}
        clips, files = make_clips(job, settings, motion, music, tuple(entry["flags"]))
    except (ImportError, MemoryError):
        raise
    except Exception as error:  # readers of broken files raise anything
        message = f"{type(error).__name__}: {error}".replace(job.source.folder + os.sep, "")
        return {**entry, "status": FAILED, "reasons": [message]}, {}
    return {**entry, "clips": [asdict(clip) for clip in clips]}, files


def _judged(entry: dict[str, Any], gates: QualityGates, measures: dict[str, float | None]) -> dict[str, Any]:
    verdict = gates.judge(measures)
    rounded = {name: None if value is None else round(value, MEASURE_DECIMALS) for name, value in measures.items()}
    status = REJECTED if verdict.reasons else BUILT
    return {**entry, "status": status, "reasons": verdict.reasons, "flags": verdict.flags, "measures": rounded}


def source_joint_positions(record: SourceRecord) -> np.ndarray | None:
    """Return the joint positions of a clip that comes without rotations, `(frames, 22, 3)`, else `None`."""
    path = record.motion_path
    if path.name == "skeletons.json":
        return joints_from_points(upright_points(read_points(path), path))
    if path.suffix.lower() != ".npz":
        return None
    arrays = read_arrays(path)
    if "joints22" not in arrays or "local_quat_wxyz" in arrays:
        return None
    start, end = (
        None if seconds is None else round(seconds * float(arrays["fps"]))
        for seconds in (record.motion_start_seconds, record.motion_end_seconds)
    )
    return arrays["joints22"][start:end]


def read_music(record: SourceRecord, motion: Motion, starts_on_beat: bool) -> ClipMusic | None:
    """Load the part of the song that a clip is danced to, with its beats and features.

    Args:
        record: The clip.
        motion: Its dance.
        starts_on_beat: Whether the first sample of a song of known tempo is its first beat, as the clip-folder format
            asks; if not, the beats are estimated from the whole song. A file of beats goes before both.

    Returns:
        The music, `None` if there is none that runs with the dance.

    Raises:
        ValueError: If the song cannot be read, or ends before the dance begins.
    """
    if record.audio_path is None or not record.aligned:
        return None
    song = load_audio(record.audio_path, SAMPLING_RATE)
    start = round(record.start_seconds * SAMPLING_RATE)
    waveform = song[start : start + round(motion.duration_seconds * SAMPLING_RATE)]
    clock = listed_clock(record)
    if clock is None:
        if starts_on_beat and record.bpm is not None:
            meter = GENRE_METERS.get(record.genre, 4)
            clock = BeatClock.steady(record.bpm, len(song) / SAMPLING_RATE, meter=meter)
        else:
            clock = estimate_beats(song, SAMPLING_RATE, genre=record.genre, bpm=record.bpm)
        clock = replace(clock, beat_times_seconds=clock.beat_times_seconds - record.start_seconds)
    loudness = integrated_loudness(hop_powers(song, SAMPLING_RATE))
    extracted = MusicFeatureExtractor()(waveform, SAMPLING_RATE, beat_clock=clock, loudness_lufs=loudness)
    features = extracted["input_features"][0]
    return ClipMusic(waveform, clock, np.asarray(features, dtype=np.float32))


def listed_clock(record: SourceRecord) -> BeatClock | None:
    """Return the beats that a file lists, counted from the first frame of the clip; `None` without a file."""
    if record.beats_path is None:
        return None
    clock = read_beats(record.beats_path, record.genre)
    return replace(clock, beat_times_seconds=clock.beat_times_seconds - record.motion_start_seconds)


def find_clock(record: SourceRecord, motion: Motion) -> BeatClock | None:
    """Return the beats of a dance without a song: those of a file, or of its own pulse; `None` if it has none."""
    return listed_clock(record) or fit_pulse_clock(motion, record.genre, record.pulse_bpm)


def make_clips(
    job: ClipJob, settings: StageSettings, motion: Motion, music: ClipMusic | None, flags: tuple[str, ...]
) -> tuple[list[BuiltClip], dict[str, bytes]]:
    """Make the rows of a clip and its mirrored copy, and the contents of their files."""
    shared: dict[str, bytes] = {}
    music_file = audio_file = clock_file = None
    clock = find_clock(job.record, motion) if music is None else None
    if clock is not None:
        clock_file = job.file("clock", ".npy")
        shared[clock_file] = array_bytes(clock.to_features(motion.num_frames))
    if music is not None:
        music_file = job.file("music", ".npy")
        shared[music_file] = array_bytes(music.features)
        if settings.keep_audio:
            audio_file = job.file("audio", ".flac")
            shared[audio_file] = flac_bytes(music.waveform)
    clips, files = [], dict(shared)
    record = job.qualified_record()
    units = tuple((label, seconds or motion.duration_seconds) for label, seconds in record.units)
    dances = {"": motion, MIRROR_SUFFIX: motion.mirror()} if settings.mirror else {"": motion}
    for suffix, dance in dances.items():
        features = motion_to_features(dance)
        own = {job.file("motion", f"{suffix}.npy"): array_bytes(features.numpy())}
        codes_file = None
        if settings.codec is not None:
            codes_file = job.file("codes", f"{suffix}.npy")
            own[codes_file] = array_bytes(encode(features, settings.codec))
        clips.append(
            BuiltClip(
                clip_id=record.clip_id + suffix,
                song_id=record.song_id,
                performer_id=record.performer_id,
                source=record.source,
                license=record.license,
                genre=record.genre,
                coarse_genre=coarse_genre(record.genre, unknown=OTHER),
                bpm=record.bpm,
                is_mirrored=bool(suffix),
                side=record.side if not suffix else opposite_side(record.side),
                units=units,
                num_frames=dance.num_frames,
                motion_file=job.file("motion", f"{suffix}.npy"),
                music_file=music_file,
                clock_file=clock_file,
                music_features_version=MUSIC_FEATURES_VERSION if music_file or clock_file else None,
                codes_file=codes_file,
                audio_file=audio_file,
                flags=flags,
                sha256=hashlib.sha256(b"".join([*own.values(), *shared.values()])).hexdigest(),
                split="",
            )
        )
        files |= own
    return clips, files


@torch.inference_mode()
def encode(features: torch.Tensor, codec: str) -> np.ndarray:
    """Encode motion features `(frames, 269)` to codes `(num_quantizers, num_tokens)`, int16."""
    return load_codec(codec).encode(features[None])[0].numpy().astype(np.int16)


@lru_cache(maxsize=1)
def load_codec(path: str) -> MotionCodecModel:
    """Load a codec, alone or out of a generator.

    Raises:
        ValueError: If the model is neither, or a generator without its codec.
        OSError: If `path` is neither a folder nor a model on the Hub.
    """
    if find_model_type(path) != ChoreoLlamaConfig.model_type:
        return load_model(path, MotionCodecModel)
    codec = load_model(path, ChoreoLlamaForConditionalGeneration).codec
    if codec is None:
        raise ValueError(f"The generator in {path} carries no codec: give the folder of a motion codec.")
    return codec


def codec_sha256(path: str) -> str:
    """Return a hash of a codec's configuration and weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(load_codec(path).state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} ".encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


@lru_cache(maxsize=8)
def _open_source(source: SourceFolder, trust_pickle: bool) -> MotionSource:
    return source.open(trust_pickle)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread: matrix products that are divided among threads round otherwise."""
    require_extra("threadpoolctl", "data", "Building a data set")
    from threadpoolctl import threadpool_limits

    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(num_threads)


def array_bytes(array: np.ndarray) -> bytes:
    """Return an array as the bytes of a `.npy` file."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def flac_bytes(waveform: np.ndarray) -> bytes:
    """Return a waveform `(samples,)` at 24 kHz as the bytes of a 16-bit FLAC file."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, waveform, SAMPLING_RATE, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()
