"""Music features of MuQ, the paper's pretrained music encoder, as a transformers feature extractor or from a file.

The package `muq` (extra `muq`) is under the MIT license; its weights are under CC BY-NC 4.0: what is danced to their
features must not be used commercially.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from transformers import BatchFeature, SequenceFeatureExtractor

from ..utils.errors import one_line, reading
from ..utils.extras import require_extra
from ..utils.hub_folders import HUB_NAME
from .beats import BEAT_CLOCK_SIZE, BeatClock, estimate_beats
from .features import for_each_song, list_songs
from .spectra import SAMPLING_RATE, check_waveform

logger = logging.getLogger(__name__)

MUQ_WEIGHTS = "OpenMuQ/MuQ-large-msd-iter"
MUQ_LICENSE = "MuQ weights: CC BY-NC 4.0, no commercial use"
MUQ_FRAME_RATE = 25
MUQ_SIZE = 1024


class MuqFeatureExtractor(SequenceFeatureExtractor):
    """Extractor of MuQ's last hidden states, 25 a second, or of them between those at another rate.

    With `frame_rate=30` frame k is that of `k / 30` seconds, as the models of this package take it, and with
    `clock_size=11` the beat clock stands behind MuQ's channels. The weights are read from a folder, or from the cache
    of the Hub; they are never downloaded here.

    Args:
        feature_size: Channels of a frame: those of MuQ and of the clock.
        sampling_rate: Rate of the waveforms, in Hz.
        padding_value: Value of the frames that pad a batch.
        frame_rate: Frames per second.
        clock_size: 11 with the beat clock, 0 without.
        weights: Folder of the weights, or their name on the Hub.
    """

    model_input_names = ["input_features", "attention_mask"]
    license = MUQ_LICENSE

    def __init__(
        self,
        feature_size: int = MUQ_SIZE,
        sampling_rate: int = SAMPLING_RATE,
        padding_value: float = 0.0,
        frame_rate: int = MUQ_FRAME_RATE,
        clock_size: int = 0,
        weights: str = MUQ_WEIGHTS,
        **kwargs: Any,
    ):
        if sampling_rate != SAMPLING_RATE:
            raise ValueError(f"`sampling_rate` of MuQ is always {SAMPLING_RATE}, got {sampling_rate}.")
        if clock_size not in (0, BEAT_CLOCK_SIZE) or feature_size <= clock_size or frame_rate <= 0:
            raise ValueError(
                f"`clock_size` must be 0 or {BEAT_CLOCK_SIZE}, `feature_size` more than that and `frame_rate` "
                f"positive, got {clock_size}, {feature_size} and {frame_rate}."
            )
        super().__init__(feature_size=feature_size, sampling_rate=sampling_rate, padding_value=padding_value, **kwargs)
        self.frame_rate, self.clock_size, self.weights = frame_rate, clock_size, weights
        self._network: Any = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that are saved: not the network."""
        return {name: value for name, value in super().to_dict().items() if name != "_network"}

    def __call__(
        self,
        raw_audio: np.ndarray | Sequence[np.ndarray],
        sampling_rate: int,
        *,
        bpm: float | Sequence[float | None] | None = None,
        meter: int | Sequence[int | None] | None = None,
        first_downbeat_seconds: float | Sequence[float | None] | None = None,
        genre: str | Sequence[str | None] | None = None,
        beat_clock: BeatClock | Sequence[BeatClock | None] | None = None,
        return_tensors: str | None = None,
        padding: bool | str = True,
    ) -> BatchFeature:
        """Extract the features of one song or several.

        Args:
            raw_audio: One waveform `(samples,)`, mono, or a list of them.
            sampling_rate: Their rate; must be 24,000 Hz.
            bpm: Tempo, if known. This and the following are for the beat clock: one value for all songs, or a list.
            meter: Beats per bar, if known.
            first_downbeat_seconds: Time of a downbeat, if known.
            genre: Dance genre.
            beat_clock: A finished clock.
            return_tensors: `"np"`, `"pt"` or None.
            padding: As in transformers: True pads to the longest song.

        Returns:
            `input_features (batch, frames, feature_size)` float32 with `frames == round(frame_rate * seconds)` of the
            longest song, and `attention_mask (batch, frames)`.

        Raises:
            ImportError: If the package `muq` is missing.
            FileNotFoundError: If the weights are not on this machine.
            ValueError: If a waveform is out of range, or the weights have another size.
        """
        songs = list_songs(raw_audio)
        given = {
            "bpm": bpm,
            "meter": meter,
            "first_downbeat_seconds": first_downbeat_seconds,
            "genre": genre,
            "beat_clock": beat_clock,
        }
        overrides = {name: for_each_song(name, value, len(songs)) for name, value in given.items()}
        features = []
        for index, song in enumerate(songs):
            waveform = check_waveform(song, sampling_rate)
            num_frames = round(self.frame_rate * len(waveform) / SAMPLING_RATE)
            channels = at_frame_rate(self._hidden_states(waveform), MUQ_FRAME_RATE, self.frame_rate, num_frames)
            if self.clock_size:
                hints = {name: values[index] for name, values in overrides.items()}
                clock = hints.pop("beat_clock") or estimate_beats(waveform, sampling_rate, **hints)
                channels = np.concatenate([channels, clock.to_features(num_frames, self.frame_rate)], axis=1)
            features.append(channels)
        return self.pad(
            BatchFeature({"input_features": features}),
            padding=padding,
            return_tensors=return_tensors,
            return_attention_mask=True,
        )

    def _hidden_states(self, waveform: np.ndarray) -> np.ndarray:
        """Return MuQ's last hidden states of a song, `(frames, channels)`, 25 a second."""
        import torch

        if self._network is None:
            self._network = _load_muq(self.weights)
        network, size = self._network, self.feature_size - self.clock_size
        with torch.no_grad():
            # `muq` asks for all layers, which transformers 5 no longer returns; the last one is the output.
            spectra = network.preprocessing(torch.from_numpy(waveform)[None], features=["melspec_2048"])
            states = network.conformer(network.conv(network.normalize(spectra)["melspec_2048"])).last_hidden_state[0]
        if states.shape[1] != size:
            raise ValueError(
                f"{self.weights} has {states.shape[1]} channels, and `feature_size` of the extractor says {size}: "
                "give the weights that the model was trained with."
            )
        return states.float().numpy()


