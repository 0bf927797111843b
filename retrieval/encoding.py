"""Embeddings of the windows of a song or a dance, and which encoder they come from."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import torch

from ..modeling.music_dance.modeling_music_dance import MusicDanceEncoder
from .windows import cut_windows

ENCODER_BATCH_SIZE = 64


@torch.inference_mode()
def encode_windows(encoder: MusicDanceEncoder, features: np.ndarray, start_frames: list[int], kind: str) -> np.ndarray:
    """Encode windows of one song or dance.

    Args:
        encoder: In evaluation mode.
        features: `(frames, channels)`.
        start_frames: First frames of the windows.
        kind: `"music"` or `"motion"`.

    Returns:
        `(windows, embedding_size)` float32, of length 1.
    """
    config = encoder.config
    length, encode = (
        (config.music_window_frames, encoder.encode_music)
        if kind == "music"
        else (config.window_frames, encoder.encode_motion)
    )
    was_training = encoder.training
    encoder.eval()
    result = []
    for first in range(0, len(start_frames), ENCODER_BATCH_SIZE):
        windows, mask = cut_windows(features, start_frames[first : first + ENCODER_BATCH_SIZE], length)
        embeddings = encode(torch.from_numpy(windows).to(encoder.device), torch.from_numpy(mask).to(encoder.device))
        result.append(embeddings.cpu().numpy())
    encoder.train(was_training)
    return np.concatenate(result)


def encoder_fingerprint(encoder: MusicDanceEncoder) -> str:
    """Return a digest of an encoder's sizes and weights; it is the same after the weights were saved as float16."""
    config = encoder.config
    names = ("music_frame_rate", "frame_rate", "window_frames", "stride_frames", "frames_per_token")
    digest = hashlib.sha256(json.dumps({name: getattr(config, name) for name in names}).encode())
    for name, tensor in sorted(encoder.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().half().numpy().tobytes())
    return digest.hexdigest()
