"""Typed columns of the data set in the `datasets` library, and one clip as a row of them."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ..audio.features import MusicFeatureLayout
from ..audio.spectra import SAMPLING_RATE
from ..motion.features import NUM_FEATURES
from ..motion.motion import FRAME_RATE
from ..utils.extras import require_extra
from .manifest import BuiltClip

require_extra("datasets", "data", "The data set builder")

import datasets  # noqa: E402
import pyarrow as pa  # noqa: E402

CONFIG_DESCRIPTIONS = {
    "motion": "Motion features of all clips and their mirrored copies.",
    "codes": "Motion codes of all clips and their mirrored copies.",
    "music": "Music features and sound of the clips that have aligned music.",
    "paired": "Clips with aligned music: motion, music and codes that begin with the same frame.",
}


def clips_of_config(clips: Iterable[BuiltClip], config_name: str) -> list[BuiltClip]:
    """Return the clips that have what a configuration holds."""
    wanted = {
        "motion": lambda clip: True,
        "codes": lambda clip: clip.codes_file is not None,
        "music": lambda clip: clip.music_file is not None and not clip.is_mirrored,
        "paired": lambda clip: clip.music_file is not None,
    }[config_name]
    return [clip for clip in clips if wanted(clip)]


def config_features(config_name: str, clips: Iterable[BuiltClip]) -> datasets.Features:
    """Return the typed columns of a configuration.

    Args:
        config_name: A key of `CONFIG_DESCRIPTIONS`.
        clips: All clips of the data set: they name the genres, and whether there are codes and sound.
    """
    clips = list(clips)
    text, present = datasets.Value("string"), clips_of_config(clips, config_name)
    names = ("clip_id", "caption", "song_id", "performer_id", "source", "license")
    columns: dict[str, Any] = dict.fromkeys(names, text)
    columns |= {
        "genre": datasets.ClassLabel(names=sorted({clip.genre for clip in clips})),
        "coarse_genre": datasets.ClassLabel(names=sorted({clip.coarse_genre for clip in clips})),
        "bpm": datasets.Value("float32"),
        "is_mirrored": datasets.Value("bool"),
        "side": text,
        "units": datasets.List(text),
        "flags": datasets.List(text),
        "frame_rate": datasets.Value("float32"),
        "num_frames": datasets.Value("int32"),
        "seconds": datasets.Value("float32"),
    }
    if config_name in ("motion", "paired"):
        columns["motion_features"] = datasets.Array2D((None, NUM_FEATURES), "float32")
    if config_name in ("codes", "paired") and any(clip.codes_file for clip in present):
        columns["motion_codes"] = datasets.List(datasets.List(datasets.Value("int16")))
    if config_name in ("music", "paired"):
        columns["music_features"] = datasets.Array2D((None, MusicFeatureLayout.size), "float32")
        columns["music_features_version"] = datasets.Value("int32")
        if any(clip.audio_file for clip in present):
            # Undecoded: the library's own decoder needs torchcodec and FFmpeg, `decode_audio` does not.
            columns["audio"] = datasets.Audio(sampling_rate=SAMPLING_RATE, decode=False)
    return datasets.Features(columns)


def clip_table(clip: BuiltClip, built_dir: Path, features: datasets.Features) -> pa.Table:
    """Return a clip as a table of one row; motion and music are cut to the shorter of the two."""
    arrays = {
        name: np.load(built_dir / file, allow_pickle=False)
        for name, file in (
            ("motion_features", clip.motion_file),
            ("music_features", clip.music_file),
            ("motion_codes", clip.codes_file),
        )
        if name in features and file is not None
    }
    lengths = [len(array) for name, array in arrays.items() if name != "motion_codes"]
    num_frames = min(lengths, default=clip.num_frames)
    values: dict[str, Any] = {
        **{name: getattr(clip, name) for name in features if hasattr(clip, name)},
        "genre": features["genre"].str2int(clip.genre),
        "coarse_genre": features["coarse_genre"].str2int(clip.coarse_genre),
        "units": [label for label, _ in clip.units],
        "frame_rate": FRAME_RATE,
        "num_frames": num_frames,
        "seconds": num_frames / FRAME_RATE,
        "caption": clip_caption(clip, num_frames / FRAME_RATE),
    }
    if "audio" in features and clip.audio_file is not None:
        content = (built_dir / clip.audio_file).read_bytes()
        values["audio"] = {"bytes": content, "path": PurePosixPath(clip.audio_file).name}
    schema = features.arrow_schema
    columns = [
        _array_column(arrays[field.name][:num_frames], field.type)
        if isinstance(field.type, pa.ExtensionType)
        else pa.array([arrays[field.name].tolist() if field.name in arrays else values.get(field.name)], field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def clip_caption(clip: BuiltClip, seconds: float) -> str:
    """Return what a clip is, in words: "waltz at 88 bpm, 12.4 s, mirrored"."""
    tempo = "" if clip.bpm is None else f" at {clip.bpm:.0f} bpm"
    return f"{clip.genre}{tempo}, {seconds:.1f} s{', mirrored' if clip.is_mirrored else ''}"


def _array_column(array: np.ndarray, arrow_type: pa.ExtensionType) -> pa.Array:
    """Wrap one matrix `(frames, channels)` as a column of one row, without a copy."""
    frames, channels = array.shape
    rows = pa.ListArray.from_arrays(np.arange(0, array.size + 1, channels, dtype=np.int32), pa.array(array.ravel()))
    return pa.ExtensionArray.from_storage(arrow_type, pa.ListArray.from_arrays([0, frames], rows))


def view_matrix(row: pa.Table, name: str) -> np.ndarray:
    """Return one matrix of a row read in Arrow's format, as a view of the cache: only what is used is paged in.

    Args:
        row: A row of a data set or stream `with_format("arrow")`.
        name: `"motion_features"` or `"music_features"`.

    Returns:
        `(frames, channels)` float32, read-only.

    Raises:
        ValueError: If the table has another number of rows, or the column is no matrix.

    Note:
        A slice of it, as `[120:376]`, reads that window only.
    """
    if row.num_rows != 1:
        raise ValueError(f"`row` must be a table of one row, got {row.num_rows} rows.")
    column = row.column(name).chunk(0)
    if not isinstance(column, pa.ExtensionArray):
        raise ValueError(f"`name` must be a matrix of the row, got {name!r} of type {column.type}.")
    values = column.storage.flatten().flatten().to_numpy(zero_copy_only=True)
    return values.reshape(-1, column.type.shape[1])


def decode_audio(audio: dict[str, Any]) -> np.ndarray:
    """Decode a value of the column `audio` with soundfile.

    Args:
        audio: `{"bytes": ..., "path": ...}`.

    Returns:
        `(samples,)` float32, 24 kHz, mono; sample 0 belongs to frame 0.
    """
    import soundfile

    waveform, sampling_rate = soundfile.read(io.BytesIO(audio["bytes"]), dtype="float32")
    if sampling_rate != SAMPLING_RATE or waveform.ndim != 1:
        raise ValueError(
            f"`audio` must be mono at {SAMPLING_RATE} Hz, as `infinitedance build` writes it, got {sampling_rate} Hz "
            f"of shape {waveform.shape}."
        )
    return waveform
