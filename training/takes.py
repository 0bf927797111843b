"""Takes: dances with their music, at one speed, mirrored or not, as codes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..dataset_builder.augmentation.stretch import stretch_motion, stretch_music_features
from ..dataset_builder.built import BuiltDataset
from ..dataset_builder.manifest import BuiltClip
from ..motion.features import features_to_motion, motion_to_features
from ..tokenization.modeling_motion_codec import MotionCodecModel


@dataclass
class DanceTake:
    """One version (mirrored or not, at one speed) of a clip, ready to be cut into windows.

    Args:
        song_id: The song; no dance to it serves as a reference.
        genre: Genre of the dance.
        music: Music features, `(frames, 109)`.
        codes: For each offset of 0 to `frames_per_token - 1` frames, the codes of the motion that begins there,
            `(num_quantizers, num_tokens)`, int64.
    """

    song_id: str
    genre: str
    music: np.ndarray
    codes: list[np.ndarray]


@torch.inference_mode()
def load_takes(
    data: BuiltDataset,
    clips: Iterable[BuiltClip],
    codec: MotionCodecModel,
    *,
    stretches: Sequence[float] = (1.0,),
    offsets: Sequence[int] = (0,),
) -> list[DanceTake]:
    """Encode clips with aligned music; the others are left out.

    Args:
        data: The built data set.
        clips: Clips of it.
        codec: Encodes the motion; in evaluation mode.
        stretches: Speeds at which each clip is encoded, 1 = its own.
        offsets: First frames from which it is encoded.
    """
    takes = []
    for clip in clips:
        if clip.music_file is None:
            continue
        features = torch.from_numpy(np.array(data.motion_features(clip)))
        music = data.music_features(clip)
        for stretch in stretches:
            dance = features[: len(music)]
            if stretch != 1.0:
                dance = motion_to_features(stretch_motion(features_to_motion(dance), stretch))
            takes.append(
                DanceTake(
                    song_id=clip.song_id,
                    genre=clip.genre,
                    music=stretch_music_features(music, stretch, len(dance)) if stretch != 1.0 else music,
                    codes=[codec.encode(dance[None, offset:])[0].numpy() for offset in offsets],
                )
            )
    return takes