def read_music_features(path: str | os.PathLike, num_channels: int) -> np.ndarray:
    """Read features of one song that were computed elsewhere, 25 a second.

    Args:
        path: `.npy`, or `.npz` with one array.
        num_channels: That the model takes.

    Returns:
        `(frames, num_channels)` float32.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read, holds a pickle, or has another shape.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    with reading(path):
        content = np.load(path, allow_pickle=False)
        if isinstance(content, np.lib.npyio.NpzFile):
            with content:
                if len(content.files) != 1:
                    raise ValueError(f"it must hold one array, got {', '.join(content.files) or 'none'}")
                content = content[content.files[0]]
        if content.dtype.kind != "f":
            raise ValueError(f"it must hold real numbers, got {content.dtype}")
        if content.ndim == 3 and len(content) == 1:
            content = content[0]
        if content.ndim != 2 or content.shape[1] != num_channels or not len(content):
            raise ValueError(f"it must have shape (frames, {num_channels}), 25 frames a second, got {content.shape}")
        if not np.isfinite(content).all():
            raise ValueError("it holds NaN or infinity")
    return content.astype(np.float32)


def at_frame_rate(features: np.ndarray, from_rate: float, to_rate: float, num_frames: int) -> np.ndarray:
    """Bring features `(frames, channels)` to another rate along straight lines; the last one stays."""
    places = np.minimum(np.arange(num_frames) * (from_rate / to_rate), len(features) - 1)
    before = np.floor(places).astype(int)
    after = np.minimum(before + 1, len(features) - 1)
    weight = (places - before)[:, None].astype(np.float32)
    return features[before] * (1 - weight) + features[after] * weight


def _load_muq(weights: str) -> Any:
    """Load the network from a folder or from the cache; say whose terms it brings."""
    require_extra("muq", "muq", "Music features of MuQ")
    try:
        from muq import MuQ
    except (ImportError, OSError) as error:  # of torchaudio, whose build must be that of torch
        raise ImportError(f"The package `muq` cannot be imported: {one_line(error)}.") from error
    folder = Path(weights) if Path(weights).is_dir() else _cached_folder(weights)
    logger.warning("%s (%s).", MUQ_LICENSE, weights)
    with reading(folder):
        network = MuQ.from_pretrained(folder, local_files_only=True).eval().model
    network.conformer.config._attn_implementation = "eager"  # which transformers 5 asks for, and `muq` does not state
    return network


def _cached_folder(name: str) -> Path:
    """Return the folder of a repository in the cache of the Hub."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    where = f"Fetch them with `hf download {name}`" if HUB_NAME.fullmatch(name) else "Give their folder"
    if HUB_NAME.fullmatch(name):
        try:
            return Path(snapshot_download(name, local_files_only=True))
        except LocalEntryNotFoundError:
            pass
    raise FileNotFoundError(
        f"The weights of MuQ, {name}, are not on this machine, and are not downloaded unasked: their terms are CC "
        f"BY-NC 4.0, no commercial use. {where}, or give features that were computed elsewhere "
        "(`--music-features FILE`)."
    )
