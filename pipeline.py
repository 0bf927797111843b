"""`MusicToDancePipeline`: a song goes in, a dance comes out."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
import torch
from tqdm import tqdm
from transformers.generation import BaseStreamer

from .assets import DEFAULT_MODEL, MODELS
from .audio.dance_cues import energy_of_song, finishing_cues
from .audio.heard_song import HeardSong, hear
from .audio.repeated_passages import repeated_passages
from .audio.suiting_genre import liveliness, suiting_genre
from .modeling.choreollama.adapters_choreollama import (
    ADAPTER_FILES,
    ADAPTER_RECORD_FILE,
    AdapterStack,
    check_adapter_folder,
)
from .modeling.choreollama.generation_choreollama import threads_for
from .modeling.choreollama.logits_processors import MAX_SCALE, Guidance
from .modeling.choreollama.modeling_choreollama import ChoreoLlamaForConditionalGeneration
from .motion.finishing.ending import check_ending
from .motion.motion import Motion
from .publishing.cards import license_of
from .publishing.push_to_hub import PushToHubMixin
from .restoration.finish_dance import finish_dance
from .restoration.pipeline_frdm import FrdmPipeline
from .retrieval.copying import CopyReport, copy_report
from .retrieval.references import ReferenceRetriever
from .retrieval.windows import RetrievedWindow
from .tokenization.processing_choreollama import SIDES, ChoreoLlamaProcessor, Energy
from .tokenization.tokenization_motion import MotionTokenizer
from .utils.checkpoints import check_model_name, load_model, read_json_object, weights_sha256
from .utils.errors import reading
from .utils.hub_folders import MODEL_FILES, local_folder

logger = logging.getLogger(__name__)

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")
REFERENCES_FOLDER = "references"
"""Where the folder of a model holds its reference dances."""


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


def _on_few_threads(method: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Run a method of the pipeline of a small model on one thread."""

    @wraps(method)
    def run(*arguments: _Arguments.args, **options: _Arguments.kwargs) -> _Result:
        pipeline: Any = arguments[0]
        with threads_for(pipeline.model.config.hidden_size):
            return method(*arguments, **options)

    return run


