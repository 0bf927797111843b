"""`ReleaseToDancePipeline`: a song goes in, a dance of the authors' released model comes out, finished as ours are."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soxr
import torch
from tqdm import tqdm
from transformers import AutoFeatureExtractor

from .audio.dance_cues import finishing_cues
from .audio.heard_song import HeardSong, hear
from .audio.muq_features import MUQ_LICENSE, read_music_features
from .audio.release_features import RELEASE_SAMPLING_RATE, release_music_features
from .audio.spectra import SAMPLING_RATE
from .modeling.choreollama_release.conversion_release import RETRIEVER_FOLDER
from .modeling.choreollama_release.decoding_release import RELEASE_SETTINGS, generate_compat, generate_whole
from .modeling.choreollama_release.modeling_choreollama_release import ChoreoLlamaReleaseModel
from .modeling.choreollama_release.modeling_release_retriever import ReleaseRetriever
from .motion.finishing.ending import check_ending
from .motion.motion import FRAME_RATE
from .motion.release_features import features264_to_motion
from .pipeline import Dance
from .publishing.cards import license_of
from .restoration.finish_dance import finish_dance
from .restoration.pipeline_frdm import FrdmPipeline
from .retrieval.release_library import ReleaseLibrary, SongReferences
from .utils.checkpoints import check_model_name, load_model
from .utils.errors import reading

DECODERS = ("whole", "compat")
_MAX_MISSING_SECONDS = 1.0
"""Features of a song may end so much before or after it: encoders cut what fills no frame of theirs."""


class ReleaseToDancePipeline:
    """Pipeline from a song to MuQ's features, references, codes and motion with the authors' released weights.

    Args:
        model: The generator with its codec.
        extractor: Makes its music features of a waveform; only called where no features are given.
        retriever: Embeds windows of music.
        library: Reference dances; without them the model is conditioned on zeros, which it was not trained with.
        restorer: Finishes the feet of every dance in the place of `plant_feet`.

    Example:
        ```python
        from infinitedance import ReleaseToDancePipeline, write_bvh

        pipeline = ReleaseToDancePipeline.from_pretrained("imported", references="InfiniteDanceData")
        dance = pipeline("song.mp3", genre="Popular", music_features="song.npy")
        write_bvh(dance.motion, "dance.bvh")
        ```
    """

    def __init__(
        self,
        model: ChoreoLlamaReleaseModel,
        extractor: Any,
        retriever: ReleaseRetriever | None = None,
        library: ReleaseLibrary | None = None,
        restorer: FrdmPipeline | None = None,
    ):
        if library is not None and retriever is None:
            raise ValueError("Reference dances need the released retriever, and the model has none: import it again.")
        self.model, self.extractor = model.eval(), extractor
        self.retriever, self.library, self.restorer = retriever, library, restorer
        self.name = Path(model.name_or_path).name
        self.license: str | None = None  # of the weights, as their card states it

    @classmethod
    def from_pretrained(
        cls,
        path: str | os.PathLike,
        references: str | os.PathLike | None = None,
        restorer: str | os.PathLike | None = None,
        *,
        quantization: str | None = None,
    ) -> ReleaseToDancePipeline:
        """Load what `infinitedance import-release` wrote.

        Args:
            path: The folder.
            references: `InfiniteDanceData` of the release, with its index and motion features; none by default.
            restorer: Folder or Hub name of a [`FrdmModel`]; none by default.
            quantization: `"int8"` for weights of 8 bits, see docs/model.md.

        Raises:
            FileNotFoundError: If there is no such folder, or files are missing in it.
            ValueError: If another kind of model lies there, or a file cannot be read.
        """
        check_model_name(path)
        path = Path(path)
        library = None if references is None else ReleaseLibrary.from_folder(references)
        model = load_model(path, ChoreoLlamaReleaseModel, quantization=quantization)
        folder = path / RETRIEVER_FOLDER
        retriever = load_model(folder, ReleaseRetriever) if folder.is_dir() else None
        with reading(path):
            extractor = AutoFeatureExtractor.from_pretrained(path)
        feet = None if restorer is None else FrdmPipeline.from_pretrained(restorer)
        pipeline = cls(model, extractor, retriever, library, feet)
        pipeline.name, pipeline.license = path.resolve().name, license_of(path / "README.md")
        return pipeline

    @property
    def genres(self) -> list[str]:
        """Names of the styles that can be asked for."""
        return list(self.model.config.styles)

    def __call__(
        self,
        audio: str | os.PathLike | np.ndarray,
        *,
        genre: str,
        music_features: str | os.PathLike | np.ndarray | None = None,
        decoder: str = "whole",
        settings: str = "A",
        song_name: str | None = None,
        seed: int = 0,
        ending: str = "pose",
        stage_radius: float | None = None,
        bpm: float | None = None,
        meter: int | None = None,
        first_downbeat_seconds: float | None = None,
        show_progress: bool = False,
    ) -> Dance:
        """Make a dance to a song.

        Args:
            audio: An audio file, or a mono waveform `(samples,)` at 24,000 Hz.
            genre: One of `genres`.
            music_features: `(frames, 1024)` of MuQ for the song, 25 a second, or a `.npy` or `.npz` file of them; by
                default the extractor computes them.
            decoder: `"whole"`: one stream to the last frame of the song. `"compat"`: as the release does, with its
                seams, the copied start and the missing end.
            settings: `"A"` or `"B"`, the two documented settings of the release's sampler.
            song_name: What the provenance of the dance calls the song; the name of the file by default.
            seed: Another seed gives another dance; the same one the same dance.
            ending: See `MusicToDancePipeline.__call__`, like what follows.
            stage_radius: In metres.
            bpm: Tempo of the song, for the record of its beats.
            meter: Beats per bar.
            first_downbeat_seconds: Time of a downbeat.
            show_progress: Show a progress bar.

        Returns:
            The dance: `round(30 * seconds)` frames with `"whole"`, as many as the release makes with `"compat"`.

        Raises:
            FileNotFoundError: If there is no such file, or MuQ's weights are not there.
            ImportError: If MuQ is needed and not installed.
            ValueError: If an argument is out of range, or the features are not those of the song.
        """
        for name, value, known in (
            ("genre", genre, self.genres),
            ("decoder", decoder, DECODERS),
            ("settings", settings, tuple(RELEASE_SETTINGS)),
        ):
            if value not in known:
                raise ValueError(f"`{name}` must be one of {', '.join(known)}, got {value!r}.")
        check_ending(ending, stage_radius)
        if song_name is None and not isinstance(audio, np.ndarray):
            song_name = Path(audio).name
        hints: dict[str, Any] = {"bpm": bpm, "meter": meter, "first_downbeat_seconds": first_downbeat_seconds}
        song = replace(hear(audio, SAMPLING_RATE, **hints), genre=genre)
        music = self._music(song, music_features)
        references = self._references(song, genre)
        with tqdm(desc="dancing", unit="code", disable=None if show_progress else True) as bar:
            codes, features = self._write(song, music, references, decoder, settings, seed, _progress_of(bar))
        finishing = finishing_cues(song.song_map, len(features) / FRAME_RATE, ending, stage_radius)
        motion = finish_dance(features264_to_motion(features), finishing, restorer=self.restorer)
        windows = () if references is None else tuple(references.windows)
        made = {"decoder": decoder, "release_settings": settings, "condition": "references" if windows else "zeros"}
        asked = {"ending": ending, "stage_radius": stage_radius}
        about = {
            "model": self.name,
            "rotations": "fitted",
            "license": "; ".join(filter(None, (self.license, MUQ_LICENSE))),
            "seed": int(seed),
            "genre": genre,
            "asked": {**asked, **made},
            **song.about(song_name),
            **({"references": [window.to_dict() for window in windows]} if windows else {}),
        }
        return Dance(replace(motion, provenance=about), codes, windows)

    def _music(self, song: HeardSong, given: str | os.PathLike | np.ndarray | None) -> torch.Tensor:
        """Return MuQ's features `(frames, music_dim)` of a song."""
        size, rate = self.model.config.music_dim, self.model.config.music_frame_rate
        seconds = len(song.waveform) / SAMPLING_RATE
        if given is None:
            features = self.extractor(song.waveform, SAMPLING_RATE, return_tensors="np")["input_features"][0]
        else:
            features = np.asarray(given, np.float32) if isinstance(given, np.ndarray) else None
            if features is None:
                features = read_music_features(given, size)  # type: ignore[arg-type]
        if features.ndim != 2 or features.shape[1] != size:
            raise ValueError(f"`music_features` must have shape (frames, {size}), got {features.shape}.")
        if abs(len(features) / rate - seconds) > _MAX_MISSING_SECONDS:
            raise ValueError(
                f"`music_features` are of {len(features) / rate:.1f} s, {rate:g} frames a second, and the song has "
                f"{seconds:.1f} s: give those of this song."
            )
        return torch.from_numpy(features)

    def _references(self, song: HeardSong, genre: str) -> SongReferences | None:
        if self.library is None or self.retriever is None:
            return None
        waveform = soxr.resample(song.waveform, SAMPLING_RATE, RELEASE_SAMPLING_RATE)
        return SongReferences(
            self.library, self.retriever, release_music_features(waveform), genre, self.model.normalize
        )

    def _write(
        self,
        song: HeardSong,
        music: torch.Tensor,
        references: SongReferences | None,
        decoder: str,
        settings: str,
        seed: int,
        on_progress: Callable[[int, int], None],
    ) -> tuple[torch.Tensor, np.ndarray]:
        """Return codes `(num_quantizers, num_tokens)` and the features `(frames, 264)` they stand for."""
        config, style = self.model.config, self.genres.index(song.genre or "")
        sampling: dict[str, Any] = {"settings": settings, "seed": seed, "on_progress": on_progress}
        num_frames = None
        at: Callable[[int], torch.Tensor] | None
        if decoder == "compat":
            at = None if references is None else references.condition_of
            prefix = None if references is None else references.prefix()
            ids = generate_compat(self.model, music, style, at, prefix, **sampling)
        else:
            num_frames = round(FRAME_RATE * len(song.waveform) / SAMPLING_RATE)
            wanted = -(-num_frames * round(config.music_frame_rate) // round(FRAME_RATE))
            music = music[torch.arange(wanted).clamp(max=len(music) - 1)]
            at = None if references is None else references.condition_at
            ids = generate_whole(self.model, music, style, at, **sampling)
        codes = self.model.ids_to_codes(ids[None])
        with torch.no_grad():
            features = self.model.codec.decode(codes)[0].float().cpu().numpy()[:num_frames]
        return codes[0].T.cpu(), features


def _progress_of(bar: tqdm) -> Callable[[int, int], None]:
    def show(count: int, total: int) -> None:
        bar.total = total
        bar.update(count - bar.n)

    return show
