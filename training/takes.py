"""Takes: dances with their music, at one speed, mirrored or not, as codes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d

from ..dataset_builder.augmentation.stretch import stretch_motion_features, stretch_music_features
from ..dataset_builder.built import BuiltDataset
from ..dataset_builder.clip_folder import NATURAL
from ..dataset_builder.manifest import BuiltClip, manifest_sha256
from ..motion.features import VELOCITIES
from ..motion.motion import FRAME_RATE
from ..tokenization.modeling_motion_codec import MotionCodecModel
from ..utils.atomic import atomic_path

ENERGY_SECONDS = 0.7
"""Standard deviation of the Gaussian over which the speed of a dance is its energy: some two seconds in all."""
MAX_ENERGY = 1.5
_ARRAYS = {"music": np.float32, "speed": np.float32, "codes": np.int16}
_INDEX_FILE = "takes.json"


@dataclass
class DanceTake:
    """One version (mirrored or not, at one speed) of a clip, ready to be cut into windows.

    Args:
        song_id: The song; no dance to it serves as a reference.
        genre: Genre of the dance.
        music: Music features, `(frames, 109)`; of a dance without music only the beat clock is not 0.
        codes: For each offset of 0 to `frames_per_token - 1` frames, the codes of the motion that begins there,
            `(num_quantizers, num_tokens)`, integers.
        clip_id: The clip.
        performer_id: The dancer, empty if not known.
        side: `"natural"` or `"mirrored"`, empty if not known.
        stretch: How much faster than the clip it is.
        has_spectra: Whether the music was heard.
        has_clock: Whether the beats are known.
        speed: Mean speed of the joints, smoothed over some two seconds, m/s, `(frames,)`; `None` if not measured.
    """

    song_id: str
    genre: str
    music: np.ndarray
    codes: Sequence[np.ndarray]
    clip_id: str = ""
    performer_id: str = ""
    side: str = NATURAL
    stretch: float = 1.0
    has_spectra: bool = True
    has_clock: bool = True
    speed: np.ndarray | None = field(default=None, repr=False)


def smooth_speed(features: np.ndarray) -> np.ndarray:
    """Return the mean speed of all joints, smoothed over some two seconds, m/s, `(frames,)`.

    Args:
        features: Motion features, `(frames, 269)`.
    """
    velocities = np.asarray(features[:, VELOCITIES]).reshape(len(features), -1, 3)
    speed = np.linalg.norm(velocities, axis=-1).mean(axis=1)
    return gaussian_filter1d(speed, ENERGY_SECONDS * FRAME_RATE, mode="nearest").astype(np.float32)


def genre_speeds(takes: Iterable[DanceTake]) -> dict[str, float]:
    """Return the mean speed of the dances of each genre, m/s; at 0 is a genre of which nothing moves."""
    sums: dict[str, list[float]] = {}
    for take in takes:
        if take.speed is not None:
            total = sums.setdefault(take.genre, [0.0, 0.0])
            total[0] += float(take.speed.sum())
            total[1] += len(take.speed)
    return {genre: total / count for genre, (total, count) in sums.items()}


def motion_energy(speed: np.ndarray, genre_speed: float) -> np.ndarray:
    """Return the energy of a dance: 0 is the speed that dances of the genre have, -1 is rest.

    Args:
        speed: From `smooth_speed`, m/s, `(frames,)`.
        genre_speed: Mean speed of the genre, m/s.
    """
    return np.minimum(speed / max(genre_speed, 1e-6) - 1, MAX_ENERGY).astype(np.float32)


def load_takes(
    data: BuiltDataset,
    clips: Iterable[BuiltClip],
    codec: MotionCodecModel,
    *,
    stretches: Sequence[float] = (1.0,),
    offsets: Sequence[int] = (0,),
    cache_dir: Path | None = None,
) -> list[DanceTake]:
    """Encode clips, with their music or the clock of their pulse.

    Args:
        data: The built data set.
        clips: Clips of it.
        codec: Encodes the motion; in evaluation mode.
        stretches: Speeds at which each clip is encoded, 1 = its own.
        offsets: First frames from which it is encoded.
        cache_dir: Folder in which the arrays are kept and from which they are mapped into memory, so that they may be
            larger than it; a second call with equal arguments reads them. In memory if not given.
    """
    clips = list(clips)
    made = _make_takes(data, clips, codec, stretches, offsets)
    if cache_dir is None:
        return list(made)
    key = _cache_key(data, clips, codec, stretches, offsets)
    index_path = cache_dir / _INDEX_FILE
    if not index_path.is_file() or json.loads(index_path.read_text(encoding="utf-8"))["key"] != key:
        _write_takes(made, cache_dir, key)
    return _map_takes(cache_dir)


@torch.inference_mode()
def _make_takes(
    data: BuiltDataset,
    clips: Sequence[BuiltClip],
    codec: MotionCodecModel,
    stretches: Sequence[float],
    offsets: Sequence[int],
) -> Iterator[DanceTake]:
    for clip in clips:
        music = data.music_or_clock(clip)
        features = np.array(data.motion_features(clip)[: len(music)])
        for stretch in stretches:
            dance, heard = features, music
            if stretch != 1.0:
                dance = stretch_motion_features(dance, stretch)
                heard = stretch_music_features(music, stretch, len(dance))
            if len(dance) <= max(offsets):
                continue
            yield DanceTake(
                song_id=clip.song_id,
                genre=clip.genre,
                music=heard,
                codes=[_encode(codec, dance[offset:]) for offset in offsets],
                clip_id=clip.clip_id,
                performer_id=clip.performer_id,
                side=clip.side,
                stretch=stretch,
                has_spectra=clip.music_file is not None,
                has_clock=clip.music_file is not None or clip.clock_file is not None,
                speed=smooth_speed(dance),
            )


def _encode(codec: MotionCodecModel, features: np.ndarray) -> np.ndarray:
    return codec.encode(torch.from_numpy(features[None]))[0].numpy().astype(np.int16)


def _cache_key(
    data: BuiltDataset,
    clips: Iterable[BuiltClip],
    codec: MotionCodecModel,
    stretches: Sequence[float],
    offsets: Sequence[int],
) -> str:
    digest = hashlib.sha256(manifest_sha256(data.folder).encode())
    # What the weights do not tell of how a dance is encoded.
    config = codec.config
    layout = [list(config.residual_dilations), config.frames_per_token, config.search_width]
    digest.update(json.dumps([[clip.clip_id for clip in clips], list(stretches), list(offsets), layout]).encode())
    for name, tensor in sorted(codec.state_dict().items()):
        digest.update(name.encode() + tensor.contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()


def _write_takes(takes: Iterable[DanceTake], cache_dir: Path, key: str) -> None:
    """Append the arrays of all takes to one file a kind; the index, written last, says where each lies."""
    cache_dir.mkdir(parents=True, exist_ok=True)
    (cache_dir / _INDEX_FILE).unlink(missing_ok=True)
    rows: list[dict[str, Any]] = []
    places = dict.fromkeys(_ARRAYS, 0)

    def append(name: str, array: np.ndarray) -> list[Any]:
        array = np.ascontiguousarray(array, _ARRAYS[name])
        files[name].write(array.tobytes())
        start, places[name] = places[name], places[name] + array.size
        return [start, list(array.shape)]

    with ExitStack() as stack:
        # Renamed when they are whole: a run that has mapped the old files goes on with them.
        paths = {name: stack.enter_context(atomic_path(cache_dir / f"{name}.bin")) for name in _ARRAYS}
        files = {name: stack.enter_context(path.open("wb")) for name, path in paths.items()}
        for take in takes:
            values = {key: value for key, value in vars(take).items() if key not in _ARRAYS}
            assert take.speed is not None
            arrays = {"music": append("music", take.music), "speed": append("speed", take.speed)}
            arrays["codes"] = [append("codes", codes) for codes in take.codes]
            rows.append(values | arrays)
    with atomic_path(cache_dir / _INDEX_FILE) as partial:
        partial.write_text(json.dumps({"key": key, "takes": rows}), encoding="utf-8")


def _map_takes(cache_dir: Path) -> list[DanceTake]:
    rows = json.loads((cache_dir / _INDEX_FILE).read_text(encoding="utf-8"))["takes"]
    if not rows:  # an empty file cannot be mapped
        return []
    files = {name: np.memmap(cache_dir / f"{name}.bin", dtype, mode="r") for name, dtype in _ARRAYS.items()}

    def view(name: str, place: list[Any]) -> np.ndarray:
        start, shape = place
        return files[name][start : start + int(np.prod(shape))].reshape(shape)

    return [
        DanceTake(
            **{
                **row,
                "music": view("music", row["music"]),
                "speed": view("speed", row["speed"]),
                "codes": [view("codes", place) for place in row["codes"]],
            }
        )
        for row in rows
    ]
