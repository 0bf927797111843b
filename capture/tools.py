"""What a capture is made with: landmark networks, lifter and foot restoration, loaded once a process."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..assets import DEFAULT_LIFTER, DEFAULT_RESTORER
from ..publishing.cards import license_of
from ..publishing.kinds import CARD_FILE
from ..restoration.results import input_digest, weights_digest
from .hand_landmarks import HandTrack
from .landmarks import LandmarkTrack
from .lifting import LiftedMotion
from .models import DEFAULT_NETWORK


@dataclass(frozen=True)
class CaptureTools:
    """Networks by the folders that hold them; nothing is loaded before it is used, so that it can be sent to workers.

    Args:
        models: Folder of the landmark models; `None`: where `infinitedance capture --fetch-models` puts them.
        lifter: Folder or Hub name of a lifter; `None`: the one that ships.
        restorer: Folder or Hub name of a foot restoration model; `None`: the one that ships.
        network: Of the body's landmarks: `"heavy"`, or `"full"`, which takes half of the time and sees less well.
        num_threads: Of the networks of the body's landmarks; no landmark depends on it.
    """

    models: str | None = None
    lifter: str | None = None
    restorer: str | None = None
    network: str = DEFAULT_NETWORK
    num_threads: int = 1

    def digests(self) -> dict[str, str | None]:
        """Return the SHA-256 of all weights that a capture depends on.

        Raises:
            FileNotFoundError: If the landmark models were not fetched.
            ImportError: If the extra `capture` is not installed.
        """
        return {
            "landmark_models_sha256": models_digest(self.models, self.network),
            "lifter_sha256": weights_digest(_Weights(_lifter(self.lifter))),
            "restorer_sha256": weights_digest(_restorer(self.restorer)),
        }

    def licenses(self) -> dict[str, str | None]:
        """Return the terms of the weights as their cards state them; `None` where none are stated."""
        folders = {"lifter": self.lifter or DEFAULT_LIFTER, "foot_restoration": self.restorer or DEFAULT_RESTORER}
        return {part: license_of(Path(folder) / CARD_FILE) for part, folder in folders.items()}

    def track(self, video: Path, person: str) -> tuple[Any, list[LandmarkTrack]]:
        """Return facts on a video and the people in it; see `track_people`."""
        from .people import track_people

        return track_people(video, _blazepose(self.models, self.network, self.num_threads), person=person)

    def check_hands(self) -> None:
        """Look for the networks of the hands.

        Raises:
            FileNotFoundError: If they were not fetched.
            ValueError: If one is another file.
        """
        from .models import find_hand_models

        find_hand_models(self.models)

    def hands(self, video: Path, track: LandmarkTrack) -> HandTrack:
        """Return both hands of a person in a video; see `read_hands`."""
        from .hands import read_hands

        return read_hands(video, track, _hand_reader(self.models))

    def pictures(self, video: Path, frames: Iterable[int]) -> Iterator[tuple[int, np.ndarray]]:
        """Yield pictures of a video, upright, `(height, width, 3)` uint8 RGB, by their frames at 30 Hz, in order."""
        from .video_reading import read_pictures

        return read_pictures(video, frames)

    def lift(self, track: LandmarkTrack, *, height_metres: float, focal_length_pixels: float | None) -> LiftedMotion:
        """Return the dance of a track; see `lift`."""
        from .lifting import lift

        return lift(track, _lifter(self.lifter), height_metres=height_metres, focal_length_pixels=focal_length_pixels)

    def restore(self, motion: Any) -> Any:
        """Return a dance with restored feet; see `FrdmPipeline`."""
        return _restorer(self.restorer)(motion)


@dataclass(frozen=True)
class _Weights:
    """Holder of a model, as `weights_digest` takes it."""

    model: Any


@lru_cache(maxsize=1)
def _blazepose(models: str | None, network: str, num_threads: int) -> Any:
    from .blazepose import BlazePose
    from .models import find_models

    return BlazePose(find_models(models, network), num_threads)


@lru_cache(maxsize=1)
def _hand_reader(models: str | None) -> Any:
    from .hands import HandReader
    from .models import find_hand_models

    return HandReader(find_hand_models(models))


@lru_cache(maxsize=1)
def models_digest(models: str | None, network: str = DEFAULT_NETWORK) -> str:
    """Return the SHA-256 of the landmark models, joined by `+`.

    Args:
        models: Their folder; `None`: where `infinitedance capture --fetch-models` puts them.
        network: See `CaptureTools`.

    Raises:
        FileNotFoundError: If they were not fetched.
        ValueError: If one is not the published file.
    """
    from .models import find_models

    found = find_models(models, network)
    return "+".join(input_digest(path) for path in vars(found).values() if isinstance(path, str | os.PathLike))


@lru_cache(maxsize=1)
def _lifter(path: str | None) -> Any:
    from .lifting import load_lifter

    return load_lifter(path)


@lru_cache(maxsize=1)
def _restorer(path: str | None) -> Any:
    from ..restoration.pipeline_frdm import FrdmPipeline

    return FrdmPipeline.from_pretrained() if path is None else FrdmPipeline.from_pretrained(path)