class MusicToDancePipeline(PushToHubMixin):
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
        dance = pipeline("song.mp3", genre="salsa", seed=0)
        write_bvh(dance.motion, "dance.bvh")
        ```
    """

    kind = "model"

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
        self.model = model.eval()
        self.processor = processor
        self.retriever = retriever
        self.restorer = restorer
        self.tokenizer = MotionTokenizer(model.codec)
        self.name = Path(model.name_or_path).name
        self.folder: Path | None = None  # that the model was loaded from
        self.adapters = AdapterStack(model)
        self._own_added_genres = processor.added_genres  # without those of adapters that can be taken out
        self.license: str | None = None  # of the weights, as their card states it; every dance's provenance names it

    @classmethod
    def from_pretrained(
        cls,
        path: str | os.PathLike = DEFAULT_MODEL,
        references: str | os.PathLike | None = None,
        restorer: str | os.PathLike | None = None,
        adapter: str | os.PathLike | Mapping[str, float] | Mapping[Path, float] | None = None,
        *,
        quantization: str | None = None,
        revision: str | None = None,
        token: str | bool | None = None,
    ) -> MusicToDancePipeline:
        """Load model and processor from one folder, or from the Hub.

        Args:
            path: `"open"` (the default) or `"research"` for a model that ships with the package; a folder; or a Hub
                name.
            references: Folder or Hub name of reference dances, see `ReferenceRetriever`; those of the model by
                default, if it has any.
            restorer: Folder or Hub name of a [`FrdmModel`]; none by default.
            adapter: Folder or Hub name of a style that `infinitedance finetune` made, or several with their weights,
                1 as they were learned; see `load_adapter`.
            quantization: `"int8"` for a large model on a CPU: weights of 8 bits, see docs/model.md. It takes no
                adapters.
            revision: Branch, tag or commit of the model on the Hub.
            token: Of the Hub; by default `HF_TOKEN` or that of `hf auth login`.

        Raises:
            FileNotFoundError: If `path` looks like a folder and does not exist, the Hub has no such repository, or
                there are no references.
            ImportError: If references are asked for without the extra `data`.
            OSError: If the Hub cannot be reached or read.
            ValueError: If another kind of model lies there, or the parts of the references do not belong together.
        """
        path = MODELS.get(str(path), path)
        if not Path(path).exists() and Path(path).name == str(path):
            raise FileNotFoundError(
                f"There is no model {str(path)!r}. Models that ship: {', '.join(MODELS)}. Others are given as a "
                "folder, or by a name on the Hub: owner/model."
            )
        is_folder = Path(path).exists()
        name = Path(path).resolve().name if is_folder else Path(path).as_posix()
        check_model_name(path)
        wanted = (*MODEL_FILES, "processor_config.json", *((f"{REFERENCES_FOLDER}/*",) if references is None else ()))
        path = local_folder(path, revision=revision, token=token, allow_patterns=wanted)
        if not (path / "config.json").is_file():
            raise ValueError(f"{name} holds no model: there is no config.json. Give another name on the Hub.")
        model = load_model(path, ChoreoLlamaForConditionalGeneration, quantization=quantization)
        if not (path / "processor_config.json").is_file():
            raise FileNotFoundError(
                f"{name} has no processor_config.json, which `MusicToDancePipeline.save_pretrained` and the training "
                "write beside the model: copy or download the whole folder."
            )
        processor = ChoreoLlamaProcessor.from_pretrained(path)
        retriever = None
        if references is not None:
            retriever = ReferenceRetriever.from_pretrained(references, token=token)
        elif (path / REFERENCES_FOLDER).is_dir():
            retriever = _references_beside(path)
        feet = None if restorer is None else FrdmPipeline.from_pretrained(restorer, token=token)
        with reading(path):
            pipeline = cls(model, processor, retriever, feet)
            _check_sampling(model.generation_config)
        pipeline.name, pipeline.folder = name, path
        if not is_folder:
            model.name_or_path = name  # not the folder of the cache: adapters keep it
        pipeline.license = license_of(path / "README.md")
        adapters = {} if adapter is None else adapter if isinstance(adapter, Mapping) else {adapter: 1.0}
        names = [pipeline.load_adapter(each, token=token) for each in adapters]
        if names:
            pipeline.set_adapters(dict(zip(names, adapters.values(), strict=True)))
        return pipeline

    def load_adapter(
        self,
        path: str | os.PathLike,
        name: str | None = None,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
    ) -> str:
        """Add a style that was learned: its genres can be asked for, and one of them is the default.

        Several styles are danced together: what they change is added up, and so are their genres. A genre that none
        of them has learned is danced as without them, to the bit.

        Args:
            path: Folder that `infinitedance finetune` wrote, or any LoRA adapter that PEFT saved for this model; or
                the name of one on the Hub.
            name: For `set_adapters`; by default that under which it was trained, or the name of the folder where
                there is none or another adapter has it.
            revision: Branch, tag or commit of the adapter on the Hub.
            token: Of the Hub; by default `HF_TOKEN` or that of `hf auth login`.

        Returns:
            That name.

        Raises:
            FileNotFoundError: If a file is missing, or the Hub has no such repository.
            ImportError: If PEFT is missing.
            OSError: If the Hub cannot be reached or read.
            ValueError: If the adapter is damaged, or was trained on another model.
        """
        folder = local_folder(path, revision=revision, token=token, allow_patterns=ADAPTER_FILES)
        check_adapter_folder(folder)
        record = read_json_object(folder / ADAPTER_RECORD_FILE)
        self._check_base(path, record)
        if name is None:
            folder_name = Path(path).resolve().name
            name = record.get("name") or folder_name
            if name in self.adapters.weights:  # another that was trained under the same name
                name = folder_name
        self.adapters.load(folder, name)
        self._offer_added_genres()
        return name

    def set_adapters(self, weights: Mapping[str, float]) -> None:
        """Set how strongly each style counts, 1 as it was learned; those that are not named are off.

        Raises:
            ValueError: If there is no such adapter, or a weight is out of range.
        """
        self.adapters.set_weights(weights)
        self._offer_added_genres()

    def merge_adapters(self) -> None:
        """Make the styles a part of the model, which can be saved with them then, and keep their genres."""
        self._own_added_genres, self.license = self.processor.added_genres, self._license_with_adapters()
        self.adapters.merge()

    def unload_adapters(self) -> None:
        """Take all styles that are not merged out again: the model is as it was, to the bit."""
        self.adapters.unload()
        self._offer_added_genres()

    def _offer_added_genres(self) -> None:
        self.processor.added_genres = {**self._own_added_genres, **self.adapters.added_genres}

    def _license_with_adapters(self) -> str | None:
        """Return the terms of the model and of the adapters that are on."""
        stated = [] if self.license is None else [self.license]
        stated += [f"adapter {name}: {terms or 'not stated'}" for name, terms in self.adapters.licenses.items()]
        return "; ".join(stated) or None

    def _check_base(self, adapter: str | os.PathLike, record: Mapping[str, Any]) -> None:
        """Raise `ValueError` if an adapter was trained on other weights than those that were loaded from a folder."""
        trained_on = record.get("base_sha256")
        if trained_on and self.folder is not None and weights_sha256(self.folder) != trained_on:
            raise ValueError(
                f"{adapter} was trained on the model {record.get('base_model')}, whose weights are not those of "
                f"{self.name}: give that model."
            )

    def save_pretrained(self, path: str | os.PathLike) -> None:
        """Write model and processor to a folder.

        Raises:
            ValueError: If there are adapters that are neither merged nor unloaded.
        """
        if self.adapters.weights:
            raise ValueError(
                "The model has adapters: call `merge_adapters` to save it with them, or `unload_adapters` to save it "
                "without."
            )
        self.model.save_pretrained(path)
        self.processor.save_pretrained(path)

    def save_to_publish(self, folder: Path, is_private: bool) -> None:
        """Write model, processor and reference dances to a folder."""
        self.save_pretrained(folder)
        if self.retriever is not None:
            self.retriever.save_pretrained(folder / REFERENCES_FOLDER)

    @property
    def genres(self) -> list[str]:
        """Names of the genres that can be asked for."""
        return [*self.processor.genres, *self.processor.added_genres]

    @property
    def default_num_references(self) -> int:
        """How many reference dances there are at any moment where nobody says how many."""
        default = getattr(self.model.generation_config, "default_num_references", 0)
        return 0 if self.retriever is None else default

    def __call__(
        self,
        audio: str | os.PathLike | np.ndarray,
        *,
        song_name: str | None = None,
        genre: str | None = None,
        seed: int = 0,
        side: str | None = None,
        energy: Energy | None = None,
        ending: str = "pose",
        stage_radius: float | None = None,
        repeats: bool = True,
        bpm: float | None = None,
        meter: int | None = None,
        first_downbeat_seconds: float | None = None,
        num_references: int | None = None,
        pinned_references: Sequence[str] = (),
        show_progress: bool = False,
        **sampling: Any,
    ) -> Dance:
        """Make a dance that is exactly as long as the song.

        The dancer always rests where the song is silent.

        Args:
            audio: An audio file, or a mono waveform `(samples,)` at the feature extractor's rate (24,000 Hz).
            song_name: What the provenance of the dance calls the song; the name of the file by default.
            genre: One of `genres`; `None` for the one that suits the song (`audio.suiting_genre`).
            seed: Another seed gives another dance; the same one the same dance.
            side: `"right"`, the natural side, or `"left"`, its mirror image, throughout; for models that control it,
                which dance the natural one by default.
            energy: 0 is rest, 0.5 the usual speed of the genre, 1 twice that: one number, or `(points, 2)` pairs of
                seconds and a number. For models that control it, which follow the loudness of the song by default.
            ending: `"pose"`: the dancer holds a pose from the last downbeat of the song on; `"fade"`: comes to rest
                there; `"none"`: dances to the last frame. A song that fades out is faded with, unless it is `"none"`.
            stage_radius: In metres: the dancer stays in this circle, and faces the audience (+Z) at the starts of
                phrases; `None` lets the dancer go anywhere.
            repeats: Dance sections of the song that are alike (`audio.repeated_passages`) alike.
            bpm: Tempo of the song, estimated if not given.
            meter: Beats per bar, estimated if not given.
            first_downbeat_seconds: Time of a downbeat, estimated if not given.
            num_references: Reference dances at any moment, found by the music among those of the genre; 0 for none;
                `default_num_references` by default.
            pinned_references: Clip ids of dances that are references throughout, counted among `num_references`.
            show_progress: Show a progress bar.
            **sampling: `guidance_scale`, `reference_guidance_scale`, `temperature`, `top_p` and others of the
                generation configuration, whose `genre_guidance_scales` are the default of single genres.

        Returns:
            The dance, of `round(30 * seconds)` frames.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If the audio cannot be used, an argument is out of range, or the model does not control what
                is asked of it.
        """
        return self.dances(
            audio,
            song_name=song_name,
            genre=genre,
            seeds=[seed],
            side=side,
            energy=energy,
            ending=ending,
            stage_radius=stage_radius,
            repeats=repeats,
            bpm=bpm,
            meter=meter,
            first_downbeat_seconds=first_downbeat_seconds,
            num_references=num_references,
            pinned_references=pinned_references,
            show_progress=show_progress,
            **sampling,
        )[0]

    @_on_few_threads
    def dances(
        self,
        audio: str | os.PathLike | np.ndarray | HeardSong,
        *,
        seeds: Sequence[int],
        song_name: str | None = None,
        genre: str | None = None,
        side: str | None = None,
        energy: Energy | None = None,
        ending: str = "pose",
        stage_radius: float | None = None,
        repeats: bool = True,
        bpm: float | None = None,
        meter: int | None = None,
        first_downbeat_seconds: float | None = None,
        num_references: int | None = None,
        pinned_references: Sequence[str] = (),
        show_progress: bool = False,
        on_progress: Callable[[int, int], None] | None = None,
        **sampling: Any,
    ) -> list[Dance]:
        """Make several dances to one song, in one batch; each equals the one made alone with its seed.

        Args:
            audio: As in `__call__`, like all that follows; or a song that `listen` heard with this genre and these
                hints.
            seeds: One for each dance.
            song_name: See `__call__`.
            genre: See `__call__`.
            side: See `__call__`.
            energy: See `__call__`.
            ending: See `__call__`.
            stage_radius: See `__call__`.
            repeats: See `__call__`.
            bpm: See `__call__`.
            meter: See `__call__`.
            first_downbeat_seconds: See `__call__`.
            num_references: See `__call__`.
            pinned_references: See `__call__`.
            show_progress: Show a progress bar.
            on_progress: Called after each token with how many there are, and how many there will be.
            **sampling: See `__call__`.
        """
        # What is wrong is an error before a long song is read.
        is_default = num_references is None and not pinned_references
        num_references = self.default_num_references if num_references is None else num_references
        self._check_references(num_references, pinned_references)
        if not seeds:
            raise ValueError("`seeds` must hold at least one number, got none.")
        self.processor.genre_to_id(genre)
        self._check_asked(side, energy, ending, stage_radius)
        if song_name is None and isinstance(audio, str | os.PathLike):
            song_name = Path(audio).name
        hints = {"bpm": bpm, "meter": meter, "first_downbeat_seconds": first_downbeat_seconds}
        song = audio if isinstance(audio, HeardSong) else self.listen(audio, genre, **hints)
        inputs = self.model_inputs(song, side=side, energy=energy)
        num_frames = inputs["input_features"].shape[1]
        windows: list[RetrievedWindow] = []
        if num_references and not (is_default and self._is_new_to_library(song.genre)):
            features, windows = self._find_references(song, inputs, num_references, pinned_references, genre)
            inputs["reference_features"] = torch.from_numpy(features)[None]
        streamer = None
        if show_progress or on_progress is not None:
            num_tokens = self.processor.num_tokens(num_frames)
            is_hidden = None if show_progress else True  # None: unless there is a terminal
            bar = tqdm(total=num_tokens, desc="dancing", unit="token", disable=is_hidden)
            streamer = _Progress(bar, self.model.config.num_quantizers, on_progress)
        performed = self.perform(
            song,
            inputs,
            seeds=seeds,
            ending=ending,
            stage_radius=stage_radius,
            repeats=repeats,
            streamer=streamer,
            **sampling,
        )
        about_dance = {
            "genre": song.genre,
            **({} if song.genre_reason is None else {"genre_reason": song.genre_reason}),
            "asked": _plain_request(side, energy, ending, stage_radius, repeats),
            **song.about(song_name),
        }
        dances = []
        for (row, motion), seed in zip(performed, seeds, strict=True):
            provenance = {**motion.provenance, "seed": int(seed), **about_dance}
            report = None
            if windows and self.retriever is not None:
                report = copy_report(self.retriever.library, motion, row, windows, self.tokenizer.model)
                provenance["references"] = [window.to_dict() for window in windows]
                provenance["copy_report"] = None if report is None else report.to_dict()
            dances.append(Dance(replace(motion, provenance=provenance), row, tuple(windows), report))
        return dances

    @_on_few_threads
    def listen(self, audio: str | os.PathLike | np.ndarray, genre: str | None = None, **hints: Any) -> HeardSong:
        """Hear what a song is made of, and choose the genre that suits it if none is given.

        Args:
            audio: See `__call__`.
            genre: See `__call__`.
            **hints: `bpm`, `meter` and `first_downbeat_seconds`, see `__call__`.

        Returns:
            The song. It is counted as its genre is, so that a genre that was chosen gives the same dance as one that
            was asked for.
        """
        if genre is None and (styles := self.adapters.added_genres):
            reason = f"It is what the adapter {', '.join(self.adapters.active)} dances."
            return replace(self.listen(audio, next(iter(styles)), **hints), genre_reason=reason)
        sampling_rate = self.processor.feature_extractor.sampling_rate
        song = hear(audio, sampling_rate, genre, **hints)
        if genre is not None or not self.genres:
            return song
        genre, reason = suiting_genre(self.genres, song.song_map, liveliness(song.waveform, sampling_rate))
        return replace(song.counted_as(genre, **hints), genre_reason=reason)

    @_on_few_threads
    def model_inputs(
        self, song: HeardSong, *, side: str | None = None, energy: Energy | None = None
    ) -> dict[str, torch.Tensor]:
        """Return what the model hears of a song and is asked for, as `generate_codes` takes it, without references.

        Args:
            song: From `listen`.
            side: See `__call__`.
            energy: See `__call__`.
        """
        config, sampling_rate = self.model.config, self.processor.feature_extractor.sampling_rate
        if side is None and config.controls_side:
            side = SIDES[0]
        inputs = self.processor(
            song.waveform, sampling_rate, genre=song.genre, beat_clock=song.beats.clock, side=side, energy=energy
        )
        if energy is None and config.controls_energy:
            curve = energy_of_song(song.song_map, inputs["input_features"].shape[1], config.frame_rate)
            inputs["energy"] = torch.from_numpy(curve)[None]
        return dict(inputs)

    @_on_few_threads
    def perform(
        self,
        song: HeardSong,
        inputs: dict[str, torch.Tensor],
        *,
        seeds: Sequence[int],
        ending: str = "pose",
        stage_radius: float | None = None,
        repeats: bool = True,
        streamer: BaseStreamer | None = None,
        **sampling: Any,
    ) -> list[tuple[torch.Tensor, Motion]]:
        """Write and finish dances to a song that was heard.

        Args:
            song: From `listen`.
            inputs: From `model_inputs`, perhaps with references.
            seeds: One for each dance.
            ending: See `__call__`.
            stage_radius: See `__call__`.
            repeats: See `__call__`.
            streamer: As of `generate_codes`.
            **sampling: See `__call__`.

        Returns:
            Codes `(num_quantizers, num_tokens)` and motion of each dance.
        """
        config, num_frames = self.model.config, inputs["input_features"].shape[1]
        token_rate = config.frame_rate / config.frames_per_token
        with self.adapters.for_genre(song.genre):
            codes = self.model.generate_codes(
                **{name: tensor.expand(len(seeds), *tensor.shape[1:]) for name, tensor in inputs.items()},
                seeds=seeds,
                repeats=repeated_passages(song.song_map, token_rate) if repeats else (),
                streamer=streamer,
                **self._genre_guidance(song.genre, sampling),
            )
            finishing = self._finishing(song, num_frames, ending, stage_radius)
            return [(row, self.decode(row, num_frames, finishing=finishing)) for row in codes]

    def _check_asked(self, side: str | None, energy: Energy | None, ending: str, stage_radius: float | None) -> None:
        config = self.model.config
        for name, value, is_controlled in (
            ("side", side, config.controls_side),
            ("energy", energy, config.controls_energy),
        ):
            if value is not None and not is_controlled:
                raise ValueError(
                    f"`{name}` cannot be asked of the model {self.name}, which was trained without: "
                    "leave it out, or take another model."
                )
        if side is not None:
            self.processor.side_to_id(side)
        if energy is not None:
            self.processor.energy_to_curve(energy, 1)
        check_ending(ending, stage_radius)

    def _is_new_to_library(self, genre: str | None) -> bool:
        """Return whether an adapter added a genre of which the library has no dances."""
        if self.retriever is None or genre not in self.processor.added_genres:
            return False
        return genre not in self.retriever.index.columns["genre"].values

    def _genre_guidance(self, genre: str | None, sampling: dict[str, Any]) -> dict[str, Any]:
        """Return the sampling options with the guidance of the genre, if the caller gives none."""
        scales = getattr(self.model.generation_config, "genre_guidance_scales", None) or {}
        if genre not in scales or "guidance_scale" in sampling or "generation_config" in sampling:
            return sampling
        return {**sampling, "guidance_scale": scales[genre]}

    def _find_references(
        self,
        song: HeardSong,
        inputs: dict[str, torch.Tensor],
        num_references: int,
        pinned: Sequence[str],
        asked_genre: str | None,
    ) -> tuple[np.ndarray, list[RetrievedWindow]]:
        assert self.retriever is not None  # checked before
        genre = song.genre
        is_known = genre in self.retriever.index.columns["genre"].values
        if not is_known and (asked_genre is None or genre in self.processor.added_genres):
            genre = None  # nobody asked for the genre, or it is a style: who names a library for one means all of it
        music = inputs["input_features"][0].numpy()
        return self.retriever(music, num_references=num_references, genre=genre, pinned=pinned)

    def _finishing(
        self, song: HeardSong, num_frames: int, ending: str, stage_radius: float | None
    ) -> dict[str, Any] | None:
        gaze = (getattr(self.model.generation_config, "genre_gaze_degrees", None) or {}).get(song.genre)
        seconds = num_frames / self.model.config.frame_rate
        return finishing_cues(song.song_map, seconds, ending, stage_radius, gaze)

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

    def decode(
        self,
        motion_codes: torch.Tensor,
        num_frames: int,
        *,
        plants_feet: bool = True,
        finishing: dict[str, Any] | None = None,
    ) -> Motion:
        """Turn codes into a dance on the floor, without the codec's jitter.

        Args:
            motion_codes: `(num_quantizers, num_tokens)`.
            num_frames: Frames to keep.
            plants_feet: Hold feet where they stand, by the restorer if there is one.
            finishing: Arguments of `motion.finishing.finish`, which comes before that; as it is, if not given.
        """
        motion = finish_dance(
            self.tokenizer.decode(motion_codes, num_frames), finishing, plants_feet=plants_feet, restorer=self.restorer
        )
        about_model: dict[str, Any] = {"model": self.name, "rotations": "generated"}
        if self.adapters.active:
            about_model["adapters"] = {name: self.adapters.weights[name] for name in self.adapters.active}
        if (license := self._license_with_adapters()) is not None:
            about_model["license"] = license
        return replace(motion, provenance=about_model)


def _check_sampling(defaults: Any) -> None:
    """Raise `ValueError` unless the numbers of a generation configuration can be sampled with."""
    Guidance.of(defaults.guidance_scale, getattr(defaults, "reference_guidance_scale", None))
    ranges: dict[str, tuple[float, float]] = {
        "temperature": (1e-3, 100),
        "top_p": (1e-3, 1),
        "top_k": (0, 10**6),
        "max_code_repeats": (1, 10**9),
        "default_num_references": (0, 100),
    }
    for name, (low, high) in ranges.items():
        value = getattr(defaults, name, None)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and not (is_number and low <= value <= high):
            raise ValueError(f"`{name}` must be a number from {low:g} to {high:g}, got {value!r}")
    for name, (low, high) in {"genre_gaze_degrees": (-90, 90), "genre_guidance_scales": (0, MAX_SCALE)}.items():
        values = getattr(defaults, name, {})
        are_numbers = isinstance(values, dict) and all(isinstance(value, int | float) for value in values.values())
        if not are_numbers or not all(low <= value <= high for value in values.values()):
            raise ValueError(f"`{name}` must hold a number from {low:g} to {high:g} for each genre, got {values!r}")


def _references_beside(model: Path) -> ReferenceRetriever | None:
    """Return the reference dances in the folder of a model; without the extra `data` none, with a warning."""
    try:
        return ReferenceRetriever.from_pretrained(model / REFERENCES_FOLDER)
    except ImportError as error:
        logger.warning("The reference dances of this model are left out: %s", error)
        return None


def _plain_request(
    side: str | None, energy: Energy | None, ending: str, stage_radius: float | None, repeats: bool
) -> dict[str, Any]:
    """Return what was asked of a dance as JSON holds it."""
    return {
        "side": side,
        "energy": None if energy is None else np.asarray(energy, dtype=np.float64).tolist(),
        "ending": ending,
        "stage_radius": stage_radius,
        "repeats": repeats,
    }
