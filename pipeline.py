"""`MusicToDancePipeline`: a song goes in, a dance comes out."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import metadata_load
from tqdm import tqdm
from transformers.generation import BaseStreamer

from .assets import DEFAULT_MODEL
from .audio.beats import track_beats
from .audio.loading import load_audio
from .audio.song_map import analyze_song
from .audio.spectra import check_waveform
from .modeling.choreollama.modeling_choreollama import ChoreoLlamaForConditionalGeneration
from .motion.feet.planting import plant_feet
from .motion.motion import Motion
from .motion.retargeting.retargeting import put_on_floor
from .motion.smoothing import smooth_motion
from .restoration.pipeline_frdm import FrdmPipeline
from .retrieval.copying import CopyReport, copy_report
from .retrieval.references import ReferenceRetriever
from .retrieval.windows import RetrievedWindow
from .tokenization.processing_choreollama import ChoreoLlamaProcessor
from .tokenization.tokenization_motion import MotionTokenizer
from .utils.checkpoints import load_model

# Real held-out dances have a jerk of 90 to 96 m/s^3, through the codec 110 to 180, and after this 62 to 96, for 1 % of
# the speed.
_JITTER_SECONDS = 0.02


@dataclass(frozen=True)
class Dance:
    """What the pipeline returns for one song and seed.

    Args:
        motion: The dance; frame k is danced at k / 30 seconds of the song.
        motion_codes: The codes it was decoded from, `(num_quantizers, num_tokens)`.
        references: For each window of the song which windows of which dances were its references, with their licenses;
            empty if there were none.
        copy_report: How near the dance comes to its references; `None` if there were none.
    """

    motion: Motion
    motion_codes: torch.Tensor
    references: Sequence[RetrievedWindow] = ()
    copy_report: CopyReport | None = None


class _Progress(BaseStreamer):
    """Counter of the tokens whose codes `generate` reports, for a progress bar and a listener."""

    def __init__(self, bar: Any, num_quantizers: int, on_progress: Callable[[int, int], None] | None):
        self.bar, self.num_quantizers, self.on_progress = bar, num_quantizers, on_progress
        self.num_codes = 0

    def put(self, value: torch.Tensor) -> None:
        self.num_codes += 1
        if self.num_codes % self.num_quantizers == 0:
            self.bar.update()
            if self.on_progress is not None:
                self.on_progress(self.num_codes // self.num_quantizers, self.bar.total)

    def end(self) -> None:
        self.bar.close()


class MusicToDancePipeline:
    """Pipeline from a song to music features, codes and motion.

    Args:
        model: A trained generator with its codec inside.
        processor: Makes its inputs.
        retriever: Finds reference dances, for calls that ask for them.
        restorer: Finishes the feet of every dance in the place of `plant_feet`; by default there is none, as it does
            not make generated dances better (docs/frdm.md).

    Example:
        ```python
        from infinitedance import MusicToDancePipeline, write_bvh

        pipeline = MusicToDancePipeline.from_pretrained()
        dance = pipeline("song.mp3", genre="waltz", seed=0)
        write_bvh(dance.motion, "dance.bvh")
        ```
    """

    def __init__(
        self,
        model: ChoreoLlamaForConditionalGeneration,
        processor: ChoreoLlamaProcessor,
        retriever: ReferenceRetriever | None = None,
        restorer: FrdmPipeline | None = None,
    ):
        if model.codec is None:
            raise ValueError("`model` must carry its motion codec: give it one with `model.set_codec(codec)`.")
        if list(model.config.genres) != list(processor.genres):
            raise ValueError(
                f"Model and processor must have the same genres, got {model.config.genres} and {processor.genres}."
            )
        version = processor.feature_extractor.version
        if retriever is not None and retriever.music_features_version != version:
            raise ValueError(
                f"The model reads music features of version {version}, the encoder of the references of version "
                f"{retriever.music_features_version}. Make the references with an encoder that was trained on the "
                "model's version (`infinitedance index --encoder`)."
            )
        self.model = model.eval()
        self.processor = processor
        self.retriever = retriever
        self.restorer = restorer
        self.tokenizer = MotionTokenizer(model.codec)
        self.license: str | None = None  # of the weights, as their card states it; every dance's provenance names it

    @classmethod
    def from_pretrained(
        cls,
        path: str | os.PathLike = DEFAULT_MODEL,
        references: str | os.PathLike | None = None,
        restorer: str | os.PathLike | None = None,
    ) -> MusicToDancePipeline:
        """Load model and processor from one folder, or from the Hub.

        Args:
            path: Folder or Hub name; the small model that ships with the package by default.
            references: Folder of reference dances, see `ReferenceRetriever`; none by default.
            restorer: Folder or Hub name of a [`FrdmModel`]; none by default.

        Raises:
            FileNotFoundError: If `path` looks like a folder and does not exist, or there are no references.
            ImportError: If references are asked for without the extra `data`.
            ValueError: If another kind of model lies there, or the parts of the references do not belong together.
        """
        model = load_model(path, ChoreoLlamaForConditionalGeneration)
        retriever = None if references is None else ReferenceRetriever.from_pretrained(references)
        feet = None if restorer is None else FrdmPipeline.from_pretrained(restorer)
        pipeline = cls(model, ChoreoLlamaProcessor.from_pretrained(path), retriever, feet)
        model.name_or_path = Path(path).name
        pipeline.license = _license_of(Path(path) / "README.md")
        return pipeline

    def save_pretrained(self, path: str | os.PathLike) -> None:
        """Write model and processor to a folder."""
        self.model.save_pretrained(path)
        self.processor.save_pretrained(path)

    @property
    def genres(self) -> list[str]:
        """Names of the genres that can be asked for."""
        return list(self.processor.genres)

    def __call__(
        self,
        audio: str | os.PathLike | np.ndarray,
        *,
        genre: str | None = None,
        seed: int = 0,
        bpm: float | None = None,
        meter: int | None = None,
        first_downbeat_seconds: float | None = None,
        num_references: int = 0,
        pinned_references: Sequence[str] = (),
        show_progress: bool = False,
        **sampling: Any,
    ) -> Dance:
        """Make a dance that is exactly as long as the song.

        Args:
            audio: An audio file, or a mono waveform `(samples,)` at the feature extractor's rate (24,000 Hz).
            genre: One of `genres`; `None` leaves the choice to the model.
            seed: Another seed gives another dance; the same one the same dance.
            bpm: Tempo of the song, estimated if not given.
            meter: Beats per bar, estimated if not given.
            first_downbeat_seconds: Time of a downbeat, estimated if not given.
            num_references: Reference dances at any moment, found by the music among those of the genre; 0 for none.
            pinned_references: Clip ids of dances that are references throughout, counted among `num_references`.
            show_progress: Show a progress bar.
            **sampling: `guidance_scale`, `temperature`, `top_p` and others of the generation configuration.

        Returns:
            The dance, of `round(30 * seconds)` frames.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If the audio cannot be used, or an argument is out of range.
        """
        return self.dances(
            audio,
            genre=genre,
            seeds=[seed],
            bpm=bpm,
            meter=meter,
            first_downbeat_seconds=first_downbeat_seconds,
            num_references=num_references,
            pinned_references=pinned_references,
            show_progress=show_progress,
            **sampling,
        )[0]

    def dances(
        self,
        audio: str | os.PathLike | np.ndarray,
        *,
        seeds: Sequence[int],
        genre: str | None = None,
        bpm: float | None = None,
        meter: int | None = None,
        first_downbeat_seconds: float | None = None,
        num_references: int = 0,
        pinned_references: Sequence[str] = (),
        show_progress: bool = False,
        on_progress: Callable[[int, int], None] | None = None,
        **sampling: Any,
    ) -> list[Dance]:
        """Make several dances to one song, in one batch; each equals the one made alone with its seed.

        Args:
            audio: As in `__call__`, like all that follows.
            seeds: One for each dance.
            genre: See `__call__`.
            bpm: See `__call__`.
            meter: See `__call__`.
            first_downbeat_seconds: See `__call__`.
            num_references: See `__call__`.
            pinned_references: See `__call__`.
            show_progress: Show a progress bar.
            on_progress: Called after each token with how many there are, and how many there will be.
            **sampling: See `__call__`.
        """
        self._check_references(num_references, pinned_references)
        if not seeds:
            raise ValueError("`seeds` must hold at least one number, got none.")
        self.processor.genre_to_id(genre)  # a wrong genre is an error before a long song is read
        sampling_rate = self.processor.feature_extractor.sampling_rate
        waveform = audio if isinstance(audio, np.ndarray) else load_audio(Path(audio), sampling_rate)
        waveform = check_waveform(waveform, sampling_rate)
        beats = track_beats(
            waveform,
            sampling_rate,
            bpm=bpm,
            meter=meter,
            first_downbeat_seconds=first_downbeat_seconds,
            genre=genre,
        )
        song_map = analyze_song(waveform, sampling_rate, beats)
        inputs = self.processor(waveform, sampling_rate, genre=genre, beat_clock=beats.clock)
        num_frames = inputs["input_features"].shape[1]
        windows: list[RetrievedWindow] = []
        if num_references:
            assert self.retriever is not None  # checked above
            features, windows = self.retriever(
                inputs["input_features"][0].numpy(),
                num_references=num_references,
                genre=genre,
                pinned=pinned_references,
            )
            inputs["reference_features"] = torch.from_numpy(features)[None]
        streamer = None
        if show_progress or on_progress is not None:
            num_tokens = self.processor.num_tokens(num_frames)
            bar = tqdm(total=num_tokens, desc="dancing", unit="token", disable=not show_progress)
            streamer = _Progress(bar, self.model.config.num_quantizers, on_progress)
        codes = self.model.generate_codes(
            **{name: tensor.expand(len(seeds), *tensor.shape[1:]) for name, tensor in inputs.items()},
            seeds=seeds,
            streamer=streamer,
            **sampling,
        )
        song = None if isinstance(audio, np.ndarray) else Path(audio).name
        about_song = {
            "song": song,
            "song_map": song_map.to_dict(),
            **beats.clock.times_within(song_map.duration_seconds),
        }
        dances = []
        for row, seed in zip(codes, seeds, strict=True):
            motion = self.decode(row, num_frames)
            provenance = {**motion.provenance, "seed": int(seed), "genre": genre, **about_song}
            report = None
            if windows and self.retriever is not None:
                report = copy_report(self.retriever.library, motion, row, windows, self.tokenizer.model)
                provenance["references"] = [window.to_dict() for window in windows]
                provenance["copy_report"] = None if report is None else report.to_dict()
            dances.append(Dance(replace(motion, provenance=provenance), row, tuple(windows), report))
        return dances

    def _check_references(self, num_references: int, pinned_references: Sequence[str]) -> None:
        if not 0 <= num_references <= self.model.config.max_references or len(pinned_references) > num_references:
            raise ValueError(
                f"`num_references` must lie between the number of pinned references and "
                f"{self.model.config.max_references}, got {num_references} with {len(pinned_references)} pinned."
            )
        if num_references and self.retriever is None:
            raise ValueError(
                "References were asked for, but there is no library of dances: give "
                "`MusicToDancePipeline.from_pretrained(..., references=folder)`, or `num_references=0`."
            )

    def decode(self, motion_codes: torch.Tensor, num_frames: int, *, plants_feet: bool = True) -> Motion:
        """Turn codes into a dance on the floor, without the codec's jitter.

        Args:
            motion_codes: `(num_quantizers, num_tokens)`.
            num_frames: Frames to keep.
            plants_feet: Hold feet where they stand, by the restorer if there is one.
        """
        motion = put_on_floor(smooth_motion(self.tokenizer.decode(motion_codes, num_frames), _JITTER_SECONDS))
        if plants_feet:
            motion = plant_feet(motion) if self.restorer is None else self.restorer(motion).motion
        license = {} if self.license is None else {"license": self.license}
        return replace(motion, provenance={"model": self.model.name_or_path, "rotations": "generated", **license})


def _license_of(card: Path) -> str | None:
    """Return the license that a model's card states; `None` if there is no card or it states none."""
    metadata = (metadata_load(card) if card.is_file() else None) or {}
    return metadata.get("license_name") or metadata.get("license")
